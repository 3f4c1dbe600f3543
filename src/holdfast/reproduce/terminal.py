"""Tables and verdicts in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from holdfast.reproduce.grid import Grid, grid_of
from holdfast.reproduce.model import Reproduction, TextTable
from holdfast.theory.claim import Claim

STYLES = {"holds": "bold green", "does not hold": "bold red", "cannot be told": "bold yellow"}
_UNBOUNDED = 10_000


def print_reproduction(reproduction: Reproduction, console: Console | None = None) -> None:
    """Every table, then the verdicts of tables, figures and statements, then what was left out."""
    console = console or Console()
    for text in reproduction.texts:
        console.print(_words(text))
    for table in reproduction.tables:
        for grid in _fitting(grid_of(table), console):
            console.print(_numbers(grid, table.title))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        _print_claims(table.title, table.claims, console)
    printed = {claim for table in reproduction.tables for claim in table.claims}
    for figure in reproduction.figures:
        _print_claims(figure.title, [claim for claim in figure.claims if claim not in printed], console)
        printed |= {*figure.claims}
    for statement in reproduction.statements:
        _print_claims(statement.title, statement.claims, console)
    for left in reproduction.left_out:
        console.print(Text(f"left out: {left.title}: {left.reason}", style="bold yellow"))


def _fitting(grid: Grid, console: Console) -> list[Grid]:
    """The table whole if it fits the console, else a table a data set."""
    unbounded = console.options.update(max_width=_UNBOUNDED)
    if Measurement.get(console, unbounded, _numbers(grid, "")).maximum <= console.width:
        return [grid]
    return [grid.of_dataset(name) for name, _ in grid.groups]


def _numbers(grid: Grid, title: str) -> Table:
    alone = f" ({grid.groups[0][0]})" if len(grid.groups) == 1 else ""
    table = Table(title=Text(title + alone, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Method")
    for column in grid.columns:
        heading = column.heading if column.of_paper or alone else f"{column.dataset}\n{column.heading}"
        table.add_column(Text(heading, style="dim" if column.of_paper else ""), justify="right")
    for name, cells in grid.rows:
        texts = []
        for column, cell in zip(grid.columns, cells, strict=True):
            text = Text(cell.text, style="dim" if column.of_paper else "bold" if cell.best else "")
            texts.append(text.append(f"\n{cell.interval}", style="not bold dim") if cell.interval else text)
        table.add_row(Text(name), *texts)
    return table


def _words(source: TextTable) -> Text:
    """A block a row, since sentences do not fit columns."""
    said = Text(source.title, style="bold")
    for name, *words in source.rows:
        said.append(f"\n{name}\n", style="bold")
        said.append("\n".join(f"  {h}: {word}" for h, word in zip(source.headings[1:], words, strict=True)))
    return said.append("\n" + "\n".join(source.notes) + "\n", style="not bold dim")


def _print_claims(title: str, claims: Sequence[Claim], console: Console) -> None:
    if not claims:
        return
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for claim in claims:
        said = Text(claim.statement).append(f"\n{claim.evidence}", style="dim")
        table.add_row(Text(claim.verdict, style=STYLES[claim.verdict]), said)
    console.print(table)
