"""IFIA as a member of the strongest attack: steps of one size on one surrogate, for every metric at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from holdfast.attacks.goals import Goal, TopKGoal
from holdfast.attacks.ifia import signed_steps
from holdfast.attacks.worst import Values, Worst
from holdfast.attribution.base import Attribution
from holdfast.models.twin import SoftplusTwin


@dataclass(frozen=True)
class SteadyIFIA:
    """Steps of ``share * eps`` along the sign of the goal's gradient on the softplus twin (Ghorbani et al., 2019).

    Every iterate is compared by the network's own maps of what is followed; the best one of each metric is scored
    exactly. Iterates that a gradient of NaN led to are passed over.
    """

    eps: float
    steps: int
    k: int
    goal: Goal = TopKGoal()
    share: float = 1 / 15
    surrogate_beta: float = 30.0

    def passes(self, followed: Attribution, score: float, metrics: int) -> float:
        """Forward passes per image, where an exact score costs ``score``."""
        return self.steps * (8.0 * followed.points + 1) + metrics * score

    def improve(
        self, worst: Worst, rows: Tensor, followed: Attribution, start: Tensor, images: Tensor, member: int = 0
    ) -> tuple[Tensor, Tensor, Values]:
        """Run on ``rows`` from ``start`` and let what is found into ``worst``.

        Returns:
            Per row: the share of iterates that lost the label, whether the goal ever had a gradient, the best scores.
        """
        centre, labels = images[rows], worst.labels[rows]
        own = Worst(worst.model, centre, labels, followed, tuple(worst.score), self.k)
        everyone = torch.arange(len(rows), device=rows.device)
        lost, moved = torch.zeros_like(start.flatten(1)[:, 0]), torch.zeros_like(rows, dtype=torch.bool)
        reference = self.goal.reference_of(own.clean, self.k)
        twin = SoftplusTwin(worst.model, self.surrogate_beta)
        iterates = signed_steps(
            twin, centre, labels, followed, self.goal, reference, start, self.share * self.eps, self.eps
        )
        for number, iterate in enumerate(islice(iterates, self.steps), start=1):
            adv = torch.where(iterate.isnan(), start, iterate)
            values = own.values(adv, everyone)
            own.take(adv, everyone, values, 0, torch.full_like(rows, number))
            lost += next(iter(values.values())).isinf()
            moved |= (adv != start).flatten(1).any(1)
        return lost / self.steps, moved, worst.take_from(own, worst.score, rows, member)
