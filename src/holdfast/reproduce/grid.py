"""A table of the paper as lines of text, from which Markdown, LaTeX and the terminal are made."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.reproduce.model import PaperCell, PaperColumn, PaperTable
from holdfast.reproduce.sections.words import dataset_title, number

MISSING = "–"
DIGITS, PAPER_DIGITS = 1, 2
"""Digits of shares in per cent; bare numbers have two more."""


@dataclass(frozen=True)
class GridColumn:
    """One column of text: ours with its interval, or the paper's number of the same quantity."""

    dataset: str
    heading: str
    of_paper: bool


@dataclass(frozen=True)
class GridCell:
    """``text`` as printed; ``best`` marks the largest of ours in a column."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """Columns, and a title with its cells a row."""

    columns: tuple[GridColumn, ...]
    rows: tuple[tuple[str, tuple[GridCell, ...]], ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Data sets with the number of their columns."""
        names = [column.dataset for column in self.columns]
        return [(name, names.count(name)) for name in dict.fromkeys(names)]

    def of_dataset(self, name: str) -> Grid:
        """The columns of one data set alone."""
        kept = [i for i, column in enumerate(self.columns) if column.dataset == name]
        rows = tuple((title, tuple(cells[i] for i in kept)) for title, cells in self.rows)
        return Grid(tuple(self.columns[i] for i in kept), rows)


def grid_of(table: PaperTable) -> Grid:
    """Ours and the paper's side by side; a quantity without any number of the paper has no column for it."""
    columns: list[GridColumn] = []
    parts: list[list[GridCell]] = []
    for i, column in enumerate(table.columns):
        cells = [row.cells[i] for row in table.rows]
        best = _best(column, cells)
        name = dataset_title(column.dataset)
        unit = " (points)" if column.signed else " (%)"
        columns.append(GridColumn(name, column.heading + (unit if column.percent else ""), False))
        parts.append([_ours(cell, column, best) for cell in cells])
        if any(cell.paper is not None for cell in cells):
            columns.append(GridColumn(name, "paper", True))
            parts.append([_paper(cell, column) for cell in cells])
    return Grid(tuple(columns), tuple((row.title, tuple(p[i] for p in parts)) for i, row in enumerate(table.rows)))


def _written(value: float, column: PaperColumn, digits: int) -> str:
    return number(value, column.percent, digits, column.signed)


def _best(column: PaperColumn, cells: list[PaperCell]) -> str | None:
    """How the largest of ours is printed, where there is more than one number to choose from."""
    known = [cell.ours for cell in cells if cell.ours is not None]
    if column.signed or column.key == "failure_rate" or len({_written(x, column, DIGITS) for x in known}) < 2:
        return None
    return _written(max(known), column, DIGITS)


def _ours(cell: PaperCell, column: PaperColumn, best: str | None) -> GridCell:
    if cell.ours is None:
        return GridCell(MISSING)
    text = _written(cell.ours, column, DIGITS)
    bounded = cell.low is not None and cell.high is not None
    ends = [_written(end, column, DIGITS) for end in (cell.low, cell.high) if end is not None]
    return GridCell(text, f"[{', '.join(ends)}]" if bounded else "", text == best)


def _paper(cell: PaperCell, column: PaperColumn) -> GridCell:
    return GridCell(MISSING if cell.paper is None else _written(cell.paper, column, PAPER_DIGITS))
