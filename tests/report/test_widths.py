"""No page is wider than its window, whatever the names on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.metrics.stats import Interval
from holdfast.paper.make import Request, reproduce
from holdfast.report import Claim, Claims, Code, Document, Facts, Row, Section, Table, Words
from holdfast.report.leaderboard import leaderboard
from holdfast.report.table import Column
from holdfast.results.store import results_at
from tests.report.browser import WIDTHS, needs_chromium, sideways

ROOT = Path(__file__).parents[2]
LONG = "resnet" * 20
pytestmark = [pytest.mark.slow, needs_chromium]
each_width = pytest.mark.parametrize("width", WIDTHS)


@each_width
@pytest.mark.parametrize("opened", [False, True], ids=["closed", "opened"])
def test_every_kind_of_block(document: Document, tmp_path: Path, width: int, opened: bool) -> None:
    assert sideways(document.to_html(), width, tmp_path, opened=opened) == 0


@each_width
def test_names_without_a_space(tmp_path: Path, width: int) -> None:
    claim = Claim(LONG, "holds", LONG, LONG, whose=LONG)
    value = Interval(0.5, 0.4, 0.6, 90)
    columns = tuple(Column(f"c{i}", f"Top-{i}", percent=True) for i in range(5))
    table = Table(LONG, LONG, columns, tuple(Row(f"{i}{LONG}", (value,) * 5) for i in range(5)), (LONG,), (claim,))
    few = Table(LONG, LONG, columns * 2, tuple(Row(f"{i}{LONG}", (value,) * 10) for i in range(2)))
    blocks = (Claims((claim,)), table, few, Words((LONG,)), Facts(((LONG, LONG),)), Code((LONG,)))
    page = Document(LONG, LONG, (Section(LONG, blocks),), (LONG,), (LONG,), ((LONG, LONG),))
    assert sideways(page.to_html(), width, tmp_path, opened=True) == 0


@each_width
def test_the_leaderboard_of_the_committed_records(tmp_path: Path, width: int) -> None:
    page = leaderboard(list(results_at(ROOT / "results" / "laptop")), ["holdfast leaderboard"])
    assert sideways(page.to_html(), width, tmp_path, opened=True) == 0


@each_width
def test_the_reproduction_of_the_committed_records(tmp_path: Path, width: int) -> None:
    request = Request("table2", tmp_path / "out", results=ROOT / "results" / "laptop")
    page = reproduce(request, say=lambda text: None)
    assert sideways(page.to_html(), width, tmp_path, opened=True) == 0
