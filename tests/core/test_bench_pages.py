"""Pages of measurements say what the committed records say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import autoattack, contest_page, explanations, graded, other_images, pairs, trials
from holdfast.metrics.stats import Interval
from holdfast.report.table import Column, Row, Table
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


@pytest.mark.parametrize("made", [graded, autoattack], ids=lambda module: module.__name__)
def test_the_page_of_networks_of_the_zoo_is_that_of_its_records(made: Any) -> None:
    assert made.document_of(pd.read_parquet(ROOT / made.RECORDS)).to_markdown() == (ROOT / made.PAGE).read_text()


def test_gamma_over_networks_is_the_mean_of_theirs() -> None:
    """Counted by hand: one network orders every pair alike, the other none."""
    ordered = pd.DataFrame({"method": "at", "image": range(4), "kendall": [1.0, 2, 3, 4], "cosine": [1.0, 2, 3, 4]})
    turned = ordered.assign(method="at-igr", cosine=[4.0, 3, 2, 1])
    both = pd.concat([ordered, turned, turned.assign(method="mart")], ignore_index=True)
    mean, low, high = graded.gamma(both, both["image"] >= 0, "kendall", "cosine")
    assert (mean, low, high) == pytest.approx((-1 / 3, -1 / 3, -1 / 3), abs=0.02)


def test_which_pairs_autoattack_tells_apart() -> None:
    """Thirty of sixty images more are beyond any interval, none more is not."""
    parts = [
        pd.DataFrame({"network": f"{setup}/{base}{igr}", "image": range(60)})
        for setup, bases in pairs.BASES.items()
        for base in bases
        for igr in ("", "-igr")
    ]
    records = pd.concat(parts, ignore_index=True).assign(natural=True, pgd20=True)
    gained = (records["network"] == "cifar10/at-igr") & (records["image"] < 45)
    records["autoattack"] = gained | (records["image"] < 15)
    answer = autoattack.document_of(records).answer
    assert "beyond the interval on CIFAR-10 AT (+50.0 " in answer
    assert "cannot be told from its base on MNIST AT (+0.0 " in answer


def test_which_explanations_are_told_apart() -> None:
    interval = Interval(0.1, 0.05, 0.15, 100, 3)
    columns = (Column("natural", "natural"), Column("topk", "top-k", "IFIA"))
    rows = (
        Row("TRADES less integrated gradients", (interval, interval)),
        Row("TRADES+IGR through saliency less integrated gradients", (replace(interval, low=-0.1), interval)),
    )
    told = trials.told_apart("D", Table("t", "T", columns, rows), *trials.APART["through"])
    assert told == (
        "D: TRADES+IGR through saliency in IFIA top-k (above it) can be told from IGR through integrated gradients."
    )


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
