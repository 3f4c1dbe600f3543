"""The table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from holdfast.report.model import Comparison
from holdfast.report.tables import Cell, Line, Table, build_table
from holdfast.report.verdict import judge

_UNBOUNDED = 10_000


def to_rich(table: Table, title: str = "", turned: bool = False) -> RichTable:
    """A rich table, best values bold; ``turned`` puts the models side by side and the metrics below them."""
    grid = RichTable(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    if turned:
        grid.add_column("")
        for line in table.lines:
            grid.add_column(_name(line), justify="right")
        for i, column in enumerate(table.columns):
            last = i + 1 == len(table.columns) or table.columns[i + 1].metric.group != column.metric.group
            cells = (_text(line.cells[i], " ") for line in table.lines)
            grid.add_row(Text(column.full_heading), *cells, end_section=last)
        return grid
    grid.add_column("Model")
    for column in table.columns:
        grid.add_column(Text(column.full_heading), justify="right")
    for line in table.lines:
        grid.add_row(_name(line), *(_text(cell, "\n") for cell in line.cells), end_section=not line.chance)
    return grid


def print_table(comparison: Comparison, console: Console | None = None) -> None:
    """Print warnings, table, caption and verdict; a table too wide for the console is turned on its side."""
    console = console or Console()
    table = build_table(comparison)
    grid = to_rich(table, comparison.title)
    unbounded = console.options.update(max_width=_UNBOUNDED)
    if Measurement.get(console, unbounded, grid).maximum > console.width:
        grid = to_rich(table, comparison.title, turned=True)
    for warning in comparison.warnings:
        console.print(Text(f"warning: {warning}", style="bold yellow"))
    console.print(grid)
    console.print(Text(table.caption, style="dim"))
    if comparison.candidate is not None:
        verdict = judge(comparison)
        console.print(Text("\n" + " ".join([verdict.sentence, *verdict.caveats])))


def _name(line: Line) -> Text:
    return Text(line.name, style="dim italic" if line.chance else "bold" if line.highlight else "")


def _text(cell: Cell, separator: str) -> Text:
    text = Text(cell.text, style="bold" if cell.best else "")
    return text.append(separator + cell.interval, style="not bold dim") if cell.interval else text
