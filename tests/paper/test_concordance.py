"""Goodman and Kruskal's gamma of tau with its substitutes, against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from holdfast.paper.concordance import concordance, concordance_claims, pair_signs, weighted_gamma
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
    found = concordance(study(*runs), "mnist", "signed")
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
    found = concordance(study(run), "mnist", "signed")
    assert found is not None
    assert found.clouds[0].index.tolist() == list(range(30))


def test_none_without_the_columns(study: MakeStudy, result: MakeResult) -> None:
    run = result("at", kendall=TAU)
    for row in run.records["attribution"]:
        del row["magnitude_cosine"]
    assert concordance(study(run), "mnist", "magnitude") is None
    assert concordance(study(run), "mnist", "signed") is not None
    assert concordance(study(result("ssr")), "mnist", "signed") is None, "rows of Table 3 alone"


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
    found = concordance(study(*runs), "mnist", "signed")
    assert found is not None
    first, second = concordance_claims(found)
    assert (first.verdict, second.verdict) == (grows, better)
    assert second.effects[0].paper == 0.7321
    assert second.effects[1].paper == pytest.approx(0.7321 - 0.6243)


def test_seeds_that_disagree_widen_the_interval(study: MakeStudy, result: MakeResult) -> None:
    """Seeds that disagree widen the interval of their mean."""
    rows = [result("at", seed=seed, kendall=TAU, cosine=(1 - seed) * TAU, pearson=NOISE) for seed in (0, 2)]
    found = concordance(study(*rows), "mnist", "signed")
    assert found is not None
    assert found.cosine == pytest.approx(0)
    assert found.grows.found is not None
    assert found.grows.found.high is not None
    assert found.grows.found.high > 2, "two seeds at -1 and 1: Student's t with one degree of freedom"
