"""A class, a network or a file may be called anything: its name is text in every document, never markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from holdfast.metrics.stats import Interval
from holdfast.report import Claim, Claims, Code, Document, Facts, Row, Section, Table, Words
from holdfast.report.claim import Effect
from holdfast.report.document import Board, Entry, Figure, Tile
from holdfast.report.figures import Curve, curves_figure, figure_of, forest_figure
from holdfast.report.pictures import AttackedView, ExampleView, attribution_figure
from holdfast.report.table import Column
from holdfast.report.write import write_files

NAMES = {
    "element": "<img src=x onerror=alert(1)>",
    "script": "</style></p><script>alert(1)</script>",
    "attribute": "\" onload='alert(1)' x=\"",
    "link": "[a](javascript:alert(1))",
    "comment": "--><svg onload=alert(1)>",
    "command": r"\input{/etc/passwd} $x^ {% 1 %}",
    "formula": r"$\frac$",
}


def document_of(name: str) -> Document:
    """Every kind of block with the name wherever text stands."""
    effect = Effect(name, Interval(0.5, 0.4, 0.6, 90, 3), True, 0.65, True, 0.2, (name,))
    claim = Claim(name, "holds", name, name, effects=(effect,), whose=name)
    columns = (Column("k", name, name), Column("l", name, name, beside=True), Column("m", name, "other"))
    table = Table("table", name, columns, (Row(name, (name, name, 0.5)),), (name,), (claim,), name)
    figure = Figure("figure", name, name, name, b"", "<svg/>", (claim,), (Tile("data:,", name, name, name),) * 6)
    drawn = replace(figure, key="drawn", tiles=())
    board = Board("board", (name,), (Column("k", name),), (Entry(name, name, (name,), (Interval(0, 0, 1, 9),)),))
    blocks = (table, figure, drawn, board, Words((name,)), Words((name,), True), Facts(((name, name),)))
    sections = (Section(name, (*blocks, Code((name,)), Claims((claim,)))), Section(name, (), True, name))
    return Document(name, name, sections, (name,), (name,), ((name, name),))


class Elements(HTMLParser):
    """Which elements and attributes a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, ""), *((tag, name) for name, _ in attrs)}


def draw_curves(name: str) -> Figure:
    return figure_of(curves_figure({name: [Curve(name, (1, 2), (0, 1))]}), "f", name, name, dpi=20)


def draw_forest(name: str) -> Figure:
    return figure_of(forest_figure({name: [Effect(name, Interval(0.5, 0.4, 0.6, 90))]}), "f", name, name, dpi=20)


def draw_pictures(name: str) -> Figure:
    pixels = np.zeros((1, 2, 2))
    example = ExampleView(0, name, pixels, {name: AttackedView(pixels, pixels, pixels, 0.5, 0.5, True)})
    return figure_of(attribution_figure([example], [name], 1), "f", name, name, dpi=20)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_page_has_the_elements_it_has_with_a_plain_name(name: str) -> None:
    page = document_of(name).to_html()
    assert Elements(page).found == Elements(document_of("plain").to_html()).found
    assert page.count("plain") == 0


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_markdown_escapes_what_would_be_markup(name: str, tmp_path: Path) -> None:
    document = document_of(name)
    write_files(document, tmp_path)
    for text in (document.to_markdown(), *(file.read_text() for file in tmp_path.glob("*.md"))):
        bare = re.sub(r"\\.", "", text)
        bare = re.sub(r"^!\[[^\]]*\]\(\w+\.png\)$", "", bare, flags=re.MULTILINE)
        assert not re.search(r"<[a-zA-Z/!]|\]\(", bare)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_latex_has_the_commands_it_has_with_a_plain_name(name: str) -> None:
    (table,) = document_of(name).tables
    text = table.to_latex()
    allowed = {"textless", "textgreater", "textbackslash", "textasciicircum"}
    used, plain = (set(re.findall(r"\\([a-zA-Z]+)", t)) for t in (text, document_of("plain").tables[0].to_latex()))
    assert used - plain <= allowed
    assert not re.search(r"(?<!\\)[%#]|(?<!\\)\$(x|.?frac)", text)


@pytest.mark.parametrize("draw", [draw_curves, draw_forest, draw_pictures])
def test_a_drawing_has_no_element_of_the_name(draw: Callable[[str], Figure]) -> None:
    elements = [*ElementTree.fromstring(draw(f"{NAMES['element']} {NAMES['formula']}").svg).iter()]
    assert not {element.tag.rpartition("}")[2] for element in elements} & {"img", "script", "foreignObject"}
    assert not {key for element in elements for key in element.attrib} & {"onload", "onerror"}
