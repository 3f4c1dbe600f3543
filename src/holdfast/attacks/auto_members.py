"""The members of the strongest attack on attributions: what each budget buys, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from holdfast.attacks.annealed import AnnealedIFIA
from holdfast.attacks.goals import (
    CosineGoal,
    Goal,
    KendallGoal,
    MassCenterGoal,
    PearsonGoal,
    SoftTopKGoal,
    SpearmanGoal,
    TopKGoal,
)
from holdfast.attacks.steady import SteadyIFIA
from holdfast.attacks.worst import Compared, Values, Worst
from holdfast.attribution.base import Attribution

Budget = Literal["quick", "standard", "thorough"]
Start = Literal["image", "random", "found"]
STEPS: dict[Budget, int] = {"quick": 36, "standard": 60, "thorough": 120}
"""Of the members that a budget adds."""


class Climb(Protocol):
    """How a member climbs: by `AnnealedIFIA`, or by `SteadyIFIA` as it was published."""

    @property
    def goal(self) -> Goal:
        """What is driven."""

    def passes(self, followed: Attribution, score: float, metrics: int) -> float:
        """Forward passes per image, where an exact score costs ``score``."""

    def improve(
        self, worst: Worst, rows: Tensor, followed: Attribution, start: Tensor, images: Tensor, member: int = 0
    ) -> tuple[Tensor, Tensor, Values]:
        """Run on ``rows`` from ``start`` and let what is found into ``worst``; returns as `AnnealedIFIA.improve`."""


@dataclass(frozen=True)
class Member:
    """One run of the ensemble: how it climbs, for which metric (all where it is None), and from where."""

    name: str
    metric: Compared | None
    start: Start
    climb: Climb
    near: Climb | None = None
    """How it climbs instead on images whose maps random signs leave near the clean ones."""

    def climbs(self, rows: Tensor, near: Tensor) -> list[tuple[Climb, Tensor]]:
        """Each way to climb with those of the rows that it is for."""
        parts = [(self.climb, rows)]
        if self.near is not None:
            parts = [(self.climb, rows[~near[rows]]), (self.near, rows[near[rows]])]
        return [(climb, part) for climb, part in parts if len(part)]


def annealed_members(
    budget: Budget, metrics: tuple[Compared, ...], eps: float, k: int, scale: float
) -> tuple[Member, ...]:
    """The members that climb for one metric each, which ``budget`` adds to those of the budget below it.

    The quick ones take fewer steps than those of the standard budget and are not added to.
    """
    kendall, other = (KendallGoal(), SpearmanGoal()), (SpearmanGoal(), KendallGoal())
    soft, cosine = (SoftTopKGoal(),), (CosineGoal(),)
    plan: list[tuple[str, tuple[Goal, ...], Compared, Start, float]] = []
    if budget != "thorough":
        plan += [
            ("kendall", kendall, "kendall", "image", 0.3),
            ("soft top-k", soft, "topk", "image", 0.4),
            ("cosine", cosine, "cosine", "image", 0.4),
        ]
    if budget == "standard":
        plan += [
            ("other kendall", other, "kendall", "image", 0.3),
            ("kendall from found", kendall, "kendall", "found", 0.2),
            ("soft top-k from random", soft, "topk", "random", 0.4),
            ("soft top-k from found", soft, "topk", "found", 0.2),
        ]
    if budget == "thorough":
        plan += [
            ("top-k", (TopKGoal(),), "topk", "image", 0.4),
            ("narrow top-k from found", (SoftTopKGoal(0.15),), "topk", "found", 0.2),
            ("other kendall from random", other, "kendall", "random", 0.3),
            ("kendall from random", kendall, "kendall", "random", 0.3),
            ("cosine from random", cosine, "cosine", "random", 0.4),
            ("cosine from found", cosine, "cosine", "found", 0.2),
        ]
    steps = max(round(STEPS[budget] * scale), 1)
    return tuple(
        Member(name, metric, start, *(AnnealedIFIA(eps, steps, k, goal, first_step=first) for goal in goals))
        for name, goals, metric, start, first in plan
        if metric in metrics
    )


def published_members(eps: float, k: int, steps: int) -> tuple[Member, ...]:
    """Attacks as they were published, each for all metrics: those that beat the other members (docs/contest.md)."""
    return (
        Member("IFIA top-k", None, "image", SteadyIFIA(eps, steps, k, TopKGoal())),
        Member("IFIA mass centre", None, "image", SteadyIFIA(eps, steps, k, MassCenterGoal())),
        Member("Pearson from random", None, "random", SteadyIFIA(eps, steps, k, PearsonGoal(), surrogate_beta=50.0)),
    )
