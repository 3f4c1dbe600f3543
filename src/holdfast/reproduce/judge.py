"""One verdict from several differences, each with an interval from the images that both sides share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.recipes import TITLES
from holdfast.reproduce.paper import published_difference
from holdfast.reproduce.quantities import heading, is_share
from holdfast.reproduce.resample import LEVEL, RESAMPLES, Scores
from holdfast.reproduce.sections.words import dataset_title, listed, number, span
from holdfast.reproduce.study import Study
from holdfast.theory.claim import Claim, Verdict

LISTED = 8
"""Differences that a claim writes out; of more, those that speak against it."""
LEAST_IMAGES = 20
"""Images below which an interval from resampling decides nothing."""


@dataclass(frozen=True, eq=False)
class Part:
    """One difference that a claim says is positive.

    ``scores`` is None where a run is missing, ``missing`` names what; ``paper`` is what the paper's tables give.
    """

    label: str
    scores: Scores | None
    percent: bool
    paper: float | None = None
    missing: tuple[str, ...] = ()


def part_of(study: Study, dataset: str, weights: Mapping[str, float], key: str, label: str) -> Part:
    """The weighted sum of the methods' values on one data set."""
    return Part(
        label,
        study.contrast(dataset, weights, key),
        is_share(key),
        published_difference(key, dict(weights), dataset),
        tuple(f"{title} on {dataset_title(dataset)}" for title in study.missing(dataset, tuple(weights))),
    )


def labelled(study: Study, dataset: str, name: str, key: str) -> str:
    """A label with the quantity, and with the data set where there are several."""
    where = f"{dataset_title(dataset)} " if len(study.datasets) > 1 else ""
    return f"{where}{name} {heading(key, study.k(dataset))}"


def judge(statement: str, parts: Sequence[Part], margin: float = 0.0, remark: str = "") -> Claim:
    """A claim that every part is above ``-margin``.

    It holds if every part's 95 % interval lies above that: an intersection-union test, which needs no correction
    for the number of parts. It does not hold if the interval of one part lies below at the `corrected` level, since
    any part may refute it. It cannot be told otherwise, or where a run is missing and none refutes. A part of fewer
    than `LEAST_IMAGES` images decides nothing.
    """
    measured = [part for part in parts if part.scores is not None]
    verdict = _verdict([part.scores for part in measured if part.scores], margin)
    if verdict == "holds" and len(measured) < len(parts):
        verdict = "cannot be told"
    return Claim(statement, verdict, _evidence(parts, measured, margin), _test(measured or parts, margin, remark))


def corrected(parts: int) -> float:
    """The level at which one of several intervals refutes, after Bonferroni.

    >>> round(corrected(5), 4)
    0.99
    """
    return 1 - (1 - LEVEL) / parts


def _verdict(scores: Sequence[Scores], margin: float) -> Verdict:
    enough = [s for s in scores if s.images >= LEAST_IMAGES]
    if any(s.interval(corrected(len(scores)))[1] < -margin for s in enough):
        return "does not hold"
    sure = len(enough) == len(scores) > 0 and all(s.interval()[0] > -margin for s in scores)
    return "holds" if sure else "cannot be told"


def _written(part: Part) -> str:
    assert part.scores is not None
    mean, low, high = (difference(x, part.percent) for x in (part.scores.mean, *part.scores.interval()))
    return f"{part.label} {mean} [{low}, {high}]{' points' if part.percent else ''}"


def difference(value: float, percent: bool) -> str:
    """A difference as printed, shares in percentage points.

    >>> difference(0.0234, True), difference(-0.0234, False)
    ('+2.3', '−0.023')
    """
    return number(value, percent, 1, signed=True)


def _evidence(parts: Sequence[Part], measured: Sequence[Part], margin: float) -> str:
    limit = _limit(parts, margin)
    said = []
    against = [part for part in measured if part.scores and part.scores.interval()[0] <= -margin]
    if len(measured) > LISTED:
        said.append(f"{len(measured) - len(against)} of {len(measured)} intervals lie above {limit}")
        if against:
            said.append(f"those that do not: {', '.join(map(_written, against))}")
    elif measured:
        said.append(", ".join(map(_written, measured)))
    missing = dict.fromkeys(name for part in parts for name in part.missing)
    if missing:
        said.append(f"not run: {', '.join(missing)}")
    printed = [part.paper for part in parts if part.paper is not None]
    if printed:
        right = sum(paper > -margin for paper in printed)
        said.append(f"in the paper's tables {right} of {len(printed)} are above {limit}")
    return "; ".join(said) or "no results"


def _limit(parts: Sequence[Part], margin: float) -> str:
    if margin == 0:
        return "0"
    points = f"−{100 * margin:g} points"
    return points if all(part.percent for part in parts) else f"−{margin:g} ({points})"


def _test(parts: Sequence[Part], margin: float, remark: str) -> str:
    scores = [part.scores for part in parts if part.scores]
    if not scores:
        return "; ".join([*([remark] if remark else []), "nothing was run"])
    seeds = min(s.seeds for s in scores)
    resampled = "images" if seeds == 1 else f"images and {seeds} seeds, the same images for every seed,"
    words = [
        f"paired: {resampled} resampled {RESAMPLES} times, over the {span(s.images for s in scores)} images a seed "
        f"that all rows of a difference share; holds if every 95 % interval lies above {_limit(parts, margin)}"
    ]
    if len(scores) > 1:
        words.append(
            f"does not hold if one interval at {100 * corrected(len(scores)):.4g} % (corrected for the {len(scores)} "
            "differences, not for the other claims) lies below"
        )
    else:
        words.append("does not hold if it lies below; not corrected for the other claims")
    if min(s.images for s in scores) < LEAST_IMAGES:
        words.append(f"fewer than {LEAST_IMAGES} images decide nothing")
    if seeds == 1:
        words.append("one seed: the intervals cover the choice of images, not what training again would change")
    return "; ".join([*([remark] if remark else []), *words])


def titles(methods: Sequence[str], last: str = "and") -> str:
    """Methods as the paper writes them.

    >>> titles(("at", "trades-igr"))
    'AT and TRADES+IGR'
    """
    return listed((TITLES[method] for method in methods), last)


def places(datasets: Sequence[str]) -> str:
    """Data sets as the paper writes them."""
    return listed(dataset_title(name) for name in datasets)
