"""Means and differences over images and seeds, with intervals from resampling both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
LEVEL = 0.95
_CHUNK = 250

Column = dict[int, dict[int, float]]
"""One quantity of one method: seed -> index of the image -> value."""


@dataclass(frozen=True, eq=False)
class Scores:
    """One value an image and seed: ``values`` (seeds, images), NaN where a seed lacks an image.

    The mean is that of the seeds' means. A resample draws images with replacement, the same ones for every
    seed since they are the same test images, and seeds where there are several; its quantiles are the interval.
    One seed leaves out what training again would change, and few seeds give too narrow an interval.

    >>> scores = Scores(np.array([[0.0, 1.0, 2.0], [4.0, np.nan, 6.0]]))
    >>> scores.mean, scores.seeds, scores.images
    (3.0, 2, 2)
    """

    values: NDArray[np.float64]

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def images(self) -> int:
        """Images of the seed that has the fewest."""
        return int((~np.isnan(self.values)).sum(1).min())

    @property
    def mean(self) -> float:
        return float(np.nanmean(self.values, axis=1).mean())

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """Means of the resamples, always the same ones."""
        present = ~np.isnan(self.values)
        filled = np.where(present, self.values, 0.0)
        sums, sizes = (
            np.concatenate([counts @ part.T for counts in image_counts(self.values.shape[1])])
            for part in (filled, present.astype(np.float64))
        )
        with np.errstate(invalid="ignore"):
            means = np.where(sizes > 0, sums / sizes, np.nan)
        means = np.take_along_axis(means, seed_picks(self.seeds), axis=1).mean(1)
        return means[np.isfinite(means)]

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The quantiles that leave ``1 - level`` outside, half on each side."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def image_counts(images: int) -> Iterator[NDArray[np.float64]]:
    """How often each image is drawn in each resample, (resamples, images) in chunks of rows."""
    yield from (chunk.astype(np.float64) for chunk in np.array_split(_counts(images), RESAMPLES // _CHUNK))


@lru_cache(maxsize=4)
def _counts(images: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(0)
    return np.concatenate(
        [
            rng.multinomial(images, np.full(images, 1 / images), size=_CHUNK).astype(np.uint16)
            for _ in range(RESAMPLES // _CHUNK)
        ]
    )


def seed_picks(seeds: int) -> NDArray[np.int64]:
    """Which seeds each resample draws, (resamples, seeds)."""
    return np.random.default_rng(1).integers(seeds, size=(RESAMPLES, seeds))


def contrast(parts: Sequence[tuple[float, Column]]) -> Scores | None:
    """The weighted sum of several methods, image by image: over the seeds and images that all of them have.

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
    return Scores(values)
