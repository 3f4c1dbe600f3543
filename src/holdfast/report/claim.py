"""Statements with their verdicts; the differences they rest on stay numbers until a writer prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from holdfast.metrics.stats import LEAST_IMAGES, LEVEL, RESAMPLES, Interval, Sample
from holdfast.report.words import counted, interval, number, span

Verdict = Literal["holds", "does not hold", "cannot be told"]
VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "cannot be told")
MARKS: dict[Verdict, str] = {"holds": "✓", "does not hold": "✗", "cannot be told": "?"}
LISTED = 8
"""Differences that a sentence writes out; of more, those that speak against the claim."""
Z_LIMIT = 4.0


@dataclass(frozen=True)
class Effect:
    """One number that a claim says is above ``-margin``.

    ``found`` is its 95 % interval, None where nothing was measured; ``wide_high`` the upper end at the level that
    allows for the number of effects of the claim. ``decisive`` says whether seeds and images are enough for a verdict.
    ``paper`` is what the paper prints, ``missing`` names what was not run.
    """

    label: str
    found: Interval | None
    percent: bool = False
    wide_high: float | None = None
    decisive: bool = False
    paper: float | None = None
    missing: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        return " points" if self.percent else ""

    @property
    def value(self) -> str:
        """The difference with its interval, as printed."""
        if self.found is None:
            return "not measured"
        found = self.found
        ends = "" if found.low is None or found.high is None else f" {self._ends(found.low, found.high)}"
        return f"{number(found.mean, self.percent, 1, signed=True)}{ends}{self.unit}"

    def _ends(self, low: float, high: float) -> str:
        return interval(low, high, self.percent, signed=True)

    @property
    def remark(self) -> str:
        """Why it decides nothing: its few images, or its one seed; empty where it decides."""
        if self.decisive or self.found is None:
            return ""
        return counted(self.found.n, "image") if self.found.n < LEAST_IMAGES else "one seed"

    def above(self, margin: float) -> bool:
        """Whether the whole interval lies above ``-margin``."""
        return self.found is not None and self.found.low is not None and self.found.low > -margin

    def strength(self, margin: float) -> float:
        """The distance from ``-margin`` in half-widths of the interval: above 1 or below -1 is beyond it."""
        if self.found is None or self.found.low is None or self.found.high is None:
            return 0.0
        distance = self.found.mean + margin
        half = self.found.mean - self.found.low if distance > 0 else self.found.high - self.found.mean
        return distance / half if half > 0 else 0.0


@dataclass(frozen=True)
class Claim:
    """One statement with its verdict; frozen, and equal to another of the same words and numbers.

    ``effects`` are the differences that it rests on. ``evidence`` says in words what is no difference. ``whose`` names
    who states it: a heading of the page.
    """

    kind: ClassVar[str] = "claim"
    statement: str
    verdict: Verdict
    evidence: str
    test: str
    effects: tuple[Effect, ...] = ()
    margin: float = 0.0
    whose: str = ""

    @property
    def mark(self) -> str:
        return MARKS[self.verdict]

    @property
    def style(self) -> str:
        """The verdict as a class of the style sheet."""
        return self.verdict.replace(" ", "-")

    @property
    def weakest(self) -> Effect | None:
        """The measured effect that speaks most against the claim; None where nothing was measured."""
        known = [effect for effect in self.effects if effect.found is not None]
        return min(known, key=lambda effect: effect.strength(self.margin), default=None)

    @property
    def strength(self) -> float:
        """That of its weakest effect; 0 for a claim without differences."""
        return self.weakest.strength(self.margin) if self.weakest else 0.0

    @property
    def said(self) -> str:
        """The evidence in words: its own, or its effects written out."""
        return self.evidence or _written(self.effects, self.margin)


def by_strength(claims: Iterable[Claim]) -> list[Claim]:
    """What holds first, then what does not, then what cannot be told; the clearest of each first."""
    return sorted(claims, key=lambda claim: (VERDICTS.index(claim.verdict), -abs(claim.strength)))


def effect_of(
    label: str,
    sample: Sample | None,
    percent: bool,
    *,
    of: int = 1,
    paper: float | None = None,
    missing: tuple[str, ...] = (),
) -> Effect:
    """An effect from paired differences; ``of`` counts the effects of its claim."""
    if sample is None:
        return Effect(label, None, percent, paper=paper, missing=missing)
    wide = sample.ends(corrected(of))
    return Effect(label, sample.interval(), percent, wide and wide[1], sample.decisive, paper, missing)


def corrected(effects: int) -> float:
    """The level at which one of several intervals refutes, after Bonferroni.

    >>> round(corrected(5), 4)
    0.99
    """
    return 1 - (1 - LEVEL) / effects


def judge(
    statement: str,
    effects: Sequence[Effect],
    *,
    margin: float = 0.0,
    remark: str = "",
    test: str = "",
    whose: str = "",
) -> Claim:
    """A claim that every effect is above ``-margin``.

    It holds if every 95 % interval lies above that: an intersection-union test, which needs no correction for the
    number of effects. It does not hold if one interval lies below at the `corrected` level, since any may refute it.
    It cannot be told otherwise, or where something is missing and none refutes. An effect of one seed, or of fewer
    than `LEAST_IMAGES` images, decides nothing. ``test`` stands in place of the words for that.
    """
    if any(e.decisive and e.wide_high is not None and e.wide_high < -margin for e in effects):
        verdict: Verdict = "does not hold"
    elif effects and all(e.decisive and e.above(margin) for e in effects):
        verdict = "holds"
    else:
        verdict = "cannot be told"
    words = test or "; ".join([*([remark] if remark else []), *_test(effects, margin)])
    return Claim(statement, verdict, "", words, tuple(effects), margin, whose)


def _written(effects: Sequence[Effect], margin: float) -> str:
    measured = [effect for effect in effects if effect.found is not None]
    limit, said = _limit(effects, margin), []
    against = [effect for effect in measured if not effect.above(margin)]
    if len(measured) > LISTED:
        said.append(f"{len(measured) - len(against)} of {len(measured)} intervals lie above {limit}")
        if against:
            said.append(f"those that do not: {', '.join(f'{e.label} {e.value}' for e in against)}")
    elif measured:
        said.append(", ".join(f"{effect.label} {effect.value}" for effect in measured))
    missing = dict.fromkeys(name for effect in effects for name in effect.missing)
    if missing:
        said.append(f"not run: {', '.join(missing)}")
    printed = [effect.paper for effect in effects if effect.paper is not None]
    if printed:
        said.append(f"in the paper's tables {sum(p > -margin for p in printed)} of {len(printed)} are above {limit}")
    return "; ".join(said) or "no results"


def _limit(effects: Sequence[Effect], margin: float) -> str:
    if margin == 0:
        return "0"
    points = f"−{100 * margin:g} points"
    return points if all(effect.percent for effect in effects) else f"−{margin:g} ({points})"


def _test(effects: Sequence[Effect], margin: float) -> list[str]:
    found = [effect.found for effect in effects if effect.found is not None]
    if not found:
        return ["nothing was run"]
    seeds = min(f.seeds for f in found)
    images = f"the {span(f.n for f in found)} images a seed that all rows of a difference share"
    if seeds == 1:
        return [
            f"paired over {images}; an effect of one seed: its interval covers the choice of images, not what training "
            "again would change, so there is no verdict on methods"
        ]
    below = f"one interval at {100 * corrected(len(effects)):.4g} %" if len(effects) > 1 else "it"
    words = [
        f"paired over {images}, resampled {RESAMPLES} times alike for all {span(f.seeds for f in found)} seeds, with "
        f"Student's t over the seeds; holds if every 95 % interval lies above {_limit(effects, margin)}",
        f"does not hold if {below} lies below (not corrected for the other claims)",
    ]
    if min(f.n for f in found) < LEAST_IMAGES:
        words.append(f"fewer than {LEAST_IMAGES} images decide nothing")
    return words


def exact_verdict(holds: bool) -> Verdict:
    """The verdict of a test without chance.

    >>> exact_verdict(False)
    'does not hold'
    """
    return "holds" if holds else "does not hold"


def sign_verdict(z: float) -> Verdict:
    """The verdict on "this mean is positive" from the mean divided by its standard error.

    Decided only beyond ``Z_LIMIT`` standard errors on either side, which chance alone passes once in 16,000.

    >>> sign_verdict(9.0), sign_verdict(1.5), sign_verdict(-7.0)
    ('holds', 'cannot be told', 'does not hold')
    """
    if abs(z) <= Z_LIMIT or z != z:
        return "cannot be told"
    return exact_verdict(z > 0)


def closeness_verdict(gap: float, error: float, tolerance: float) -> Verdict:
    """The verdict on "these two are within ``tolerance``" from their mean difference and its standard error.

    Decided only where the difference, give or take ``Z_LIMIT`` standard errors, lies on one side.

    >>> closeness_verdict(0.01, 0.002, 0.05), closeness_verdict(0.11, 0.002, 0.05)
    ('holds', 'does not hold')
    """
    if abs(gap) + Z_LIMIT * error <= tolerance:
        return "holds"
    return "does not hold" if abs(gap) - Z_LIMIT * error > tolerance else "cannot be told"
