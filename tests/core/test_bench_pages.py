"""Pages of measurements say what the committed records say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bench import contest_page, explanations, other_images, trials
from holdfast.results import load_results

ROOT = Path(__file__).parents[2]


def test_the_contest_page_is_that_of_its_records(tmp_path: Path) -> None:
    records, without = (
        json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in ("contest", "contest-external")
    )
    contest_page.write(contest_page.document_of(records, without), tmp_path / "contest.md")
    assert (tmp_path / "contest.md").read_text() == (ROOT / "docs" / "contest.md").read_text()


def test_the_page_of_other_explanations_is_that_of_its_records() -> None:
    results = load_results(ROOT / explanations.RESULTS)
    assert explanations.document_of(results).to_markdown() == (ROOT / explanations.PAGE).read_text()
    assert len(list(explanations.pairs(results))) == len(results) / 2


def test_the_page_of_trials_is_that_of_its_records() -> None:
    assert trials.page(pd.read_parquet(ROOT / trials.RECORDS)) == (ROOT / trials.PAGE).read_text()


def test_the_page_of_other_images_is_that_of_its_records() -> None:
    page = other_images.document_of(pd.read_parquet(ROOT / other_images.RECORDS)).to_markdown()
    assert page == (ROOT / other_images.PAGE).read_text()
