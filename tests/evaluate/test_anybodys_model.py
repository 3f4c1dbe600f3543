"""``hf.evaluate`` on models and images as people have them: any shape, parts of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import holdfast as hf
from holdfast.attacks import Attack, AttributionAttack, Found, KendallGoal, RandomSigns
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.evaluate import Protocol, default_protocol, name_of, part_named
from holdfast.evaluate.protocol import protocol_differences
from holdfast.seeding import generator_of
from tests.evaluate.small import ATTACKS, PATH, evaluated, inputs, small_net


@pytest.mark.parametrize("shape", [(1, 4, 4), (16,), (4, 4), (2, 2, 2, 2)])
def test_inputs_of_any_shape(shape: tuple[int, ...]) -> None:
    result = evaluated(small_net(), inputs(*shape))
    frame = result.to_frame().set_index(["attack", "metric"])
    assert frame.loc[("natural", "accuracy"), "mean"] == 1
    assert frame.loc[("ifia", "kendall"), "n"] == 12
    assert len(result.records) == 12 * 2 + 12 * 2 + 12
    assert result.folder is None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: lambda x: net(x),
        lambda net: lambda x: {"logits": net(x)},
        lambda net: lambda x: (net(x), None),
        lambda net: hf.Normalized(net, 0.0, 1.0) if hasattr(hf, "Normalized") else net,
    ],
    ids=["function", "dict", "tuple", "normalised"],
)
def test_outputs_as_people_have_them(wrap: Any) -> None:
    net, images = small_net(), inputs(1, 4, 4)
    labels = net(images).argmax(1)
    pd.testing.assert_frame_equal(
        evaluated(wrap(net), images, labels).to_frame(), evaluated(net, images, labels).to_frame()
    )


@dataclass(frozen=True)
class Careless(AttributionAttack):
    """Claims success with noise, whether or not the prediction holds; ``shift`` leaves [0, 1]."""

    shift: float = 0.0
    attribution: Attribution = PATH

    def search(self, model: Any, images: Tensor, labels: Tensor, attribution: Any, generator: torch.Generator) -> Found:
        noise = torch.rand(images.shape, generator=generator) + self.shift
        yes = torch.ones(len(images), dtype=torch.bool)
        return Found(noise, yes, noise.flatten(1)[:, 0], yes.long(), noise[:1].flatten())


def test_what_an_attack_claims_is_checked() -> None:
    net, images = small_net(), inputs(1, 4, 4)
    result = evaluated(net, images, attacks={"mine": Careless()})
    rows = result.records[result.records["kind"] == "attribution"]
    noise = [torch.rand(part.shape, generator=generator_of(0, "mine")) for part in images.split(5)]
    kept = net(torch.cat(noise)).argmax(1) == net(images).argmax(1)
    assert rows["succeeded"].tolist() == kept.tolist()
    assert (rows.loc[~rows["succeeded"].astype(bool), ["kendall", "top_4", "cosine"]] == 1.0).all().all()
    with pytest.raises(hf.HoldfastError, match=r"Careless\(shift=0.5\) left \[0, 1\]"):
        evaluated(net, images, attacks={"mine": Careless(shift=0.5)})


@dataclass(frozen=True)
class Distance(hf.Metric):
    """Where less is better, the worst case is the largest value."""

    meaning = "How far a map moved."
    higher_is_better = False
    if_failed = 0.0

    def __call__(self, maps: Tensor, reference: Tensor) -> Tensor:
        return (maps - reference).flatten(1).norm(dim=1)


def test_a_metric_of_ones_own_in_every_output(tmp_path: Path) -> None:
    result = evaluated(small_net(), inputs(1, 4, 4), metrics=(Distance(), hf.KendallTau()), name="<b>mine</b>")
    rows = result.records[result.records["kind"] == "attribution"]
    worst = rows.groupby("index")["distance"].max().mean()
    frame = result.to_frame().set_index(["attack", "metric"])
    assert frame.loc[("worst", "distance"), "mean"] == pytest.approx(worst)
    assert "Distance" in result.table().index.get_level_values(1)
    assert "Distance" in repr(result)
    page = result.to_html(tmp_path / "deep" / "page.html").read_text()
    assert "<b>mine</b>" not in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    reader = HTMLParser()
    reader.feed(page)
    for word in ("Distance", "Kendall τ", "attacks.ifia.steps", result.subject["network"]):
        assert word in page


def test_names_and_defaults(tmp_path: Path) -> None:
    result = hf.evaluate(
        small_net(64, 10), "digits", eps=0.05, n_examples=20, n_attribution=3, out=tmp_path,
        predictions=["fgsm"], attacks={"noise": "random-signs"}, metrics=["TopK", "lens-top-k(k=3)"],
        attributions=["integrated-gradients"],
    )  # fmt: skip
    assert result is not None
    protocol = result.protocol
    assert (protocol.dataset, protocol.split, protocol.n_examples) == ("digits", "test", 20)
    assert protocol.predictions == {"fgsm": hf.FGSM(0.05)}
    assert protocol.attacks == {"noise": RandomSigns(eps=0.05, k=8)}
    assert protocol.metrics == (hf.TopK(8), hf.LensTopK(3))
    assert pd.read_parquet(tmp_path / "records").shape == result.records.shape
    assert result.folder == tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["topkk"]}, "unknown metric 'topkk'; did you mean TopK"),
        ({"metrics": [hf.TopK(4), "TopK(k=4)"]}, "two metrics"),
        ({"metrics": ["TopK(k=17)"]}, "k is 17"),
        ({"metrics": ["TopK(size=4)"]}, "size"),
        ({"metrics": ["TopK(k=__import__)"]}, "cannot be read"),
        ({"metrics": [hf.PGD()]}, "is no metric"),
        ({"attacks": {"pgd": hf.PGD(0.1)}}, "takes no attribution"),
        ({"attacks": {"worst": ATTACKS["ifia"]}}, "called 'worst'"),
        ({"predictions": {"natural": hf.PGD(0.1)}}, "called 'natural'"),
        ({"protocol": Protocol(), "eps": 0.1}, "eps is given beside a protocol"),
        ({"n_examples": 13}, "n_examples is 13"),
        ({"model": small_net(classes=2), "labels": torch.full((12,), 2)}, r"labels span \[2, 2\].* 2 logits"),
        ({"world_size": 2, "rank": 0}, "give out"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], words: str) -> None:
    images = inputs(1, 4, 4)
    with pytest.raises(hf.HoldfastError, match=words):
        evaluated(**{"model": small_net(), "images": images, "labels": torch.zeros(12, dtype=torch.int64), **options})


@pytest.mark.parametrize(
    "data",
    [None, 3, (inputs(1, 4, 4),), (inputs(1, 4, 4) + 1, torch.zeros(12).long()), (inputs(1, 4, 4), torch.zeros(12))],
)
def test_data_that_is_none(data: Any) -> None:
    with pytest.raises(hf.HoldfastError, match=r"data is|images span|labels are"):
        hf.evaluate(small_net(), data)


def test_a_name_is_read_back() -> None:
    for part in (hf.TopK(3), hf.PGD(0.1, steps=7), hf.LensTopK(3, side="precision"), PATH):
        kind = next(c for c in type(part).__mro__ if c in (hf.Metric, Attack, Attribution))
        assert part_named(kind, name_of(part)) == part


def test_what_two_protocols_share() -> None:
    old = default_protocol((1, 8, 8), 0.1)
    assert protocol_differences(old, old) == []
    more = replace(
        old,
        attacks={**old.attacks, "more": hf.IFIA(0.1, goal=KendallGoal(), k=4)},
        predictions={**old.predictions, "pgd7": hf.PGD(0.1, 0.1, 7)},
        metrics=old.metrics[:3],
    )
    assert protocol_differences(old, more) != []
    assert protocol_differences(old, more, shared=True) == []
    assert protocol_differences(more, old, shared=True) == []
    stronger = replace(old, attacks={**old.attacks, "ifia": replace(old.attacks["ifia"], steps=3)})  # type: ignore[type-var]
    assert protocol_differences(old, stronger, shared=True) == ["attacks.ifia.steps: 40 -> 3"]
    assert protocol_differences(old, replace(old, seed=1), shared=True) == ["seed: 0 -> 1"]


def test_two_attributions_are_compared_and_kept_apart() -> None:
    result = evaluated(small_net(), inputs(1, 4, 4), attributions=(PATH, IntegratedGradients(n_steps=5)))
    names = ["IntegratedGradients(n_steps=3)", "IntegratedGradients(n_steps=5)"]
    assert list(dict.fromkeys(result.records["attribution"].dropna())) == names
    assert f"{names[1]}: kendall" in result.summary.metrics
    assert {"kendall", "random_kendall", "worst_kendall"} <= set(result.summary.metrics)
    alone = evaluated(small_net(), inputs(1, 4, 4))
    assert alone.summary.metrics["kendall"] == result.summary.metrics["kendall"]
