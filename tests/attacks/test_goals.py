"""Goals of attacks on attributions, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from holdfast import IFIA, HoldfastError
from holdfast.attacks import KendallGoal, MassCenterGoal
from holdfast.attacks.goals import mass_center, shares
from holdfast.attribution import IntegratedGradients


def test_mass_center_needs_images() -> None:
    net = nn.Linear(6, 2)
    attack = IFIA(0.15, 0.03, 8, k=2, goal=MassCenterGoal(), attribution=IntegratedGradients(n_steps=6))
    with pytest.raises(HoldfastError, match=r"\(3, 6\).*mass_center"):
        attack(net, torch.rand(3, 6), torch.tensor([0, 1, 0]))


def test_mass_center_by_hand() -> None:
    maps = torch.zeros(2, 2, 3, 4)
    maps[0, 0, 2, 1] = 2
    maps[0, 1, 0, 3] = 2
    assert mass_center(maps).tolist() == [[1, 2], [0, 0]]


def test_shares_of_an_empty_map_are_zero() -> None:
    maps = torch.tensor([[1.0, -3.0], [0.0, 0.0]])
    assert shares(maps).tolist() == [[0.25, 0.75], [0.0, 0.0]]


def test_kendall_goal_counts_ties_as_one_rank_and_pushes_the_order_over() -> None:
    """Ranks 0, 1.5, 1.5, 3 of four features, centred and divided by their number; by hand."""
    reference = KendallGoal(floor=0.5).reference(torch.tensor([[0.1, 0.3, 0.3, 0.9]]), k=1)
    torch.testing.assert_close(reference[0], torch.tensor([[-1.5, 0.0, 0.0, 1.5]]) / 4)
    same, reversed_ = torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    goal = KendallGoal(floor=0.5)
    expected = -(1.5 / 4) * torch.log(torch.tensor([(1.6 + 0.5) / (0.4 + 0.5)]))
    torch.testing.assert_close(goal(same, *reference), expected)
    torch.testing.assert_close(goal(reversed_, *reference), -expected)
    with pytest.raises(HoldfastError, match="floor is 0"):
        KendallGoal(floor=0.0)
