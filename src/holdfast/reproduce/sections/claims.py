"""Every claim once, in the group of the table, figure or statement that it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.reproduce.model import Reproduction
from holdfast.reproduce.sections.words import Anchors
from holdfast.theory.claim import Claim

MARKS = {"holds": "✓", "does not hold": "✗", "cannot be told": "?"}
"""Each verdict with its sign, in the order of the page."""


@dataclass(frozen=True)
class ShownClaim:
    """A claim with its place on the page."""

    claim: Claim
    anchor: str

    @property
    def mark(self) -> str:
        return MARKS[self.claim.verdict]

    @property
    def style(self) -> str:
        """The verdict as a class of the style sheet."""
        return self.claim.verdict.replace(" ", "-")


@dataclass(frozen=True)
class ClaimGroup:
    """The claims of one table, figure or statement; ``shown_at`` is where it stands on the page, if elsewhere."""

    title: str
    anchor: str
    shown_at: str | None
    claims: tuple[ShownClaim, ...]

    @property
    def is_statement(self) -> bool:
        return self.shown_at is None


@dataclass(frozen=True)
class Claims:
    """All groups, and the place of each claim."""

    groups: tuple[ClaimGroup, ...] = ()
    at: Mapping[Claim, ShownClaim] = field(default_factory=dict)

    def shown(self, claims: Sequence[Claim]) -> list[ShownClaim]:
        """Some claims with their places, each once."""
        return [self.at[claim] for claim in dict.fromkeys(claims)]

    @property
    def counts(self) -> list[tuple[str, str, str, int]]:
        """Verdict, sign, style and number of claims, for each verdict that occurs."""
        found = Counter(claim.verdict for claim in self.at)
        return [(v, mark, v.replace(" ", "-"), found[v]) for v, mark in MARKS.items() if found[v]]  # type: ignore[index]


def gather_claims(
    reproduction: Reproduction, tables: Sequence[str], figures: Sequence[str], anchors: Anchors
) -> Claims:
    """The claims of tables, statements and figures, in this order.

    A claim that several of them name is listed with the first alone. ``tables`` and ``figures`` are their anchors.
    """
    sources: list[tuple[str, str, str | None, Sequence[Claim]]] = [
        *((t.title, t.key, place, t.claims) for t, place in zip(reproduction.tables, tables, strict=True)),
        *((s.title, s.key, None, s.claims) for s in reproduction.statements),
        *((f.title, f.key, place, f.claims) for f, place in zip(reproduction.figures, figures, strict=True)),
    ]
    groups, at = [], dict[Claim, ShownClaim]()
    for title, key, place, claims in sources:
        fresh = [claim for claim in dict.fromkeys(claims) if claim not in at]
        at |= {claim: ShownClaim(claim, f"claim-{n}") for n, claim in enumerate(fresh, len(at) + 1)}
        if fresh:
            groups.append(ClaimGroup(title, anchors.take("verdicts", key), place, tuple(at[claim] for claim in fresh)))
    return Claims(tuple(groups), at)
