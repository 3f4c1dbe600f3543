"""The comparison as one table of text, from which every rendering is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from holdfast.report.metrics import ACCURACY, ATTACKED, METRICS, NOISE, WORST, Metric
from holdfast.report.model import Comparison, Row

MISSING = "–"
_GROUP_WORDS = {
    ACCURACY: "accuracy",
    ATTACKED: "attribution under attack",
    WORST: "worst of three attacks",
    NOISE: "under noise",
}


@dataclass(frozen=True)
class Column:
    """One metric with its ``k`` filled in: ``heading`` under its group, ``full_heading`` on its own."""

    metric: Metric
    heading: str
    full_heading: str


@dataclass(frozen=True)
class Cell:
    """``text`` as printed, ``interval`` likewise or empty, and the numbers behind them (shares in [0, 1])."""

    text: str = MISSING
    interval: str = ""
    best: bool = False
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Line:
    """One row of cells. ``run`` is empty for the chance levels."""

    name: str
    run: str
    cells: tuple[Cell, ...]
    highlight: bool = False
    chance: bool = False


@dataclass(frozen=True)
class Table:
    """Columns that at least one row has a value for, the rows, the chance levels last, and a caption."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    caption: str

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group heading with the number of columns below it, from left to right."""
        return [(name, len(list(part))) for name, part in groupby(c.metric.group for c in self.columns)]


def build_table(comparison: Comparison) -> Table:
    """The table of a comparison; columns no row has are left out, single missing values print as a dash.

    The best mean of each column is marked by its printed text, so two values that print alike share the mark
    and a column that prints alike throughout has none.

    >>> from holdfast.report.model import Chance, Estimate
    >>> rows = [Row("TRADES", "a", {"kendall": Estimate(0.41, 0.38, 0.44, 200)}),
    ...         Row("TRADES+IGR", "b", {"kendall": Estimate(0.6, 0.58, 0.63, 200)})]
    >>> table = build_table(Comparison("t", "digits", rows, Chance(0.125, 0.0), k=8, n_features=64))
    >>> for line in table.lines:
    ...     print(line.name, line.cells[0].text, line.cells[0].interval, line.cells[0].best)
    TRADES 0.410 [0.380, 0.440] False
    TRADES+IGR 0.600 [0.580, 0.630] True
    chance 0.000  False
    """
    rows = comparison.rows
    metrics = [m for m in METRICS.values() if any(m.key in row.estimates for row in rows)]
    best = {metric.key: _best_text(metric, rows) for metric in metrics}
    lines = [Line(row.name, row.run, tuple(_cell(row, m, best[m.key]) for m in metrics), row.highlight) for row in rows]
    levels = comparison.chance.values()
    if any(metric.key in levels for metric in metrics):
        cells = tuple(
            Cell(m.number(levels[m.key]), value=levels[m.key]) if m.key in levels else Cell() for m in metrics
        )
        lines.append(Line("chance", "", cells, chance=True))
    columns = tuple(Column(m, m.title(comparison.k), m.full_title(comparison.k)) for m in metrics)
    return Table(columns, tuple(lines), _caption(comparison, metrics))


def _cell(row: Row, metric: Metric, best: str | None) -> Cell:
    estimate = row.estimates.get(metric.key)
    if estimate is None:
        return Cell()
    text = metric.number(estimate.mean)
    interval = f"[{metric.number(estimate.low)}, {metric.number(estimate.high)}]"
    return Cell(text, interval, text == best, estimate.mean, estimate.low, estimate.high, estimate.n)


def _best_text(metric: Metric, rows: Sequence[Row]) -> str | None:
    means = [row.estimates[metric.key].mean for row in rows if metric.key in row.estimates]
    printed = {metric.number(mean) for mean in means}
    if metric.higher_is_better is None or len(printed) < 2:
        return None
    return metric.number(max(means) if metric.higher_is_better else min(means))


def _caption(comparison: Comparison, metrics: list[Metric]) -> str:
    marked = any(metric.higher_is_better is not None for metric in metrics)
    sentences = [f"Means over images of {comparison.dataset} with 95 % bootstrap intervals ({_sizes(comparison)})."]
    if marked and len(comparison.rows) > 1:
        sentences.append(
            "The best mean of each column is marked, whether or not the intervals overlap: "
            "the intervals say what the difference is worth."
        )
    sentences.append(
        "The intervals cover the choice of images, not what training again from another seed would change."
    )
    if any(metric.key in ("topk", "random_topk") for metric in metrics):
        sentences.append(f"Top-{comparison.k} is taken over {comparison.n_features} features.")
    if any(metric.key in comparison.chance.values() for metric in metrics):
        sentences.append("Chance is what two unrelated attributions score.")
    if any(metric.group == ATTACKED for metric in metrics):
        sentences.append("An image on which the attribution attack found nothing counts as unchanged (1.0).")
    return " ".join(sentences)


def _sizes(comparison: Comparison) -> str:
    sizes: dict[str, set[int]] = {}
    for row in comparison.rows:
        for key, estimate in row.estimates.items():
            sizes.setdefault(METRICS[key].group, set()).add(estimate.n)
    spans: dict[str, list[str]] = {}
    for group, word in _GROUP_WORDS.items():
        if group in sizes:
            low, high = min(sizes[group]), max(sizes[group])
            spans.setdefault(f"n = {low}" if low == high else f"n = {low} to {high}", []).append(word)
    if len(spans) == 1:
        return next(iter(spans))
    return ", ".join(f"{span} for {' and '.join(words)}" for span, words in spans.items())
