"""IFIA on other attributions than its own, impossible settings, and the control of random signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from holdfast import HoldfastError, kendall_tau
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from tests.attacks.ifia_kinds import EPS, KINDS, Batch, attack, control


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 65}, "k is 65.*64 features"),
        ({"k": 0}, "k is 0"),
        ({"eps": -0.1}, "eps is -0.1"),
        ({"alpha": 0}, "alpha is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"restarts": 0}, "restarts is 0"),
        ({"select": "spearman"}, "unknown select 'spearman'.*kendall, topk"),
        ({"surrogate_beta": -1.0}, "beta is -1.0"),
    ],
)
def test_impossible_settings(trained: nn.Module, batch: Batch, change: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        attack(**change)(trained, *batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "draws is 0"),
        ({"k": 0}, "k is 0"),
        ({"eps": -0.1}, "eps is -0.1"),
        ({"select": "spearman"}, "unknown select 'spearman'.*kendall, topk"),
        ({"k": 65, "select": "topk"}, "k is 65.*64 features"),
    ],
)
def test_impossible_settings_of_the_control(
    trained: nn.Module, batch: Batch, change: dict[str, object], message: str
) -> None:
    with pytest.raises(HoldfastError, match=message):
        control(**change)(trained, *batch)


def test_the_control_sits_at_corners_of_the_ball_cut_by_the_box(trained: nn.Module, batch: Batch) -> None:
    images, labels = (t[:10] for t in batch)
    found = control(draws=4).run(trained, images, labels, generator=torch.Generator().manual_seed(1))
    adv, clean = found.adv_images[found.succeeded], images[found.succeeded]
    assert len(adv) >= 8
    corner = (adv - clean).abs() > EPS - 1e-6
    assert bool((corner | (adv == 0) | (adv == 1)).all())
    assert found.history.shape == (4,)


@dataclass(frozen=True)
class Brightness(Attribution):
    """The image itself, times its class; no gradient follows it."""

    differentiable: ClassVar[bool] = False

    def map(self, model: Any, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True) -> Tensor:
        assert not create_graph
        return x.detach() * (1 + target.view(-1, 1, 1, 1))

    def __call__(self, model: Any, x: Tensor, target: Tensor, **_: Any) -> Tensor:
        return self.map(model, x, target)


@pytest.mark.parametrize("kind", KINDS)
def test_another_attribution_is_scored_while_a_differentiable_one_is_followed(
    trained: nn.Module, batch: Batch, kind: str
) -> None:
    images, labels = (t[:10] for t in batch)
    found = KINDS[kind].run(trained, images, labels, attribution=Brightness())
    moved = found.succeeded
    assert int(moved.sum()) >= 9, "what is followed is another map, so that an image may stay"
    scale = 1 + labels.view(-1, 1, 1, 1)
    expected = kendall_tau(found.adv_images * scale, images * scale)
    torch.testing.assert_close(found.score[moved], expected[moved], rtol=0, atol=1e-5)


def test_an_attribution_of_the_same_kind_is_attacked_with_the_attacks_own_settings(
    trained: nn.Module, batch: Batch
) -> None:
    own = attack().run(trained, *batch)
    finer = attack().run(trained, *batch, attribution=IntegratedGradients(n_steps=50))
    assert torch.equal(own.adv_images, finer.adv_images)
    assert torch.equal(own.score, finer.score)
