"""Which members a budget buys, on which images each runs, and that a larger budget is never the weaker one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn

from holdfast.attacks import (
    IFIA,
    AnnealedIFIA,
    AutoIFIA,
    Goal,
    KendallGoal,
    MassCenterGoal,
    PearsonGoal,
    SpearmanGoal,
    TopKGoal,
)
from holdfast.attacks.auto import NEAR, QUERIES, coarse
from holdfast.attacks.auto_members import Budget
from holdfast.attacks.steady import SteadyIFIA
from holdfast.attacks.worst import Compared, Worst
from holdfast.attribution import IntegratedGradients, Saliency, SmoothGrad
from holdfast.metrics import kendall_tau
from tests.attacks.conftest import Known, seeded

EPS, K = 0.15, 10
FINE = IntegratedGradients(n_steps=8)


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


@pytest.fixture
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    for budget, (each, without) in QUERIES.items():
        monkeypatch.setitem(QUERIES, budget, (each // 20, without // 20))


@pytest.mark.usefixtures("few_queries")
def test_a_larger_budget_is_never_the_weaker_one(known: Known) -> None:
    auto = AutoIFIA(EPS, K, "standard", attribution=FINE, scale=0.1)
    standard, thorough = (
        replace(auto, budget=budget).run(known.net, known.x, known.y, generator=seeded())
        for budget in ("standard", "thorough")
    )
    assert standard.members == thorough.members[: len(standard.members)]
    for metric in ("topk", "kendall"):
        less, more = (found.by_metric[metric].score for found in (standard, thorough))
        assert bool((more <= less + 1e-5).all())
        assert float(more.mean()) < float(less.mean())


def test_the_thorough_budget_has_published_attacks_with_the_passes_of_the_quick_one() -> None:
    auto = AutoIFIA(EPS, K, "thorough", attribution=FINE)
    climbs = [m.climb for m in auto.members() if isinstance(m.climb, SteadyIFIA)]
    assert [c.goal for c in climbs] == [TopKGoal(), MassCenterGoal(), PearsonGoal()]
    quick = replace(auto, budget="quick").cost
    for climb in climbs:
        own = climb.passes(coarse(FINE), 2 * FINE.points + 1, metrics=2)
        assert 0.9 * quick < own - 2 * (2 * FINE.points + 1) <= quick


@pytest.mark.parametrize("goal", [TopKGoal(), KendallGoal(), MassCenterGoal()])
def test_a_published_attack_ends_at_the_images_of_ifia(known: Known, goal: Goal) -> None:
    climb = SteadyIFIA(EPS, 12, K, goal)
    metrics: tuple[Compared, ...] = ("topk", "kendall")
    worst = Worst(known.net, known.x, known.y, FINE, metrics, K)
    rows = torch.arange(len(known.x))
    lost, moved, reached = climb.improve(worst, rows, FINE, known.x, known.x, member=5)
    for metric in metrics:
        attack = IFIA(EPS, EPS / 15, 12, K, goal, attribution=FINE, select=metric)
        theirs = attack.run(known.net, known.x, known.y)
        torch.testing.assert_close(worst.images[metric], theirs.adv_images, rtol=0, atol=0)
        torch.testing.assert_close(worst.score[metric], theirs.score)
        assert bool((worst.member[metric] == torch.where(theirs.succeeded, 5, -1)).all())
        assert bool((reached[metric] >= worst.score[metric]).all())
    assert bool(moved.all())
    assert bool(((lost >= 0) & (lost < 1)).all())


@pytest.mark.usefixtures("few_queries")
def test_features_without_a_place_have_no_mass_centre(known: Known) -> None:
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
    x = known.x[:3].flatten(1)
    auto = AutoIFIA(EPS, K, "thorough", attribution=Saliency(), scale=0.02)
    found = auto.run(net, x, net(x).argmax(1), generator=seeded())
    number = found.members.index("IFIA mass centre")
    assert bool(found.reached["topk"][number].isinf().all())
    assert bool(found.reached["topk"][number - 1].isfinite().any())


@pytest.mark.usefixtures("few_queries")
@pytest.mark.parametrize("budget", ["quick", "standard", "thorough"])
def test_a_cost_for_each_member(known: Known, budget: Budget) -> None:
    auto = AutoIFIA(EPS, K, budget, attribution=Saliency(), scale=0.02)
    found = auto.run(known.net, known.x[:2], known.y[:2], generator=seeded())
    assert len(auto.costs(auto.attribution)) == len(found.members) == len(set(found.members))


@dataclass(frozen=True)
class Fixed(SmoothGrad):
    """SmoothGrad that keeps its noise where it is asked for another one."""

    def drawn(self, generator: torch.Generator | None) -> Self:
        return self


def test_a_sampled_map_is_followed_by_new_points_at_each_step(known: Known) -> None:
    seeds: list[int] = []

    @dataclass(frozen=True)
    class Told(SmoothGrad):
        def map(self, model: Any, x: Tensor, target: Tensor, **options: Any) -> Tensor:
            if options.get("create_graph"):
                seeds.append(self.seed)
            return super().map(model, x, target, **options)

    found = AnnealedIFIA(EPS, 6, K, attribution=Told(n_samples=2)).run(known.net, known.x[:2], known.y[:2])
    assert len(seeds) == len(set(seeds)) == 6
    assert 0 not in seeds
    again = AnnealedIFIA(EPS, 6, K, attribution=Told(n_samples=2)).run(known.net, known.x[:1], known.y[:1])
    torch.testing.assert_close(again.adv_images, found.adv_images[:1])


def test_what_is_found_by_new_points_holds_for_others(known: Known) -> None:
    other = SmoothGrad(n_samples=4, seed=99)
    clean = other(known.net, known.x, known.y)
    fresh, fixed = (
        float(kendall_tau(other(known.net, adv, known.y), clean).mean())
        for part in (SmoothGrad(n_samples=2), Fixed(n_samples=2))
        for adv in [AnnealedIFIA(EPS, 30, K, KendallGoal(), attribution=part)(known.net, known.x, known.y)]
    )
    assert fresh < fixed - 0.02, (fresh, fixed)
