"""Means and intervals over images and seeds, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from holdfast.reproduce.resample import Scores, contrast


def test_one_seed_is_the_bootstrap_over_images() -> None:
    x = np.random.default_rng(3).normal(size=200)
    expected = bootstrap((x,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5))
    low, high = Scores(x[None]).interval()
    assert Scores(x[None]).mean == pytest.approx(x.mean())
    np.testing.assert_allclose([low, high], [*expected.confidence_interval], atol=0.01)


def test_a_wider_level_gives_a_wider_interval() -> None:
    scores = Scores(np.random.default_rng(3).normal(size=(1, 100)))
    low, high = scores.interval()
    wide_low, wide_high = scores.interval(0.995)
    assert wide_low < low < high < wide_high


def test_seeds_share_their_images() -> None:
    """Three equal seeds know no more of the images than one does."""
    x = np.random.default_rng(3).normal(size=(1, 100))
    one, three = Scores(x), Scores(np.repeat(x, 3, axis=0))
    np.testing.assert_allclose(three.interval(), one.interval())


def test_the_spread_of_the_seeds_widens_the_interval() -> None:
    """Without spread over images the draws are the means of the seeds drawn: 3**3 equally likely triples."""
    scores = Scores(np.repeat([[0.0], [1.0], [2.0]], 50, axis=1))
    values, counts = np.unique(scores.draws.round(6), return_counts=True)
    np.testing.assert_allclose(values, np.arange(7) / 3, atol=1e-6)
    np.testing.assert_allclose(counts / counts.sum(), np.array([1, 3, 6, 7, 6, 3, 1]) / 27, atol=0.02)


def test_every_seed_counts_alike_however_many_images_it_has() -> None:
    values = np.array([[1.0, 1.0, 1.0], [4.0, np.nan, np.nan]])
    assert Scores(values).mean == 2.5
    assert Scores(values).images == 1


def test_equal_values_give_no_interval() -> None:
    assert Scores(np.full((2, 30), 0.7)).interval() == pytest.approx((0.7, 0.7))


def test_contrast_pairs_images_by_their_index() -> None:
    ours = {0: {1: 0.9, 2: 0.5, 3: 0.1}, 1: {1: 1.0}, 2: {8: 1.0}}
    base = {0: {2: 0.25, 3: 0.5, 4: 0.0}, 1: {2: 0.5}, 2: {8: 0.75}}
    found = contrast([(1.0, ours), (-1.0, base)])
    assert found is not None
    assert found.seeds == 2, "seed 1 shares no image"
    np.testing.assert_allclose(found.values, [[0.25, -0.4, np.nan], [np.nan, np.nan, 0.25]])
    assert contrast([(1.0, ours), (-1.0, {5: {1: 0.0}})]) is None
