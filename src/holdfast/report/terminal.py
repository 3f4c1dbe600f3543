"""A document in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from holdfast.report.claim import Claim, Verdict
from holdfast.report.document import Document
from holdfast.report.table import Cell, Column, Table

STYLES: dict[Verdict, str] = {"holds": "bold green", "does not hold": "bold red", "cannot be told": "bold yellow"}
_UNBOUNDED = 10_000


def print_document(document: Document, console: Console | None = None) -> None:
    """Print warnings, every keyed table with its notes and claims, other claims, what was left out, and the answer."""
    console = console or Console()
    for warning in document.warnings:
        console.print(Text(f"warning: {warning}", style="bold yellow"))
    for table in document.tables:
        if table.key:
            print_table(table, console)
    printed = {claim for table in document.tables for claim in table.claims}
    for figure in document.figures:
        _print_claims(figure.title, [claim for claim in figure.claims if claim not in printed], console)
        printed |= {*figure.claims}
    _print_claims("", [claim for claim in document.claims if claim not in printed], console)
    for title, reason in document.left_out:
        console.print(Text(f"left out: {title}: {reason}", style="bold yellow"))
    if document.answer:
        console.print(Text(f"\n{document.answer}"))


def print_table(table: Table, console: Console) -> None:
    """Print one table with notes and claims: whole, or a group at a time, or on its side, as it fits the console."""
    for grid in [_words(table)] if table.wordy else _fitting(table, console):
        console.print(grid)
    for note in table.notes:
        console.print(Text(note, style="dim"))
    _print_claims(table.title, table.claims, console)


def print_listing(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows that begin with a name: a table where every name and word is whole, else a block a row.

    No name is ever cut or broken: a terminal may be narrow, but what it shows can be copied.
    """
    widths = _whole_words(headings, rows, console.width - 3 * len(headings) - 1)
    if widths is None:
        console.print(Text(title, style="bold"), soft_wrap=True)
        for name, *values in rows:
            console.print(Text(name, style="bold"), soft_wrap=True)
            for heading, value in zip(headings[1:], values, strict=True):
                if value:
                    console.print(Text(f"  {heading}: {value}"), soft_wrap=True)
        return
    grid = Grid(title=Text(title, style="italic"), title_justify="left")
    for heading, width in zip(headings, widths, strict=True):
        grid.add_column(Text(heading), width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print(grid)


def _whole_words(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Widths of columns, ``width`` at most in all, that break no name and no word; None where there are none."""
    columns = [[heading, *cells] for heading, *cells in zip(headings, *rows, strict=True)]
    longest = [max(map(cell_len, cells)) for cells in columns]
    words = [max(cell_len(word) for cell in cells for word in [*cell.split(), ""]) for cells in columns]
    widths = [longest[0], *words[1:]]
    spare = width - sum(widths)
    if spare < 0:
        return None
    for i in sorted(range(len(widths)), key=lambda i: longest[i] - widths[i]):
        more = min(longest[i] - widths[i], spare)
        widths[i], spare = widths[i] + more, spare - more
    return widths


def _fitting(table: Table, console: Console) -> list[Grid | Text]:
    def fits(grid: Grid) -> bool:
        return Measurement.get(console, console.options.update(max_width=_UNBOUNDED), grid).maximum <= console.width

    if fits(numbers_grid(table)):
        return [numbers_grid(table)]
    parts = [table.of_group(name) for name, _ in table.groups]
    if len(table.rows) > 4 and all(fits(numbers_grid(part)) for part in parts):
        return [numbers_grid(part) for part in parts]
    turned = _turned(table)
    return [turned if fits(turned) else _words(table)]


def _text(table: Table, i: int, cell: Cell, separator: str, style: str) -> Text:
    column = table.columns[i]
    best = column.written(cell) == table.best(i) and style != "chance"
    text = Text(column.written(cell), style="dim" if column.beside else "bold" if best else "")
    ends = column.bounds(cell)
    return text.append(separator + ends, style="not bold dim") if ends else text


def _grid(title: str) -> Grid:
    return Grid(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)


def _heading(column: Column, separator: str) -> str:
    named = column.group and not column.beside
    return f"{column.group}{separator}{column.titled}" if named else column.titled


def _name(title: str, style: str) -> Text:
    return Text(title, style={"chance": "dim italic", "highlight": "bold"}.get(style, ""))


def numbers_grid(table: Table) -> Grid:
    """A table of rich, a row a row."""
    grid = _grid(table.title)
    grid.add_column(table.first)
    for column in table.columns:
        grid.add_column(Text(_heading(column, "\n"), style="dim" if column.beside else ""), justify="right")
    for row in table.rows:
        cells = [_text(table, i, cell, "\n", row.style) for i, cell in enumerate(row.cells)]
        grid.add_row(_name(row.title, row.style), *cells)
    return grid


def _turned(table: Table) -> Grid:
    grid = _grid(table.title)
    grid.add_column("")
    for row in table.rows:
        grid.add_column(_name(row.title, row.style), justify="right")
    for i, column in enumerate(table.columns):
        last = i + 1 == len(table.columns) or table.columns[i + 1].group != column.group
        cells = [_text(table, i, row.cells[i], " ", row.style) for row in table.rows]
        grid.add_row(Text(_heading(column, " ")), *cells, end_section=last)
    return grid


def _words(table: Table) -> Text:
    """A block a row, since sentences, and numbers on a narrow console, do not fit columns."""
    said = Text(f"{table.title}\n", style="bold")
    for row in table.rows:
        said.append(f"{row.title}\n", style="bold")
        for i, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            said.append(f"  {_heading(column, ' ')}: ")
            said.append_text(_text(table, i, cell, " ", row.style)).append("\n")
    return said


def _print_claims(title: str, claims: Sequence[Claim], console: Console) -> None:
    if not claims:
        return
    grid = Grid(title=Text(title, style="bold"), title_justify="left", box=None, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for claim in claims:
        said = Text(claim.statement).append(f"\n{claim.said}", style="dim")
        grid.add_row(Text(claim.verdict, style=STYLES[claim.verdict]), said)
    console.print(grid)
