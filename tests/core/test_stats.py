"""Intervals against scipy, by hand, and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, t

from holdfast.metrics.stats import Interval, Sample, apart, contrast, exact_share, mcnemar, mean_interval


def test_three_of_three_is_not_certain() -> None:
    found = mean_interval([1.0, 1.0, 1.0])
    assert (found.mean, found.high, found.n) == (1.0, 1.0, 3)
    assert found.low == pytest.approx(0.2924, abs=1e-4)
    none = mean_interval([0.0] * 20)
    assert (none.low, none.high) == (0.0, pytest.approx(0.1684, abs=1e-4))


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("value", [0.69, 1.0])
def test_one_image_has_no_interval(value: float, bounds: tuple[float, float] | None) -> None:
    assert mean_interval([value], bounds) == Interval(value, None, None, 1)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 7), (60, 100), (100, 100)])
def test_shares_are_exact(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(method="exact")
    found = mean_interval([1.0] * hits + [0.0] * (n - hits))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert exact_share(hits, n, 0.99)[0] <= expected.low


def test_equal_values_may_hide_others() -> None:
    """As many unlike values as a share of none of 40 allows, at the far end of the range."""
    unseen = exact_share(0, 40)[1]
    found = mean_interval([0.5] * 40, (-1.0, 1.0))
    assert (found.low, found.high) == pytest.approx((0.5 - 1.5 * unseen, 0.5 + 0.5 * unseen))
    assert mean_interval([0.5] * 40).low is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1).map(lambda x: round(x, 1)), min_size=6, max_size=6), min_size=1, max_size=4),
)
def test_an_interval_is_never_of_zero_width_and_holds_its_mean(rows: list[list[float]]) -> None:
    sample = Sample(np.array(rows), (0.0, 1.0))
    ends = sample.ends()
    assert ends is not None
    assert 0 <= ends[0] <= sample.mean + 1e-12
    assert sample.mean - 1e-12 <= ends[1] <= 1
    assert ends[1] - ends[0] > 1e-3


def test_one_seed_is_the_bootstrap_over_images() -> None:
    x = np.random.default_rng(3).normal(size=200)
    expected = bootstrap((x,), np.mean, n_resamples=2000, batch=200, method="percentile", rng=np.random.default_rng(0))
    found = mean_interval(x.tolist())
    assert found.mean == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval))


def test_an_infinite_value_has_no_interval() -> None:
    found = mean_interval([1.0, float("inf"), 2.0])
    assert (found.mean, found.low, found.high) == (float("inf"), None, None)


def test_equal_values_of_unknown_range_differ_to_either_side_or_not_at_all() -> None:
    column = {0: dict.fromkeys(range(30), 0.3)}
    known, unknown = (contrast([(1.0, column), (-1.0, column)], bounds) for bounds in ((0.0, 1.0), None))
    assert known is not None
    assert unknown is not None
    low, high = known.ends() or (0.0, 0.0)
    assert -low == high > 0.1
    assert unknown.ends() is None
    share = contrast([(1.0, {0: dict.fromkeys(range(30), 1.0)})])
    assert share is not None
    assert share.ends() == exact_share(30, 30)


def test_a_wider_level_gives_a_wider_interval() -> None:
    sample = Sample(np.random.default_rng(3).normal(size=(3, 100)))
    (low, high), (wide_low, wide_high) = sample.ends() or (0, 0), sample.ends(0.995) or (0, 0)
    assert wide_low < low < high < wide_high


def test_seeds_that_agree_know_no_more_of_the_images_than_one() -> None:
    x = np.random.default_rng(3).normal(size=(1, 100))
    assert Sample(np.repeat(x, 3, axis=0)).ends() == pytest.approx(Sample(x).ends())


def test_seeds_without_spread_over_images_are_a_t_interval() -> None:
    """By hand: means 0.4, 0.5 and 0.6, standard error 0.1 / sqrt(3), two degrees of freedom."""
    ripple = np.tile([-1e-9, 1e-9], 25)
    sample = Sample(np.array([[0.4], [0.5], [0.6]]) + ripple)
    half = t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert sample.ends() == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert half == pytest.approx(0.2484, abs=1e-4)


def test_every_seed_counts_alike_however_many_images_it_has() -> None:
    sample = Sample(np.array([[1.0, 1.0, 1.0], [4.0, np.nan, np.nan]]))
    assert (sample.mean, sample.images) == (2.5, 1)
    assert sample.ends() is None


def test_one_seed_or_few_images_decide_nothing() -> None:
    assert not Sample(np.zeros((1, 500))).decisive
    assert not Sample(np.zeros((3, 19))).decisive
    assert Sample(np.zeros((2, 20))).decisive


def test_contrast_pairs_images_by_their_index() -> None:
    ours = {0: {1: 0.9, 2: 0.5, 3: 0.1}, 1: {1: 1.0}, 2: {8: 1.0}}
    base = {0: {2: 0.25, 3: 0.5, 4: 0.0}, 1: {2: 0.5}, 2: {8: 0.75}}
    found = contrast([(1.0, ours), (-1.0, base)], (0.0, 1.0))
    assert found is not None
    assert found.seeds == 2, "seed 1 shares no image"
    np.testing.assert_allclose(found.values, [[0.25, -0.4, np.nan], [np.nan, np.nan, 0.25]])
    assert found.bounds == (-1.0, 1.0)
    assert contrast([(1.0, ours), (-1.0, {5: {1: 0.0}})]) is None


def test_no_discordant_pair_of_twenty_still_leaves_seventeen_points() -> None:
    ends = Sample(np.zeros((1, 20)), (-1.0, 1.0)).ends()
    assert ends == pytest.approx((-0.1684, 0.1684), abs=1e-4)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (6, 1), (3, 3)])
def test_mcnemar_is_the_sign_test_of_what_changed(gained: int, lost: int) -> None:
    found = mcnemar([1.0] * gained + [-1.0] * lost + [0.0] * 10)
    assert found == pytest.approx(binomtest(gained, gained + lost).pvalue if gained + lost else 1.0)


def test_apart_is_no_wider_than_the_sum_of_both() -> None:
    a, b = Interval(0.5, 0.4, 0.7, 40, 3), Interval(0.3, 0.1, 0.4, 30, 2)
    found = apart(a, b)
    assert found is not None
    assert found.low == pytest.approx(0.2 - np.hypot(0.1, 0.1))
    assert found.high == pytest.approx(0.2 + np.hypot(0.2, 0.2))
    assert (found.n, found.seeds) == (30, 2)
    assert apart(a, Interval(0.3, None, None, 1)) is None


@pytest.mark.slow
@pytest.mark.parametrize("images", [30, 100])
@pytest.mark.parametrize(
    ("seed", "image", "rest"), [(0, 0.2, 0.1), (0.02, 0.2, 0.2), (0.05, 0.2, 0.1), (0.2, 0.2, 0.1)]
)
def test_three_seeds_cover_what_they_claim(images: int, seed: float, image: float, rest: float) -> None:
    """Values with a part of the seed, a part of the image and a rest, around 0: at least 93 % where 95 % is claimed."""
    rng, held, runs = np.random.default_rng(1), 0, 800
    for _ in range(runs):
        parts = (
            seed * rng.normal(size=(3, 1)),
            image * rng.normal(size=(1, images)),
            rest * rng.normal(size=(3, images)),
        )
        low, high = Sample(sum(parts[1:], parts[0])).ends() or (1.0, -1.0)
        held += low <= 0 <= high
    assert held / runs >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_three_seeds_cover_shares(share: float) -> None:
    """Hits that seeds share in part, and differ in by a few points from seed to seed."""
    rng, held, runs = np.random.default_rng(2), 0, 800
    for _ in range(runs):
        rates = np.clip(share + 0.01 * rng.normal(size=(3, 1)), 0, 1)
        common, own = rng.uniform(size=(1, 60)), rng.uniform(size=(3, 60))
        values = (np.where(rng.uniform(size=(3, 60)) < 0.7, common, own) < rates).astype(float)
        low, high = Sample(values, (0.0, 1.0)).ends() or (1.0, 0.0)
        held += low <= share <= high
    assert held / runs >= 0.93
