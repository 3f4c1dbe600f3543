"""bfloat16 in the training pass: near the float32 gradient, logged, warned of, and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast import HoldfastWarning
from holdfast.config import TrainConfig
from holdfast.recipes import METHODS
from holdfast.train import loop, train
from holdfast.train.folder import read_metrics

pytestmark = pytest.mark.filterwarnings("ignore:at step")  # hardly trained networks: rounding turns attacks round


@pytest.mark.parametrize("method", ["at-igr", "trades-igr", "mart", "ig-norm", "advaat", "art", "ssr", "r2et"])
def test_every_objective_runs_and_is_checked_once_an_epoch(
    method: str, tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    assert method in METHODS
    config = replace(tiny(f"digits-{method}", optim_epochs=2), precision="bfloat16")
    folder = train(config, tmp_path / "run")
    checks = [line for line in read_metrics(folder.metrics) if line["kind"] == "precision"]
    assert [line["epoch"] for line in checks] == [1, 2]
    assert all(0.3 < line["gradient_cosine"] <= 1 + 1e-6 for line in checks)
    assert all(value.dtype == torch.float32 for value in load_file(folder.last).values())


def test_it_is_really_lower_precision(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    full = tiny("digits-trades-igr", optim_epochs=3)
    a, b = train(full, tmp_path / "a"), train(replace(full, precision="bfloat16"), tmp_path / "b")
    first, second = load_file(a.last), load_file(b.last)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_bad_gradient_is_warned_of(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LEAST_COSINE", 1.1)
    config = replace(tiny("digits-at-igr", optim_epochs=1), precision="bfloat16")
    with pytest.warns(HoldfastWarning, match="cosine of only .* --precision float32 is safer"):
        train(config, tmp_path / "run")


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = replace(tiny("digits-trades-igr", optim_epochs=2), precision="bfloat16")
    whole = train(config, tmp_path / "whole")
    steps = iter([False, False, True])
    train(config, tmp_path / "parts", stop=lambda: next(steps, False))
    parts = train(config, tmp_path / "parts", resume=True)
    first, second = load_file(whole.last), load_file(parts.last)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_metrics(whole.metrics) == read_metrics(parts.metrics)
