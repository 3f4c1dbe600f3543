"""The paper's tables with both numbers in each cell, and where they lie on the axis of their column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from holdfast.reproduce.model import PaperCell, PaperColumn, PaperRow, PaperTable
from holdfast.reproduce.sections.words import counted, dataset_title, finite, number

DIGITS = 1
"""Digits of ours in per cent; bare numbers have two more."""


@dataclass(frozen=True)
class Strip:
    """A cell on the axis of its column, in per cent of its width.

    ``paper`` is None where the paper has no number, ``zero`` where the column is no difference.
    """

    mean: float
    low: float
    high: float
    paper: float | None
    zero: float | None


@dataclass(frozen=True)
class ShownCell:
    """Both numbers as printed, empty where there is none."""

    ours: str
    interval: str
    paper: str
    strip: Strip | None


@dataclass(frozen=True)
class ShownRow:
    """``how`` holds (method, anchor of what makes it again); ``igr`` marks rows with the paper's regulariser."""

    title: str
    how: tuple[tuple[str, str], ...]
    igr: bool
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True)
class ShownTable:
    """A table, ready to be placed; ``against`` says how the paper's numbers lie to our intervals."""

    source: PaperTable
    anchor: str
    groups: tuple[tuple[str, int], ...]
    rows: tuple[ShownRow, ...]
    against: str

    @property
    def signed(self) -> bool:
        """Whether it holds differences."""
        return any(column.signed for column in self.source.columns)

    @property
    def with_paper(self) -> set[int]:
        """The columns in which the paper has a number."""
        return {i for row in self.rows for i, cell in enumerate(row.cells) if cell.paper}

    @property
    def starts(self) -> set[int]:
        """The columns that begin a data set."""
        widths = [width for _, width in self.groups]
        return {sum(widths[:i]) for i in range(len(widths))}


def show_table(table: PaperTable, anchor: str, how: Mapping[str, tuple[str, str]]) -> ShownTable:
    """A table for the page; ``how`` maps methods, and the names of runs, to (method, anchor of its commands)."""
    below = [[row.cells[i] for row in table.rows] for i in range(len(table.columns))]
    axes = [_axis(cells, column) for cells, column in zip(below, table.columns, strict=True)]
    digits = [_paper_digits(cells, column) for cells, column in zip(below, table.columns, strict=True)]
    rows = tuple(
        ShownRow(
            row.title,
            tuple(dict.fromkeys(how[key] for key in (*row.runs, *_methods(row, table)) if key in how)),
            "igr" in row.method.split("-"),
            tuple(_cell(*parts) for parts in zip(row.cells, table.columns, axes, digits, strict=True)),
        )
        for row in table.rows
    )
    groups = tuple(
        (dataset_title(name), len(list(part))) for name, part in groupby(table.columns, key=lambda c: c.dataset)
    )
    return ShownTable(table, anchor, groups, rows, _against_the_paper([c for row in table.rows for c in row.cells]))


def _methods(row: PaperRow, table: PaperTable) -> list[str]:
    """The methods of a row: of a difference also the one that the regulariser is added to."""
    signed = any(column.signed for column in table.columns)
    return [*([row.method.partition("-igr")[0]] if signed else []), row.method]


def _axis(cells: Sequence[PaperCell], column: PaperColumn) -> tuple[float, float]:
    values = [finite(x) for cell in cells for x in (cell.ours, cell.low, cell.high, cell.paper)]
    known = [x for x in (*values, 0.0 if column.signed else None) if x is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _paper_digits(cells: Sequence[PaperCell], column: PaperColumn) -> int:
    """The digits that the paper prints in a column, counted as `number` counts them."""
    values = [x for cell in cells if (x := finite(cell.paper)) is not None]
    written = [f"{100 * x if column.percent else x:.6f}".rstrip("0") for x in values]
    places = max((len(text.partition(".")[2]) for text in written), default=0)
    return places if column.percent else places - 2


def _cell(cell: PaperCell, column: PaperColumn, axis: tuple[float, float], paper_digits: int) -> ShownCell:
    ours, low, high, paper = (finite(x) for x in (cell.ours, cell.low, cell.high, cell.paper))

    def written(value: float | None, digits: int) -> str:
        return "" if value is None else number(value, column.percent, digits, column.signed)

    def placed(value: float) -> float:
        width = axis[1] - axis[0]
        return round(100 * (value - axis[0]) / width, 1) if width else 50.0

    bounded = low is not None and high is not None
    interval = f"[{written(low, DIGITS)}, {written(high, DIGITS)}]" if bounded else ""
    strip = None
    if ours is not None:
        ends = (placed(low), placed(high)) if low is not None and high is not None else (placed(ours), placed(ours))
        strip = Strip(
            placed(ours), *ends, None if paper is None else placed(paper), placed(0.0) if column.signed else None
        )
    return ShownCell(written(ours, DIGITS), interval, written(paper, paper_digits), strip)


def _against_the_paper(cells: Sequence[PaperCell]) -> str:
    """How many of the paper's numbers our intervals hold; empty where there is nothing to compare."""
    places = [
        (cell.paper > cell.high) - (cell.paper < cell.low)
        for cell in cells
        if cell.paper is not None and cell.low is not None and cell.high is not None
    ]
    if not places:
        return ""
    inside, above, below = (places.count(side) for side in (0, 1, -1))
    return (
        f"Of the {counted(len(places), 'number')} that both have, the paper's lies inside our interval in {inside}, "
        f"above it in {above} and below it in {below}."
    )
