"""Which goal a member of the ensemble drives on which images."""

from __future__ import annotations

from dataclasses import replace

import torch

from holdfast.attacks import AnnealedIFIA, AutoIFIA, KendallGoal, SpearmanGoal
from holdfast.attacks.auto import NEAR
from holdfast.attribution import IntegratedGradients
from tests.attacks.conftest import Known, seeded

EPS, K = 0.15, 10


def test_maps_that_random_signs_hardly_move_are_driven_by_another_goal(known: Known) -> None:
    path = IntegratedGradients(n_steps=5)
    auto = AutoIFIA(EPS, K, "quick", metrics=("kendall",), attribution=path, scale=0.2)
    reached = auto.run(known.net, known.x, known.y, generator=seeded()).reached["kendall"]
    near = reached[0] > NEAR
    assert 0 < int(near.sum()) < len(near)
    (member,) = auto.members()
    assert isinstance(member.climb.goal, KendallGoal)
    assert isinstance(member.near, AnnealedIFIA)
    assert isinstance(member.near.goal, SpearmanGoal)
    far, close = (
        replace(climb, attribution=path, select="kendall").run(known.net, known.x, known.y).score
        for climb in (member.climb, member.near)
    )
    assert not torch.allclose(far, close)
    torch.testing.assert_close(reached[1], torch.where(near, close, far))


def test_the_other_goal_is_tried_too_where_the_budget_allows() -> None:
    first, other = (m for m in AutoIFIA(EPS, K, "standard").members() if "kendall" in m.name and m.start == "image")
    assert first.near is not None
    assert other.near is not None
    assert (first.climb.goal, first.near.goal) == (other.near.goal, other.climb.goal)
