"""Means, shares and differences with intervals that know how few images and seeds they rest on.

Images are resampled with replacement (the same images for every seed, since they are the same test images); shares
get exact intervals. Seeds are few, so what training again would change enters by Student's t over the seeds' means,
and the two parts are put together as squares of half-widths (a method of variance estimates recovery, Zou and
Donner 2008), which covers at least what it claims. No interval has zero width, and one image has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import hypot

import numpy as np
import scipy
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
LEAST_IMAGES = 20
"""Images below which an interval decides nothing."""
_BATCH = 200
_ROUNDING = 1e-12
"""Values no further apart are equal."""

Values = NDArray[np.float64]
Ends = tuple[float, float]
Column = dict[int, dict[int, float]]
"""One quantity of one method: seed -> index of the image -> value."""


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` images (of the seed with the fewest) and ``seeds`` with its 95 % interval; None where none."""

    mean: float
    low: float | None
    high: float | None
    n: int
    seeds: int = 1

    @property
    def side(self) -> int:
        """1 where the whole interval lies above 0, -1 below; 0 where 0 is in it, or where there is none.

        >>> [Interval(0.5, low, high, 9).side for low, high in ((0.25, 0.75), (-0.75, -0.25), (0.0, 1.0), (None, None))]
        [1, -1, 0, 0]
        """
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def exact_share(hits: float, n: int, level: float = LEVEL) -> Ends:
    """Clopper and Pearson's interval of a share; ``hits`` may be a mean over seeds, no whole number.

    >>> tuple(round(end, 3) for end in exact_share(3, 3))
    (0.292, 1.0)
    """
    tail = (1 - level) / 2
    low = float(scipy.stats.beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(scipy.stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def mcnemar(differences: Sequence[float]) -> float:
    """Exact two-sided p of McNemar's test that hits (+1) and losses (-1) of paired shares are equally likely.

    >>> mcnemar([1, 1, 1, 1, 1, 0, 0]), mcnemar([0, 0, 0])
    (0.0625, 1.0)
    """
    gained, lost = (sum(d == sign for d in differences) for sign in (1, -1))
    return float(scipy.stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def mean_interval(values: Sequence[float], bounds: Ends | None = None) -> Interval:
    """Mean and 95 % interval over the images of one seed.

    Args:
        values: one an image; only zeros and ones are a share, whose interval is exact.
        bounds: the range of the quantity, which bounds what equal values may hide; (0, 1) or None for a share.

    >>> found = mean_interval([1.0, 1.0, 1.0])
    >>> found.mean, round(found.low, 2), found.high, found.n
    (1.0, 0.29, 1.0, 3)
    >>> mean_interval([0.69]).low is None
    True
    """
    return Sample(np.array([values], dtype=np.float64), bounds).interval()


@dataclass(frozen=True, eq=False)
class Sample:
    """One value an image and seed: ``values`` (seeds, images), NaN where a seed lacks an image.

    ``bounds`` is the range that a value may have, None where that is unknown: then zeros and ones alone are a share.
    The mean is that of the seeds' means.

    >>> sample = Sample(np.array([[0.0, 1.0, 2.0], [4.0, np.nan, 6.0]]))
    >>> sample.mean, sample.seeds, sample.images
    (3.0, 2, 2)
    """

    values: Values
    bounds: Ends | None = None

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def images(self) -> int:
        """Images of the seed that has the fewest."""
        return int((~np.isnan(self.values)).sum(1).min())

    @property
    def mean(self) -> float:
        return float(self.seed_means.mean())

    @cached_property
    def seed_means(self) -> Values:
        """The mean of each seed (seeds,)."""
        means: Values = np.nanmean(self.values, axis=1)
        return means

    @property
    def decisive(self) -> bool:
        """Whether it can carry a verdict about methods: at least two seeds and `LEAST_IMAGES` images in each."""
        return self.seeds > 1 and self.images >= LEAST_IMAGES

    def ends(self, level: float = LEVEL) -> Ends | None:
        """The interval: over images alone for one seed, over images and seeds for several; None for one image, or where
        a value is infinite."""
        over_images = self._over_images(level)
        if over_images is None:
            return None
        low, high = widen(self.mean, over_images, self.seed_means, level)
        return (max(low, self.bounds[0]), min(high, self.bounds[1])) if self.bounds else (low, high)

    def interval(self, level: float = LEVEL) -> Interval:
        """Mean and ends, as far as there are any."""
        low, high = self.ends(level) or (None, None)
        return Interval(self.mean, low, high, self.images, self.seeds)

    def _over_images(self, level: float) -> Ends | None:
        present = self.values[~np.isnan(self.values)]
        if self.images < 2 or not np.isfinite(present).all():
            return None
        whole = set(np.unique(present))
        if whole <= {0.0, 1.0} and self.bounds in (None, (0.0, 1.0)):
            return exact_share(self.mean * self.images, self.images, level)
        if whole <= {-1.0, 0.0, 1.0} and self.bounds == (-1.0, 1.0):
            return self._paired_share(level)
        if np.ptp(present) <= _ROUNDING:
            return self._of_equal_values(level)
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def _paired_share(self, level: float) -> Ends:
        """Difference of two shares of the same images, from exact intervals of what was gained and of what was lost."""
        up, down = (float(np.nanmean(np.maximum(sign * self.values, 0), axis=1).mean()) for sign in (1, -1))
        up_ends, down_ends = (exact_share(part * self.images, self.images, level) for part in (up, down))
        room = (1 - up) * (1 - down)
        tie = float(np.sqrt(up * down / room)) if room > 0 else 1.0

        def away(a: float, b: float) -> float:
            return float(np.sqrt(a * a + b * b + 2 * tie * a * b))

        return (
            up - down - away(up - up_ends[0], down_ends[1] - down),
            up - down + away(up_ends[1] - up, down - down_ends[0]),
        )

    def _of_equal_values(self, level: float) -> Ends | None:
        """All values are alike: others, anywhere within the bounds, may be as frequent as `exact_share` of none."""
        if self.bounds is None or np.isinf(self.bounds).any():
            return None
        unseen = exact_share(0, self.images, level)[1]
        low, high = self.bounds
        return self.mean - unseen * (self.mean - low), self.mean + unseen * (high - self.mean)

    @cached_property
    def draws(self) -> Values:
        """Means of resamples of the images with the seeds as they are; always the same ones."""
        present = ~np.isnan(self.values)
        filled = np.where(present, self.values, 0.0)
        counts = image_counts(self.values.shape[1])
        sums, sizes = counts @ filled.T, counts @ present.T.astype(np.float64)
        with np.errstate(invalid="ignore"):
            means = (sums / sizes).mean(1)
        finite: Values = means[np.isfinite(means)]
        return finite


def widen(mean: float, over_images: Ends, seed_means: Values, level: float = LEVEL) -> Ends:
    """Ends over images, with Student's t over the seeds' means beside them where there are at least two.

    >>> low, high = widen(0.5, (0.4, 0.6), np.array([0.5, 0.5, 0.5]))
    >>> round(low, 6), round(high, 6)
    (0.4, 0.6)
    """
    k = len(seed_means)
    again = 0.0 if k < 2 else float(scipy.stats.t.ppf((1 + level) / 2, k - 1) * seed_means.std(ddof=1) / np.sqrt(k))
    return mean - hypot(mean - over_images[0], again), mean + hypot(over_images[1] - mean, again)


@lru_cache(maxsize=8)
def image_counts(images: int) -> Values:
    """How often each image is drawn in each resample, (resamples, images)."""
    rng = np.random.default_rng(0)
    counts = np.zeros((RESAMPLES, images))
    for start in range(0, RESAMPLES, _BATCH):
        picks = rng.integers(0, images, (_BATCH, images))
        np.add.at(counts, (np.arange(start, start + _BATCH)[:, None], picks), 1.0)
    return counts


def contrast(parts: Sequence[tuple[float, Column]], bounds: Ends | None = None) -> Sample | None:
    """The weighted sum of several methods, image by image: over the seeds and images that all of them have.

    Args:
        parts: (weight, column) of each method.
        bounds: the range of one value; None where that is unknown, when a difference of equal values has no interval.

    Returns:
        None where they share no image.

    >>> contrast([(1.0, {0: {3: 0.5, 4: 0.9}}), (-1.0, {0: {4: 0.25, 7: 0.1}, 1: {4: 0.0}})]).values.tolist()
    [[0.65]]
    """
    shared = {
        seed: set.intersection(*(set(column[seed]) for _, column in parts))
        for seed in sorted(set.intersection(*(set(column) for _, column in parts)))
    }
    shared = {seed: images for seed, images in shared.items() if images}
    if not shared:
        return None
    place = {image: i for i, image in enumerate(sorted(set.union(*shared.values())))}
    values = np.full((len(shared), len(place)), np.nan)
    for row, (seed, images) in enumerate(shared.items()):
        for image in images:
            values[row, place[image]] = sum(weight * column[seed][image] for weight, column in parts)
    if bounds is None:
        return Sample(values, None if len(parts) == 1 else (-np.inf, np.inf))
    return Sample(values, _weighted([weight for weight, _ in parts], bounds))


def _weighted(weights: Sequence[float], bounds: Ends) -> Ends:
    """The range of a weighted sum of values that each lie within ``bounds``.

    >>> _weighted([1.0, -1.0], (0.0, 1.0))
    (-1.0, 1.0)
    """
    ends = [sorted((weight * bounds[0], weight * bounds[1])) for weight in weights]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def apart(a: Interval, b: Interval) -> Interval | None:
    """The difference of two means whose images have nothing in common, from their intervals; None where one has none.

    >>> found = apart(Interval(0.5, 0.2, 0.9, 40, 3), Interval(0.1, -0.3, 0.4, 30, 3))
    >>> found.mean, round(found.low, 6), round(found.high, 4), found.n
    (0.4, -0.024264, 0.9657, 30)
    """
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    mean = a.mean - b.mean
    low, high = mean - hypot(a.mean - a.low, b.high - b.mean), mean + hypot(a.high - a.mean, b.mean - b.low)
    return Interval(mean, low, high, min(a.n, b.n), min(a.seeds, b.seeds))
