"""The page stands alone, escapes what it shows and replaces an older page whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError
from holdfast.report import Chance, Comparison, Estimate, Row, render_page, write_page

VOID = {"meta", "link", "img", "br", "hr", "line", "rect"}


class Reader(HTMLParser):
    """Collects elements and text; notes any that are not properly closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def test_page_needs_nothing_else(comparison: Comparison) -> None:
    page = render_page(comparison)
    reader = Reader(page)
    assert reader.open == []
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    tags = [tag for tag, _ in reader.elements]
    assert "script" not in tags
    assert "iframe" not in tags
    for _, attributes in reader.elements:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")


def test_images_have_alternatives_and_headings_are_in_order(comparison: Comparison) -> None:
    elements = Reader(render_page(comparison)).elements
    images = [attributes for tag, attributes in elements if tag == "img"]
    assert len(images) == 2
    assert all(len(image["alt"] or "") > 20 for image in images)
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_everything_given_is_shown(comparison: Comparison) -> None:
    text = Reader(render_page(comparison)).text
    assert comparison.title in text
    for shown in (*comparison.warnings, *comparison.notes, *comparison.commands):
        assert shown in text
    for setting in comparison.settings:
        assert setting.name in text
        assert setting.value in text
        assert setting.origin in text
    for name, value in comparison.environment.items():
        assert name in text
        assert value in text
    assert "[0.625, 0.685]" in text
    assert "Share of the 8 most important features" in text
    assert "{k}" not in text


def test_markup_in_names_is_text() -> None:
    rows = [
        Row(name, name, {"natural": Estimate(0.9, 0.8, 0.95, 9)}) for name in ('<script>alert("1")</script>', "A & B")
    ]
    page = render_page(Comparison("a < b & c", "<d>", rows, Chance(0.1, 0.0), k=1, n_features=9))
    reader = Reader(page)
    assert "script" not in [tag for tag, _ in reader.elements]
    assert "<title>a &lt; b &amp; c</title>" in page
    assert '<script>alert("1")</script>' in reader.text
    assert "&lt;d&gt;" in page


def test_sparse_comparison_leaves_sections_out() -> None:
    rows = [Row("A", "a", {"natural": Estimate(0.9, 0.8, 0.95, 9)}), Row("B", "b", {})]
    text = Reader(render_page(Comparison("t", "d", rows, Chance(0.1, 0.0), k=1, n_features=9))).text
    assert "–" in text
    for heading in ("Training", "Settings", "Environment", "Notes", "How to reproduce", "Self-checks"):
        assert heading not in text


def test_page_without_any_number() -> None:
    page = render_page(Comparison("t", "d", [Row("A", "a", {})], Chance(0.1, 0.0), k=1, n_features=9))
    assert "Only A was evaluated" in page


def test_write_replaces_whole_and_leaves_nothing_behind(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = replace(comparison, examples=[], curves={})
    path = tmp_path / "runs" / "demo" / "report.html"
    assert write_page(comparison, path) == path
    before = path.read_text(encoding="utf-8")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(HoldfastError, match="No space left on device"):
        write_page(replace(comparison, title="another"), path)
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_folder_or_a_file_in_the_way_is_refused(comparison: Comparison, tmp_path: Path) -> None:
    comparison = replace(comparison, examples=[], curves={})
    with pytest.raises(HoldfastError, match="is a folder"):
        write_page(comparison, tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(HoldfastError, match="cannot write the page"):
        write_page(comparison, tmp_path / "taken" / "report.html")


def test_same_input_same_page(comparison: Comparison) -> None:
    assert render_page(comparison) == render_page(comparison)


def test_reports_run_no_network() -> None:
    code = "import sys, holdfast.report; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
