"""Key numbers: the compared model's, the baseline's and how far their intervals lie apart."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.report.metrics import ATTACKED, METRICS
from holdfast.report.model import Comparison, Estimate, Row
from holdfast.report.verdict import difference

ADVERSARIAL_KEYS = ("pgd40", "pgd20", "cw_inf", "fgsm")
_OUTCOMES = {"higher": "clearly higher", "lower": "clearly lower", "unclear": "intervals overlap"}


@dataclass(frozen=True)
class Bar:
    """One model's interval on the tile's axis, in per cent of its width."""

    name: str
    run: str
    text: str
    mean: float
    low: float
    width: float


@dataclass(frozen=True)
class Tile:
    """One number of the compared model; ``change`` and ``remark`` are empty where there is no baseline.

    ``chance`` is the chance level on the same axis in per cent of its width, or None.
    """

    heading: str
    value: str
    unit: str
    change: str
    remark: str
    bars: tuple[Bar, ...]
    chance: float | None


def build_tiles(comparison: Comparison) -> list[Tile]:
    """Kendall's τ, top-k, natural and the lowest of the adversarial accuracies, as far as measured.

    The axis of each tile runs from 0 (or the lowest negative bound) to 1.
    """
    subject = comparison.candidate or comparison.baseline
    attacked = sorted(
        (key for key in ADVERSARIAL_KEYS if key in subject.estimates),
        key=lambda key: subject.estimates[key].mean,
    )
    keys = ["kendall", "topk", "natural", *attacked[:1]]
    return [_tile(key, comparison, subject) for key in keys if key in subject.estimates]


def _tile(key: str, comparison: Comparison, subject: Row) -> Tile:
    metric = METRICS[key]
    rows = [comparison.baseline] if subject is comparison.baseline else [comparison.baseline, subject]
    shown = [(row, row.estimates[key]) for row in rows if key in row.estimates]
    chance = comparison.chance.values().get(key)
    origin = min(0.0, chance or 0.0, *(estimate.low for _, estimate in shown))
    part = None if subject is comparison.baseline else difference(key, comparison.baseline, subject)
    heading = metric.title(comparison.k)
    return Tile(
        heading=f"{heading} under attack" if metric.group == ATTACKED else f"{heading} accuracy",
        value=metric.number(subject.estimates[key].mean),
        unit=metric.unit,
        change=part.text if part else "",
        remark=_OUTCOMES[part.outcome] if part else "",
        bars=tuple(_bar(row, estimate, key, origin) for row, estimate in shown),
        chance=None if chance is None else _place(chance, origin),
    )


def _place(value: float, origin: float) -> float:
    return round(100 * (value - origin) / (1 - origin), 2)


def _bar(row: Row, estimate: Estimate, key: str, origin: float) -> Bar:
    low, high = _place(estimate.low, origin), _place(estimate.high, origin)
    text = METRICS[key].number(estimate.mean)
    return Bar(row.name, row.run, text, _place(estimate.mean, origin), low, round(high - low, 2))
