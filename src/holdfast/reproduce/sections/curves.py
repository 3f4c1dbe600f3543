"""Training curves as small drawings: a card a method, with its regularised variants beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.recipes import TITLES
from holdfast.reproduce.sections.runs import by_dataset
from holdfast.reproduce.sections.words import Anchors, dataset_title, number
from holdfast.results import RunResult

WIDTH, HEIGHT = 280, 112
"""A panel, in units of its drawing."""
LEFT, RIGHT, TOP, FLOOR = 30, 274, 24, 94
"""Where its axes begin and end."""
FEW = 25
"""Up to so many points each gets a dot."""


@dataclass(frozen=True)
class Line:
    """One run's course of one quantity: points as an SVG path; dots where there are few. ``style`` is its colour."""

    style: str
    path: str
    dots: tuple[tuple[float, float], ...]
    dashed: bool


@dataclass(frozen=True)
class Panel:
    """One pair of axes; ticks are (place, text)."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Card:
    """A method and its variants: the legend as (style, title), panels below each other, and both in words."""

    title: str
    legend: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]
    description: str


@dataclass(frozen=True)
class CurveSet:
    """All cards of one data set."""

    title: str
    anchor: str
    cards: tuple[Card, ...]

    @property
    def has_own(self) -> bool:
        """Whether a run has the regulariser with its own adversary."""
        return any(style == "own" for card in self.cards for style, _ in card.legend)


@dataclass(frozen=True)
class _Quantity:
    kind: str
    key: str
    word: str
    percent: bool = False


_LOSS = _Quantity("train", "loss", "loss")
_CLEAN = _Quantity("validation", "natural", "clean accuracy", percent=True)
_ATTACKED = _Quantity("validation", "adversarial", "attacked accuracy", percent=True)
_COSINE = _Quantity("validation", "cosine", "cosine")
_PANELS = (
    ("Training loss", (_LOSS,)),
    ("Validation accuracy, %", (_CLEAN, _ATTACKED)),
    ("Validation cosine of IG(x) and IG(x̃)", (_COSINE,)),
)


def curve_sets(results: Sequence[RunResult], anchors: Anchors) -> list[CurveSet]:
    """The curves of every data set that has logs."""
    found = []
    for name, part in by_dataset([run for run in results if run.log]).items():
        families: dict[str, list[RunResult]] = {}
        for run in part:
            families.setdefault(_family(run.method)[0], []).append(run)
        order = [*TITLES, *families]
        cards = [_card(family, families[family]) for family in sorted(families, key=order.index)]
        found.append(CurveSet(dataset_title(name), anchors.take("training", name), tuple(cards)))
    return found


def _family(method: str) -> tuple[str, str]:
    """A method without the regulariser, and the style of its lines.

    >>> _family("trades"), _family("trades-igr"), _family("at-igr-own")
    (('trades', 'base'), ('trades', 'igr'), ('at', 'own'))
    """
    base, mark, variant = method.partition("-igr")
    return base, "own" if variant else "igr" if mark else "base"


def _card(family: str, runs: Sequence[RunResult]) -> Card:
    panels = (_panel(title, quantities, runs) for title, quantities in _PANELS)
    legend = dict.fromkeys((_family(run.method)[1], run.title) for run in runs)
    described = "; ".join(_describe(run) for run in runs)
    return Card(TITLES.get(family, family), tuple(legend), tuple(p for p in panels if p), described)


def _describe(run: RunResult) -> str:
    """Where the curves of a run end, in words."""
    ends = [
        (quantity, points[-1][1])
        for quantity in (_LOSS, _CLEAN, _ATTACKED, _COSINE)
        if (points := _points(run, quantity))
    ]
    said = [f"{q.word} {number(end, q.percent, 1)}{' %' if q.percent else ''}" for q, end in ends]
    return f"{run.title}, seed {run.seed}, ends at {', '.join(said)}"


def _points(run: RunResult, quantity: _Quantity) -> list[tuple[float, float]]:
    """(epochs passed, value) of every finite value."""
    last = run.log[-1]
    pace = last["epoch"] / max(line["step"] for line in run.log)
    lines: list[dict[str, Any]] = [line for line in run.log if line["kind"] == quantity.kind]
    return [
        (line["step"] * pace, line[quantity.key]) for line in lines if math.isfinite(line.get(quantity.key, math.nan))
    ]


def _panel(title: str, quantities: Sequence[_Quantity], runs: Sequence[RunResult]) -> Panel | None:
    curves = [(run, q, points) for run in runs for q in quantities if (points := _points(run, q))]
    if not curves:
        return None
    epochs = max(points[-1][0] for _, _, points in curves)
    values = [y for _, _, points in curves for _, y in points]
    low, high = _range(values, quantities)
    scale = 100 if quantities[0].percent else 1

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * point[0] / epochs
        return round(x, 1), round(FLOOR - (FLOOR - TOP) * (point[1] - low) / (high - low), 1)

    lines = []
    for run, quantity, points in curves:
        at = [place(point) for point in points]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in at)
        lines.append(Line(_family(run.method)[1], path, tuple(at) if len(at) <= FEW else (), quantity is _ATTACKED))
    ticks = [low + (high - low) * part for part in (0, 0.5, 1)]
    y_ticks = tuple((place((0, tick))[1], f"{tick * scale:g}".replace("-", "−")) for tick in ticks)
    x_ticks = tuple((place((tick, low))[0], f"{tick:g}") for tick in (0, round(epochs)))
    return Panel(title, tuple(lines), x_ticks, y_ticks)


def _range(values: Sequence[float], quantities: Sequence[_Quantity]) -> tuple[float, float]:
    """Ends of the vertical axis: 0 to 1 for shares and cosines, for a loss 0 to a round number."""
    if quantities[0] is not _LOSS:
        return (-1.0 if min(values) < 0 else 0.0), 1.0
    return -_rounded_up(-min(values)), _rounded_up(max(values)) or 1.0


def _rounded_up(value: float) -> float:
    """The next 1, 2, 4, 5 or 10 times a power of ten; 0 for what is not positive.

    >>> _rounded_up(2.3), _rounded_up(0.07), _rounded_up(-1.0)
    (4.0, 0.1, 0.0)
    """
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10, 20) if value <= step * power)
