"""Theorem 1 between two ends, against scipy over all orders."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest
from scipy.stats import kendalltau

from holdfast.errors import HoldfastError
from holdfast.paper.theory.kendall_cosine import (
    Law,
    Vector,
    draw,
    exact_gap,
    random_pairs,
    relaxed_event,
    sampled_gap,
    single_scalings,
    single_swaps,
    tau_with,
    unconditional_sum,
)

LAWS = get_args(Law)


def cosine(a: Vector, b: Vector) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def tau_a(a: Vector, b: Vector) -> float:
    """Eq. 2, a pair at a time."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return float(sum(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in pairs) / len(pairs))


def brute_force(x: Vector, x_other: Vector, values: Vector) -> tuple[float, float, float]:
    """Mean difference, chance of the condition and share of falling tau, over all orders."""
    orders = [np.array(order) for order in itertools.permutations(values)]
    met = [y for y in orders if cosine(x, y) >= cosine(x_other, y)]
    differences = np.array([tau_a(x, y) - tau_a(x_other, y) for y in met])
    return differences.mean(), len(met) / len(orders), (differences < -1e-12).mean()


@pytest.mark.parametrize(("vectors", "y"), [*itertools.product(LAWS, ("exponential", "cauchy"))])
def test_exact_gap_equals_brute_force(vectors: Law, y: Law) -> None:
    rng = np.random.default_rng(1)
    x, x_other = draw(vectors, 2, 5, rng)
    values = draw(y, 1, 5, rng)[0]
    found = exact_gap(x, x_other, values)
    assert (found.mean, found.chance, found.reversed_share) == pytest.approx(brute_force(x, x_other, values))


@pytest.mark.parametrize("features", [3, 6])
@pytest.mark.parametrize(("vectors", "y"), [("exponential", "exponential"), ("normal", "normal"), ("sparse", "cauchy")])
def test_the_larger_cosine_never_has_the_smaller_mean_tau(vectors: Law, y: Law, features: int) -> None:
    found = random_pairs(features, 150, 3, vectors, y)
    assert len(found.mean) > 100
    assert found.mean.min() >= 0
    assert found.least_term >= 0
    assert found.mean.mean() > 0.2
    assert found.reversed_share.max() > 0, "for a single Y tau may well be smaller"


def test_the_smaller_cosine_never_has_the_larger_mean_tau() -> None:
    rng = np.random.default_rng(4)
    for x, x_other, values in zip(*(draw("normal", 50, 5, rng) for _ in range(3)), strict=True):
        given_larger, given_smaller = exact_gap(x, x_other, values), exact_gap(x_other, x, values)
        if 0 < given_larger.chance < 1:
            both = given_larger.mean * given_larger.chance - given_smaller.mean * given_smaller.chance
            assert both == pytest.approx(0, abs=1e-12), "all orders together have mean 0"


def test_a_condition_that_no_order_meets() -> None:
    found = exact_gap(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    assert found.chance == 0
    assert np.isnan(found.mean)


@pytest.mark.parametrize("features", [3, 4, 6])
def test_a_swap_lowers_tau_with_the_cosine_for_every_y(features: int) -> None:
    found = single_swaps(features, 5, seed=2)
    assert found.least == pytest.approx(4 / (features * (features - 1)))
    assert found.bound == pytest.approx(found.least)
    assert found.checked == 5 * features * (features - 1) // 2 * math.factorial(features) // 2


@pytest.mark.parametrize("features", [6, 784])
def test_swaps_by_scipy(features: int) -> None:
    rng = np.random.default_rng(6)
    lowered = 0
    for _ in range(40):
        x, y = rng.exponential(size=(2, features))
        swapped = x.copy()
        p, q = rng.choice(features, 2, replace=False)
        swapped[[p, q]] = x[[q, p]]
        if cosine(swapped, y) < cosine(x, y):
            fall = kendalltau(x, y).statistic - kendalltau(swapped, y).statistic
            assert fall >= 4 / (features * (features - 1)) - 1e-12
            lowered += 1
    assert lowered > 10


def test_a_scaling_lowers_tau_in_the_mean_and_not_always() -> None:
    found = single_scalings(5, 300, seed=7)
    assert found.mean.min() >= 0
    assert found.least_term >= 0
    assert found.mean.max() > 0.1
    assert found.reversed_share.max() > 0.1


def test_without_a_condition_the_mean_is_zero() -> None:
    assert unconditional_sum(5, 10, seed=8) == 0
    rng = np.random.default_rng(8)
    x, values = rng.exponential(size=(2, 5))
    taus = [kendalltau(x, np.array(order)).statistic for order in itertools.permutations(values)]
    assert np.mean(taus) == pytest.approx(0, abs=1e-12)


def test_the_relaxed_event_is_larger() -> None:
    found = relaxed_event(5, 50, seed=9)
    assert found.missed == 0
    assert found.relaxed_chance > found.cosine_chance + 0.1


def test_sampled_gap_of_many_features() -> None:
    rng = np.random.default_rng(10)
    x = rng.exponential(size=(2, 100))
    found = sampled_gap(x, 3000, seed=11)
    y = np.random.default_rng(11).exponential(size=(3000, 100))
    met = [row for row in y if cosine(x[0], row) >= cosine(x[1], row)]
    differences = [kendalltau(x[0], row).statistic - kendalltau(x[1], row).statistic for row in met]
    assert found.chance == pytest.approx(len(met) / 3000)
    assert found.mean == pytest.approx(np.mean(differences))
    assert found.error == pytest.approx(np.std(differences, ddof=1) / np.sqrt(len(met)))
    assert found.z > 10
    assert found.greatest == pytest.approx(max(differences))


def test_sampled_gap_needs_draws_that_meet_the_condition() -> None:
    falling = np.array([[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [1.0, 0.1, 0.1]])
    with pytest.raises(HoldfastError, match="0 of 100 draws meet the condition; raise draws"):
        sampled_gap(falling, 100, seed=0)


def test_tau_counts_ties_as_neither() -> None:
    x, y = np.array([1.0, 1.0, 2.0, 3.0]), np.array([[4.0, 3.0, 3.0, 5.0], [1.0, 2.0, 3.0, 4.0]])
    assert tau_with(x, y).tolist() == pytest.approx([tau_a(x, row) for row in y])


def test_laws() -> None:
    rng = np.random.default_rng(0)
    assert (draw("sparse", 30, 7, rng) == 0).sum(1).tolist() == [3] * 30
    assert (draw("exponential", 30, 7, rng) > 0).all()
    assert (draw("normal", 30, 7, rng) < 0).any()
    with pytest.raises(HoldfastError, match="unknown law 'exp'"):
        draw("exp", 1, 2, rng)  # type: ignore[arg-type]
    with pytest.raises(HoldfastError, match="features is 9; all orders are tried, so at most 8"):
        random_pairs(9, 1, 0)
