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


def test_up_to_which_weight_a_base_keeps_its_accuracy() -> None:
    """Means by hand: a loss of 2 points is within, a later recovery does not count."""

    def run(method: str, lam: float, accuracy: float) -> tuple[trials.Trial, pd.DataFrame]:
        values = [1.0] * round(100 * accuracy) + [0.0] * round(100 * (1 - accuracy))
        trial = trials.Trial("digits", method, 0, 1 / 8 if lam else 0.0, lam)
        return trial, pd.DataFrame({"quantity": "natural", "index": range(100), "value": values})

    runs = dict(
        [run("at", 0, 0.9), run("at-igr", 0.25, 0.88), run("at-igr", 0.5, 0.87), run("at-igr", 1, 0.9),
         run("mart", 0, 0.9), run("mart-igr", 0.25, 0.8), run("trades", 0, 0.5), run("trades-igr", 0.25, 0.6)]
    )  # fmt: skip
    assert trials.told_weights("Digits", runs) == (
        "Digits: natural accuracy stays within 2 points of the base's for AT up to λ = 0.25, MART with no weight and "
        "TRADES up to λ = 0.25."
    )
