"""Goodman and Kruskal's gamma of tau with its substitutes, against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from holdfast.paper.concordance import (
    READINGS,
    concordance,
    concordance_claims,
    pair_signs,
    reading_answer,
    weighted_gamma,
)
from holdfast.report.claim import Verdict

from .conftest import MakeResult, MakeStudy

RNG = np.random.default_rng(0)
TAU = RNG.uniform(size=40)
NOISE = RNG.normal(size=40)


def brute_gamma(a: np.ndarray, b: np.ndarray) -> float:
    signs = [np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in combinations(range(len(a)), 2)]
    return sum(signs) / np.abs(signs).sum()


def test_weighted_gamma_is_that_of_the_images_repeated() -> None:
    a, b = RNG.integers(4, size=(2, 12)).astype(float)
    counts = RNG.integers(3, size=(5, 12))
    expected = [brute_gamma(np.repeat(a, row), np.repeat(b, row)) for row in counts]
    np.testing.assert_allclose(weighted_gamma(pair_signs(a, b), counts.astype(float)), expected)


def test_gammas_are_means_over_runs(study: MakeStudy, result: MakeResult) -> None:
    cosines = {"at": TAU + NOISE, "mart-igr": TAU + 0.1 * NOISE}
    runs = [result(m, kendall=TAU, cosine=c, pearson=NOISE) for m, c in cosines.items()]
    found = concordance(study(*runs), "mnist", "all")
    assert found is not None
    assert found.cosine == pytest.approx(np.mean([brute_gamma(TAU, c) for c in cosines.values()]))
    assert found.pearson == pytest.approx(brute_gamma(TAU, NOISE))
    assert found.pooled[0] == pytest.approx(brute_gamma(np.tile(TAU, 2), np.concatenate([*cosines.values()])))
    assert found.zeros == 0, "every share of zeros is the same"
    lead = found.leads.found
    assert lead is not None
    assert lead.mean == pytest.approx(found.cosine - found.pearson)
    assert lead.low is not None
    assert lead.high is not None
    assert lead.low < lead.mean < lead.high
    assert not found.leads.decisive, "one seed"


def test_failed_attacks_are_left_out(study: MakeStudy, result: MakeResult) -> None:
    succeeded = [True] * 30 + [False] * 10
    values = np.where(succeeded, TAU, 1.0)
    run = result("at", kendall=values, cosine=values, pearson=values, succeeded=succeeded)
    found = concordance(study(run), "mnist", "all")
    assert found is not None
    assert found.clouds[0].index.tolist() == list(range(30))


def test_none_without_the_columns(study: MakeStudy, result: MakeResult) -> None:
    run = result("at", kendall=TAU)
    assert concordance(study(run), "mnist", "nonzero") is None
    assert concordance(study(run), "mnist", "all") is not None
    assert concordance(study(result("ssr")), "mnist", "all") is None, "rows of Table 3 alone"


def test_the_readings_of_tau(study: MakeStudy, result: MakeResult) -> None:
    """Over black pixels tau counts zeros; among the others it grows with the cosine, and the answer says so."""
    zeros = 0.5 + TAU / 2
    columns = {"kendall": -TAU, "kendall_nonzero": TAU, "cosine": TAU, "pearson": NOISE, "zero_share": zeros}
    studied = study(*(result("at", seed=seed, magnitude_cosine=NOISE, **columns) for seed in (0, 1)))
    rows = [concordance(studied, "mnist", reading) for reading in READINGS]
    every, nonzero = (row for row in rows if row is not None)
    assert (every.cosine, nonzero.cosine) == (-1, 1)
    assert every.zeros == -1
    assert every.of_magnitudes == pytest.approx(brute_gamma(-TAU, NOISE))
    assert every.black == pytest.approx(zeros.mean())
    assert [c.verdict for c in concordance_claims(every)] == ["does not hold", "does not hold"]
    assert [c.verdict for c in concordance_claims(nonzero)] == ["holds", "holds"]
    assert "not 0 in the clean map" in concordance_claims(nonzero)[0].statement
    said = reading_answer([every, nonzero])
    assert f"{100 * zeros.mean():.0f} % of a clean map" in said
    assert "γ_cos is +1.000" in said
    assert reading_answer([every]) == reading_answer([nonzero, replace(every, cosine=0.4)]) == ""


@pytest.mark.parametrize(
    ("cosine", "pearson", "grows", "better"),
    [
        (TAU + 0.05 * NOISE, TAU + 2 * NOISE, "holds", "holds"),
        (TAU + 0.4 * NOISE, TAU + 0.05 * NOISE, "holds", "does not hold"),
        (-TAU + 0.05 * NOISE, -TAU, "does not hold", "does not hold"),
        (TAU, TAU, "holds", "cannot be told"),
        (NOISE, NOISE, "cannot be told", "cannot be told"),
    ],
    ids=["better", "worse", "both fall as tau rises", "alike", "unrelated"],
)
def test_verdicts(
    study: MakeStudy, result: MakeResult, cosine: np.ndarray, pearson: np.ndarray, grows: Verdict, better: Verdict
) -> None:
    runs = [result("at", seed=seed, kendall=TAU, cosine=cosine, pearson=pearson) for seed in (0, 1)]
    found = concordance(study(*runs), "mnist", "all")
    assert found is not None
    first, second = concordance_claims(found)
    assert (first.verdict, second.verdict) == (grows, better)
    assert second.effects[0].paper == 0.7321
    assert second.effects[1].paper == pytest.approx(0.7321 - 0.6243)


def test_seeds_that_disagree_widen_the_interval(study: MakeStudy, result: MakeResult) -> None:
    """Seeds that disagree widen the interval of their mean."""
    rows = [result("at", seed=seed, kendall=TAU, cosine=(1 - seed) * TAU, pearson=NOISE) for seed in (0, 2)]
    found = concordance(study(*rows), "mnist", "all")
    assert found is not None
    assert found.cosine == pytest.approx(0)
    assert found.grows.found is not None
    assert found.grows.found.high is not None
    assert found.grows.found.high > 2, "two seeds at -1 and 1: Student's t with one degree of freedom"
