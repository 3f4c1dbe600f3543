"""IFIA in its kinds, small enough for the digits."""

from __future__ import annotations

from functools import partial

import pytest
from torch import Tensor, nn

from holdfast import IFIA, integrated_gradients
from holdfast.attacks import AttributionAttack, Goal, KendallGoal, MassCenterGoal, RandomSigns, TopKGoal
from holdfast.attribution import IntegratedGradients

EPS = 0.15
SIX = IntegratedGradients(n_steps=6)
attack = partial(IFIA, eps=EPS, alpha=0.03, steps=8, k=10, attribution=SIX)
control = partial(RandomSigns, eps=EPS, k=10, attribution=SIX)
GOALS: dict[str, Goal] = {"topk": TopKGoal(), "kendall": KendallGoal(), "mass_center": MassCenterGoal()}
each_goal = pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
KINDS: dict[str, AttributionAttack] = {
    **{name: attack(goal=goal, restarts=2, random_start=True) for name, goal in GOALS.items()},
    "random signs": control(draws=16),
}
Batch = tuple[Tensor, Tensor]


def maps(net: nn.Module, images: Tensor, labels: Tensor, n_steps: int = 6) -> Tensor:
    return integrated_gradients(net, images, labels, n_steps=n_steps).abs()
