"""Networks that come with the package load, and score what their cards say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from holdfast import HoldfastError, find_model, load_dataset
from holdfast.cli.evaluate import origin_of
from holdfast.data.catalogue import KNOWN
from holdfast.data.loader import to_unit_interval
from holdfast.models.find import card_of, check_spec, model_card, pretrained_names

NAMES = pretrained_names()


def test_there_are_some() -> None:
    assert {"mnist/at", "mnist/at-igr", "mnist/trades", "mnist/trades-igr"} <= set(NAMES)


@pytest.mark.parametrize("full", NAMES)
def test_each_loads_and_is_small(full: str) -> None:
    setup, name = full.split("/")
    found = find_model(full)
    model = found.model
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model(torch.zeros(2, *KNOWN[str(found.dataset)].shape)).shape == (2, 10)
    card = model_card(name, dataset=setup)
    assert (card["name"], card["dataset"], card["train"]["recipe"]) == (name, setup, f"{setup}-{name}")
    assert sum(p.numel() for p in model.parameters()) * 2 < 1_500_000


@pytest.mark.parametrize(
    "full", [pytest.param(n, marks=[] if n == "mnist/trades-igr" else pytest.mark.slow) for n in NAMES]
)
def test_half_precision_keeps_the_accuracy_of_the_card(full: str, real_data: Callable[[str], Path]) -> None:
    card = card_of(full)
    dataset = card["train"]["data"]["name"]
    data = load_dataset(dataset, "test", data_dir=str(real_data(dataset))).first(card["evaluation"]["n_examples"])
    with torch.no_grad():
        hits = find_model(full).model(to_unit_interval(data.images)).argmax(1) == data.labels
    assert hits.double().mean().item() == pytest.approx(card["scores"]["natural"]["mean"], abs=0.0041)


@pytest.mark.parametrize("full", NAMES)
def test_each_is_evaluated_as_it_was_trained(full: str) -> None:
    assert origin_of(full, check_spec(full)) == (full.split("/")[0], card_of(full)["profile"])


def test_other_models_are_evaluated_as_in_the_paper() -> None:
    assert origin_of("small_cnn", check_spec("small_cnn")) == (None, "paper")


def test_unknown_names() -> None:
    with pytest.raises(HoldfastError, match="did you mean trades-igr"):
        model_card("trades-irg", dataset="mnist")
    with pytest.raises(HoldfastError, match="unknown model 'mnist/walk'"):
        find_model("mnist/walk")


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist" / "at").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HoldfastError, match=r"config.json does not exist"):
        find_model("mnist/at")
