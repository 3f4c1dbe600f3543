"""What the ensemble of attacks on attributions found, and what each of its members did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import Found
from holdfast.attacks.worst import Worst


@dataclass(frozen=True)
class AutoFound(Found):
    """What `AutoIFIA` found. The fields of `Found` are those of its ``select``; ``history`` has one entry per member.

    Attributes:
        by_metric: for each metric the worst case of each image by itself; ``history`` is after each member.
        members: the names of the members, in the order in which they ran.
        winner: for each metric (B,) the index into ``members`` of the one that found the worst case; -1 where none did.
        reached: for each metric (members, B), the lowest exact score of each member; infinite where it did not run.
        lost: (members, B), the share of a member's iterates that lost the label; NaN where it did not run.
        moved: (members, B), whether a member's goal had a gradient; True where it did not run.
        maps: maps of the attacked explanation that were scored exactly, per image.
    """

    by_metric: Mapping[str, Found]
    members: tuple[str, ...]
    winner: Mapping[str, Tensor]
    reached: Mapping[str, Tensor]
    lost: Tensor
    moved: Tensor
    maps: float


class MemberLog:
    """What each member did."""

    def __init__(self, worst: Worst) -> None:
        self.worst = worst
        self.names: list[str] = []
        self.history: dict[str, list[Tensor]] = {m: [] for m in worst.score}
        self.rows: dict[str, list[Tensor]] = {m: [self._full(float("inf"))] for m in worst.score}
        self.lost = [self._full(float("nan"))]
        self.moved = [torch.ones_like(worst.right)]

    def _full(self, value: float) -> Tensor:
        return self.worst.clean.new_full((len(self.worst.labels),), value)

    def reached(self, number: int, rows: Tensor, values: Mapping[str, Tensor]) -> None:
        for m, value in values.items():
            self.rows[m][number][rows] = torch.minimum(self.rows[m][number][rows], value)

    def climbed(self, number: int, rows: Tensor, lost: Tensor, moved: Tensor) -> None:
        self.lost[number][rows] = lost.to(self.lost[number])
        self.moved[number][rows] = moved

    def ended(self, name: str) -> None:
        self.names.append(name)
        for m, score in self.worst.score.items():
            self.history[m].append(score.mean())
            self.rows[m].append(self._full(float("inf")))
        self.lost.append(self._full(float("nan")))
        self.moved.append(torch.ones_like(self.worst.right))

    def found(self) -> AutoFound:
        worst, count = self.worst, len(self.names)
        by_metric = {m: worst.found(m, self.history[m]) for m in worst.score}
        first = next(iter(by_metric.values()))
        return AutoFound(
            **vars(first),
            by_metric=by_metric,
            members=tuple(self.names),
            winner=dict(worst.member),
            reached={m: torch.stack(rows[:count]) for m, rows in self.rows.items()},
            lost=torch.stack(self.lost[:count]),
            moved=torch.stack(self.moved[:count]),
            maps=worst.scored / len(worst.labels),
        )
