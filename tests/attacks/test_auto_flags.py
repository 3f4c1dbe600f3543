"""Each flag of a weak attack, provoked by what deserves it, and silent where nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import HoldfastError
from holdfast.attacks import AutoIFIA
from holdfast.attacks.annealed import AnnealedIFIA
from holdfast.attacks.auto_found import AutoFound
from holdfast.attacks.auto_members import Member
from holdfast.attacks.flags import (
    attribution_flags,
    effort_flags,
    ensemble_flags,
    gradient_flags,
    label_flags,
    model_flags,
    transfer_flags,
)
from holdfast.attribution import IntegratedGradients, Saliency
from holdfast.models.state import Model
from tests.attacks.conftest import Known, seeded

ATTACK = AutoIFIA(0.1, 10, "quick", attribution=IntegratedGradients(n_steps=10), scale=0.5)


class Wrapped(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class Probabilities(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).softmax(1)


class Loud(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * 1000


class DroppingOut(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.2, training=True))


class Centring(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x - x.mean(0, keepdim=True))


class Stepped(Wrapped):
    """The image in 4 grey levels by rounding: piecewise constant, so that no gradient reaches it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x * 3).round() / 3)


@pytest.mark.parametrize(
    ("network", "beginning", "number"),
    [
        (Probabilities, "the outputs are probabilities", "all of 12"),
        (Loud, "the logits are saturated", "100%"),
        (DroppingOut, "the model is random", "standard deviations"),
        (Centring, "an image's logits depend on the images beside it", "standard deviations"),
    ],
)
def test_odd_models_are_flagged(known: Known, network: type[Wrapped], beginning: str, number: str) -> None:
    flags = model_flags(network(known.net), known.x)
    assert len(flags) == 1
    assert flags[0].startswith(beginning)
    assert number in flags[0]


def test_a_sound_model_is_not_flagged(known: Known) -> None:
    assert model_flags(known.net, known.x) == []


def test_dropout_that_evaluation_switches_off_is_no_randomness(known: Known) -> None:
    net = nn.Sequential(nn.Dropout(0.5), known.net)
    assert model_flags(net.train(), known.x) == []
    assert net.training


def test_a_sound_attack_is_not_flagged(known: Known) -> None:
    found = ATTACK.run(known.net, known.x, known.y, generator=seeded())
    assert gradient_flags(found) == label_flags(found) == ensemble_flags(found) == []


def test_a_masked_gradient_is_flagged_and_not_called_robust(known: Known) -> None:
    net = Stepped(known.net)
    y = net(known.x).argmax(1)
    flags = attribution_flags(ATTACK, net, known.x, y, ATTACK.run(net, known.x, y, generator=seeded()))
    assert any(flag.startswith("the gradient is exactly 0 in 100%") for flag in flags)


def test_maps_that_do_not_depend_on_the_image_are_told_from_masked_ones(known: Known) -> None:
    """The saliency of a linear network is its weights: no search moves it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    attack = AutoIFIA(0.01, 10, "quick", attribution=Saliency(), scale=0.1)
    (flag,) = gradient_flags(attack.run(net, known.x, net(known.x).argmax(1), generator=seeded()))
    assert "the maps do not depend on the image" in flag


def found_with(reached: list[float], lost: float = 0.0) -> AutoFound:
    """Random signs, one climb and a block search that reached these scores on each of three images."""
    one = torch.zeros(3)
    climbed = torch.tensor([float("nan"), lost, float("nan")])[:, None].expand(3, 3)
    return AutoFound(
        one, one > 0, one, one.long(), one, {}, ("random signs", "kendall", "block search (topk)"), {},
        {"topk": torch.tensor(reached)[:, None].expand(3, 3)}, climbed, torch.ones(3, 3, dtype=torch.bool), 1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reached", "beginnings"),
    [
        ([0.8, 0.5, 0.5], []),
        ([0.4, 0.5, 0.5], ["random signs (topk 0.400) beat the gradient (topk 0.500)"]),
        ([0.8, 0.5, 0.3], ["the search without gradients (topk 0.300) beat the gradient (topk 0.500)"]),
        (
            [0.8, float("inf"), 0.9],
            ["random signs (topk 0.800) beat the gradient (topk 1.000)", "the search without gradients (topk 0.900)"],
        ),
    ],
)
def test_members_without_gradients_that_win(reached: list[float], beginnings: list[str]) -> None:
    flags = ensemble_flags(found_with(reached))
    assert len(flags) == len(beginnings)
    assert all(flag.startswith(beginning) for flag, beginning in zip(flags, beginnings, strict=True))


def test_lost_labels_by_their_share() -> None:
    assert label_flags(found_with([0.5] * 3, lost=0.4)) == []
    assert label_flags(found_with([0.5] * 3, lost=0.7))[0].startswith("70% of the iterates lost the label")


def test_labels_lost_in_an_attack_that_lets_them_go(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: AutoIFIA, budget: str) -> tuple[Member, ...]:
        climb = AnnealedIFIA(self.eps, 10, self.k, first_step=2.0, hold=0.0, surrogate_beta=(1.0, 2.0))
        return (Member("careless", "topk", "image", climb),)

    monkeypatch.setattr(AutoIFIA, "_annealed", careless)
    found = replace(ATTACK, eps=1.0).run(known.net, known.x, known.y, generator=seeded())
    assert len(label_flags(found)) == 1


def test_too_few_steps_are_flagged_with_the_drop(known: Known) -> None:
    short = replace(ATTACK, scale=0.05, metrics=("topk",))
    found = short.run(known.net, known.x, known.y, generator=seeded())
    flags = effort_flags(short, known.net, known.x, known.y, found)
    assert flags[0].startswith("still improving: twice the steps lower topk from")
    assert "on 10 images" in flags[0]


def test_stronger_with_fewer_steps(known: Known) -> None:
    """An attack that stands still when it takes its time."""
    short = replace(ATTACK, scale=0.1)
    found = short.run(known.net, known.x, known.y, generator=seeded())
    unmoved = replace(
        found, by_metric={m: replace(one, score=torch.ones_like(one.score)) for m, one in found.by_metric.items()}
    )
    flags = effort_flags(short, known.net, known.x, known.y, unmoved)
    assert sum(flag.startswith("stronger with fewer steps: a quarter") for flag in flags) == 2


@dataclass(frozen=True)
class Rounded(Saliency):
    """Saliency in steps: no gradient leads along it, while an attack on saliency itself moves it."""

    def map(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        maps = super().map(model, x, target, **options)
        return maps + ((maps * 1e4).round() / 1e4 - maps).detach() - (maps - maps.detach())


def test_transfer_that_is_stronger_than_the_white_box(known: Known) -> None:
    masked, open_ = (replace(ATTACK, metrics=("topk",), attribution=part) for part in (Rounded(), Saliency()))
    for attack, expected in ((masked, True), (open_, False)):
        found = attack.run(known.net, known.x, known.y, generator=seeded())
        flags = transfer_flags(attack, known.net, known.x, known.y, found)
        assert (
            any(f.startswith("transfer is stronger than the white box: an attack on Saliency") for f in flags)
            == expected
        )


def test_a_model_that_cannot_take_one_image_is_one_line() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 3))
    with pytest.raises(HoldfastError, match="which one image does not have; track statistics"):
        model_flags(net, torch.rand(4, 1, 8, 8))
