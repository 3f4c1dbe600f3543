"""The page: whole in one file, in order, readable by a machine, and no wider than its window."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.report import Claim, Claims, Code, Document, Facts, Row, Section, Table, Words
from holdfast.report.table import Column

VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = "</p><script>alert(1)</script>\"'&{{ 7 * 7 }}"


class Reader(HTMLParser):
    """Collects elements and text; fails where one is not properly closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_page_needs_nothing_else(document: Document) -> None:
    page = document.to_html()
    reader = Reader(page)
    assert {tag for tag, _ in reader.elements} & {"script", "iframe", "object", "form"} == set()
    sources = [attributes.get("src") for attributes in reader.all("img")]
    assert sources
    assert all(source and source.startswith("data:") for source in sources)
    assert not re.search(r"url\(\s*['\"]?http|@import", page)


def test_images_have_alternatives_and_headings_are_in_order(document: Document) -> None:
    reader = Reader(document.to_html())
    assert all(attributes["alt"] for attributes in reader.all("img"))
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert levels.count(1) == 1


def test_everything_given_is_shown(document: Document) -> None:
    text = Reader(document.to_html()).text
    for said in (
        "They differ.", "MNIST", "PGD-40 found fewer <errors> than PGD-20", "1 holds", "tau grows",
        "AT +50.0 [+40.0, +60.0] points", "41.5 [40.0, 43.0] paper 34.35", "A | B is greater", "Losses over the steps.",
        "holdfast demo --seed 7", "A paragraph.", "Chance is 12.8 %.", "Figure 7 no weights.",
        "The best of ours", "CE + β KL(p ‖ q_j) | 5 %",
    ):  # fmt: skip
        assert said in text, said


def test_markup_in_names_is_text() -> None:
    claim = Claim(HOSTILE, "holds", HOSTILE, HOSTILE, whose=HOSTILE)
    table = Table(
        HOSTILE, HOSTILE, (Column(HOSTILE, HOSTILE, HOSTILE),), (Row(HOSTILE, (HOSTILE,)),), (HOSTILE,), (claim,)
    )
    blocks = (Claims((claim,)), table, Words((HOSTILE,)), Facts(((HOSTILE, HOSTILE),)), Code((HOSTILE,)))
    page = Document(HOSTILE, HOSTILE, (Section(HOSTILE, blocks),), (HOSTILE,), (HOSTILE,), ((HOSTILE, HOSTILE),))
    reader = Reader(page.to_html())
    assert "script" not in {tag for tag, _ in reader.elements}
    assert reader.text.count(HOSTILE) > 15


def test_subscripts_are_set_and_names_of_settings_are_not() -> None:
    page = Document("T", "", (Section("", (Words(("γ_cos of p_y(x), n_steps and eval_p_y.",)),)),)).to_html()
    assert "<var>γ</var><sub>cos</sub> of <var>p</var><sub>y</sub>(x), n_steps and eval_p_y." in page


def test_a_document_of_nothing() -> None:
    assert "T" in Reader(Document("T", "").to_html()).text
    with pytest.raises(HoldfastError, match="'T' has no table"):
        Document("T", "").to_frame()


def test_few_rows_of_many_columns_stand_beside_each_other() -> None:
    columns = tuple(Column(f"c{i}", f"C{i}") for i in range(9))
    table = Table("", "Many", columns, (Row("A", (0.5,) * 9), Row("B", (0.25,) * 9)))
    reader = Reader(table._repr_html_())
    assert len(reader.all("tr")) == 10
    assert "C8 0.500 0.250" in reader.text


def test_write_replaces_whole_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Document
) -> None:
    path = tmp_path / "new" / "page.html"
    document.to_html(path)
    before = path.read_text()

    def fail(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(HoldfastError, match="no space left"):
        Document("other", "").to_html(path)
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_a_folder_or_a_file_in_the_way_is_refused(document: Document, tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="is a folder; give the page a file name"):
        document.to_html(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(HoldfastError, match="file"):
        document.to_html(tmp_path / "file" / "page.html")


def test_same_input_same_page(document: Document) -> None:
    assert document.to_html() == document.to_html()
