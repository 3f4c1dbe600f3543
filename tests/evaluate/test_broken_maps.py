"""Images, maps and logits that are NaN: reported, left out of the means, and one kind of error everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attribution.base import Attribution
from holdfast.attribution.external import fitted
from holdfast.errors import NotFinite
from holdfast.evaluate.accuracy import each_alone
from holdfast.validate import check_images
from tests.evaluate.small import PATH, evaluated, inputs, small_net


class Standardised(nn.Module):
    """Each image is standardised, so that a blank one becomes 0 / 0."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.net((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True))


@pytest.mark.parametrize("blank", [[3], [0], [5, 6, 7, 8, 9], [11]])
def test_a_blank_image_is_reported_and_stops_nothing(blank: list[int]) -> None:
    """In the middle, first, a whole batch, and alone in the last batch."""
    images, net = inputs(1, 4, 4), Standardised()
    labels = net(images).argmax(1)
    labels[blank] = 0  # argmax of NaN is 0 too
    healthy = evaluated(net, images[:11] if blank == [11] else images, labels[:11] if blank == [11] else labels)
    images[blank] = 0.5
    result = evaluated(net, images, labels)
    accuracy = result.records[result.records["kind"] == "accuracy"].set_index("index")
    assert (accuracy.loc[blank, "prediction"] == -1).all()
    assert not accuracy.loc[blank, "correct"].any()
    assert set(accuracy.loc[blank, "status"]) == {"the network returns NaN"}
    attribution = result.records[result.records["kind"] == "attribution"]
    assert not set(blank) & set(attribution["index"])
    assert any(text.startswith(f"the network returns NaN on {len(blank)} of 12 images") for text in result.warnings)
    natural = result.summary.metrics["natural"]
    assert natural.mean == pytest.approx(1 - len(blank) / 12)
    if blank == [11]:  # the others' batches are the same, and so are their numbers
        assert result.summary.metrics["kendall"] == healthy.summary.metrics["kendall"]


@dataclass(frozen=True)
class NaNWhereDark(Attribution):
    """A map that is NaN where the first pixel is below ``level``: on an image, or only once it is attacked."""

    level: float = 0.2
    differentiable = False

    def __call__(
        self, model: Any, x: Tensor, target: Tensor, *, create_graph: bool = False, generator: Any = None
    ) -> Tensor:
        return self.map(model, x, target)

    def map(self, model: Any, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True) -> Tensor:
        maps = PATH(model, x, target)
        return maps.masked_fill((x.flatten(1)[:, 0] < self.level).view(-1, *[1] * (x.ndim - 1)), float("nan"))


def test_a_map_that_holds_nan_is_left_out_of_the_means() -> None:
    images = inputs(1, 4, 4).clamp(0.3)
    images[4, 0, 0, 0] = images[9, 0, 0, 0] = 0.0
    result = evaluated(small_net(), images, attributions=(NaNWhereDark(),))
    rows = result.records[result.records["kind"] == "attribution"].set_index("index")
    assert set(rows.loc[[4, 9], "status"]) == {"the map holds NaN"}
    assert rows.loc[[4, 9], ["kendall", "top_4", "cosine"]].isna().all().all()
    assert not rows.drop(index=[4, 9])[["kendall", "top_4", "cosine"]].isna().any().any()
    assert result.summary.metrics["kendall"].n == 10
    assert any(text.startswith("the map holds NaN on 2 of 12 images (left out") for text in result.warnings)


def test_a_map_that_breaks_only_under_attack() -> None:
    images = inputs(1, 4, 4).clamp(0.45)
    images[7, 0, 0, 0] = 0.25
    result = evaluated(small_net(), images, attributions=(NaNWhereDark(),))
    rows = result.records[result.records["kind"] == "attribution"].set_index("index")
    assert set(rows.loc[[7], "status"]) <= {"the map holds NaN", "ok"}
    assert set(rows.drop(index=7)["status"]) == {"ok"}


def test_every_map_broken_says_so() -> None:
    result = evaluated(small_net(), inputs(1, 4, 4), attributions=(NaNWhereDark(level=2.0),))
    assert "kendall" not in result.summary.metrics
    assert any("the map holds NaN on 12 of 12 images" in text for text in result.warnings)


@pytest.mark.parametrize("kind", [hf.HoldfastError, ValueError, RuntimeError])
def test_another_error_that_speaks_of_nan_is_not_swallowed(kind: type[Exception]) -> None:
    def work(x: Tensor, *_: Any) -> dict[str, Tensor]:
        raise kind("NaNWhereDark has no level called NaN")

    with pytest.raises(kind, match="no level"):
        each_alone(work, inputs(4), torch.zeros(12), torch.ones(12, dtype=torch.bool), {"map": 0.0})


@pytest.mark.parametrize(
    "broken",
    [
        lambda x: hf.kendall_tau(x * float("nan"), x),
        lambda x: fitted(x * float("nan"), x, "mine"),
        lambda x: check_images(x * float("nan")),
        lambda x: hf.IFIA(0.1, 0.05, 2, 4, attribution=NaNWhereDark(2.0)).run(small_net(), x, torch.zeros(12).long()),
        lambda x: hf.FGSM(0.1)(lambda x: x.flatten(1)[:, :3] * float("nan"), x, torch.zeros(12).long()),
    ],
    ids=["rank", "external", "images", "attribution attack", "attack"],
)
def test_nan_is_one_kind_wherever_it_is_met(broken: Any) -> None:
    with pytest.raises(NotFinite, match="NaN"):
        broken(inputs(1, 4, 4))
