"""Goals of attacks on attributions, by hand."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from holdfast import IFIA, HoldfastError
from holdfast.attacks import Goal, KendallGoal, MassCenterGoal, SpearmanGoal
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


def test_spearman_goal_is_minus_the_rank_correlation_where_places_are_ranks() -> None:
    """As many bins as steps between features, no slope: places are ranks, and the goal is scipy's rho."""
    clean = torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    goal = SpearmanGoal(bins=14, slope=0.0)
    share = shares(clean)
    shuffled = share.flatten(1).flip(1).view_as(share)
    for maps in (share, shuffled):
        expected = [-spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(clean, maps, strict=True)]
        found = goal(maps, *goal.reference(clean, k=1))
        torch.testing.assert_close(found, torch.tensor(expected).to(found), rtol=0, atol=0.02)


def test_spearman_goal_has_no_direction_at_the_clean_map_where_kendall_has() -> None:
    """Distinct, evenly spread log shares, so that places are ranks but for the slope."""
    clean = torch.linspace(0, 2, 65).exp().view(1, 1, 5, 13)

    def slope(goal: Goal) -> float:
        share = shares(clean).requires_grad_()
        (gradient,) = torch.autograd.grad(goal(share, *goal.reference(clean, k=1)).sum(), share)
        return float((gradient * share.detach()).norm())

    assert slope(SpearmanGoal(floor=1e-6)) < 1e-3 < 1e-1 < slope(KendallGoal(floor=1e-6))


@pytest.mark.parametrize("maps", [torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4), torch.eye(4).view(1, 1, 4, 4)])
def test_spearman_goal_of_ties_is_a_number_with_a_gradient_of_numbers(maps: torch.Tensor) -> None:
    share = shares(maps).requires_grad_()
    goal = SpearmanGoal()
    value = goal(share, *goal.reference(maps, k=1))
    (gradient,) = torch.autograd.grad(value.sum(), share)
    assert bool(value.isfinite().all())
    assert bool(gradient.isfinite().all())


def test_spearman_goal_names_a_bad_setting() -> None:
    with pytest.raises(HoldfastError, match="bins is 0"):
        SpearmanGoal(bins=0)
    with pytest.raises(HoldfastError, match="slope is -1"):
        SpearmanGoal(slope=-1.0)
