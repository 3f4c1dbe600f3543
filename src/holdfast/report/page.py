"""A document as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from holdfast.errors import HoldfastError
from holdfast.files import make_folder, write_atomically
from holdfast.report.claim import VERDICTS, Claim, by_strength
from holdfast.report.document import Document, Figure
from holdfast.report.figures import data_uri
from holdfast.report.table import Cell, Column, Table

SUBSCRIPT = re.compile(r"(?<![\w.])([α-ωpg]|thickness)_([A-Za-z]+|\d+)\b")
"""A symbol with its subscript, as documents write it."""
SVG_LIMIT = 400_000
"""Bytes above which a figure is shown as PNG."""
WIDEST, FEW_ROWS = 7, 4
"""Columns above which a table is shown a group at a time, or turned on its side where its rows are few."""


def render(document: Document) -> str:
    """The page as HTML text: style and figures inline, no script, nothing fetched from elsewhere."""
    environment = Environment(
        loader=PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=unbroken,
    )
    environment.filters |= {"picture": picture_uri, "parts": table_parts}
    environment.filters |= {"pairs": paired, "strips": strips, "turned": is_turned}
    environment.filters["math"] = typeset
    environment.globals |= {"tally": tally, "by_strength": by_strength}
    return environment.get_template("document.html.j2").render(document=document)


def unbroken(value: object) -> object:
    """A text in which no line ends between a number and its per cent sign; anything else as it is.

    >>> unbroken("62 % of 8")
    '62\\xa0% of 8'
    """
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def typeset(text: str) -> Markup:
    """Text as HTML, with the subscripts of mathematical symbols set; names of settings stay as they are.

    >>> print(typeset("λ_IGR < p_y(x), n_steps"))
    <var>λ</var><sub>IGR</sub> &lt; <var>p</var><sub>y</sub>(x), n_steps
    """
    return Markup(SUBSCRIPT.sub(r"<var>\1</var><sub>\2</sub>", str(escape(text))))


def write_page(text: str, path: Path) -> None:
    """Write a page, making its folder; an older page stays until the new one is whole.

    Raises:
        HoldfastError: the file cannot be written.
    """
    if path.is_dir():
        raise HoldfastError(f"{path} is a folder; give the page a file name, such as {path / 'report.html'}.")
    make_folder(path.parent)
    write_atomically(path, text)


def picture_uri(figure: Figure) -> str:
    """A figure as a data URI: its SVG, or its PNG where that is large."""
    return data_uri(figure.svg if len(figure.svg) <= SVG_LIMIT else figure.png)


def table_parts(table: Table) -> list[tuple[str, Table]]:
    """The table whole, or a group at a time where it is wide: (group, part)."""
    columns = sum(not column.beside for column in table.columns)
    if columns <= WIDEST or table.wordy or len(table.groups) == 1:
        return [("", table)]
    return [(name, table.of_group(name)) for name, _ in table.groups]


def is_turned(table: Table) -> bool:
    """Whether its rows stand beside each other and its columns below: many columns of few rows."""
    return len(table.columns) > WIDEST and len(table.rows) <= FEW_ROWS and not table.wordy


def paired(table: Table, cells: tuple[Cell, ...]) -> list[tuple[int, Column, Cell, str]]:
    """The cells of a row as (place, column, cell, number beside it), numbers beside joined to the column before."""
    found: list[tuple[int, Column, Cell, str]] = []
    for place, (column, cell) in enumerate(zip(table.columns, cells, strict=True)):
        if column.beside and found:
            before = found.pop()
            found.append((*before[:3], "" if cell is None else column.written(cell)))
        else:
            found.append((place, column, cell, ""))
    return found


def strips(figure: Figure) -> list[tuple[str, list[object]]]:
    """The tiles of a figure, a strip at a time."""
    return [(name, list(part)) for name, part in groupby(figure.tiles, key=lambda tile: tile.strip)]


def tally(claims: tuple[Claim, ...]) -> list[tuple[str, str]]:
    """How many claims there are of each verdict that occurs: (words, style).

    >>> tally((Claim("One is two", "does not hold", "", ""),))
    [('1 does not hold', 'does-not-hold')]
    """
    several = {"holds": "hold", "does not hold": "do not hold", "cannot be told": "cannot be told"}
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS}
    return [(f"{n} {v if n == 1 else several[v]}", v.replace(" ", "-")) for v, n in counts.items() if n]
