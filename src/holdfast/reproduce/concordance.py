"""Figures 2b and 5: how Kendall's tau of real attributions goes with their cosine and with Pearson's correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.metrics import goodman_kruskal_gamma
from holdfast.recipes import TABLE3
from holdfast.reproduce.paper import published_gamma
from holdfast.reproduce.resample import LEVEL, RESAMPLES, image_counts, seed_picks
from holdfast.reproduce.sections.words import counted, dataset_title, number, span
from holdfast.reproduce.study import Study
from holdfast.results import RunResult
from holdfast.theory.claim import Claim

Kind = Literal["signed", "magnitude"]
SUBSTITUTES: dict[Kind, tuple[str, str]] = {
    "signed": ("cosine", "pearson"),
    "magnitude": ("magnitude_cosine", "magnitude_pearson"),
}
"""The columns of the records: similarities of the maps as they are, or of their magnitudes."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The attacked images of one run: ``kendall``, ``cosine``, ``pearson``, and the clean map's ``zeros`` (images,)."""

    method: str
    seed: int
    index: NDArray[np.int64]
    kendall: NDArray[np.float64]
    cosine: NDArray[np.float64]
    pearson: NDArray[np.float64]
    zeros: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Concordance:
    """Goodman and Kruskal's gamma of tau with the two substitutes on one data set.

    ``cosine`` and ``pearson`` are means over runs of the gamma among the images of one run, ``zeros`` that with the
    share of features whose clean attribution is 0; ``pooled`` are both gammas among all images of all runs.
    ``cosine_interval`` bounds the first, ``lead_interval`` the first less the second.
    """

    dataset: str
    kind: Kind
    clouds: tuple[Cloud, ...]
    cosine: float
    pearson: float
    zeros: float
    pooled: tuple[float, float]
    cosine_interval: tuple[float, float]
    lead_interval: tuple[float, float]


def pair_signs(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each pair of entries 1 if ``a`` and ``b`` order it alike, -1 if not, 0 where either ties.

    >>> pair_signs(np.array([1.0, 2.0]), np.array([5.0, 3.0])).tolist()
    [[0.0, -1.0], [-1.0, 0.0]]
    """
    return np.sign(a[:, None] - a) * np.sign(b[:, None] - b)


def weighted_gamma(signs: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gamma of each resample (resamples,), from `pair_signs` and how often each image is drawn."""
    net, decided = (((counts @ part) * counts).sum(1) for part in (signs, np.abs(signs)))
    return np.divide(net, decided, out=np.zeros_like(net), where=decided > 0)


def concordance(study: Study, dataset: str, kind: Kind) -> Concordance | None:
    """Gammas within each run of Table 3's rows, and the interval of their difference.

    Images and seeds are resampled as in `resample.Scores`. Images on which the attack failed are left out: their
    similarities are 1 by convention. None where no run has two images and these columns.
    """
    clouds = [cloud for method in TABLE3 for run in study.of(dataset, method) if (cloud := _cloud(run, kind))]
    if not clouds:
        return None
    images = np.unique(np.concatenate([cloud.index for cloud in clouds]))
    draws = {
        name: np.array([_resampled(cloud, getattr(cloud, name), images) for cloud in clouds])
        for name in ("cosine", "pearson")
    }
    means = [
        np.mean([gamma(cloud.kendall, getattr(cloud, name)) for cloud in clouds])
        for name in ("cosine", "pearson", "zeros")
    ]
    kendall = np.concatenate([cloud.kendall for cloud in clouds])
    pooled = [gamma(kendall, np.concatenate([getattr(c, name) for c in clouds])) for name in ("cosine", "pearson")]
    return Concordance(
        dataset,
        kind,
        tuple(clouds),
        float(means[0]),
        float(means[1]),
        float(means[2]),
        (pooled[0], pooled[1]),
        _interval(clouds, draws["cosine"]),
        _interval(clouds, draws["cosine"] - draws["pearson"]),
    )


def gamma(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Goodman and Kruskal's gamma of two vectors; 0 where every pair ties."""
    return float(goodman_kruskal_gamma(torch.from_numpy(a), torch.from_numpy(b)))


def _resampled(cloud: Cloud, other: NDArray[np.float64], images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gamma of a run in each resample of ``images``."""
    at, signs = np.searchsorted(images, cloud.index), pair_signs(cloud.kendall, other)
    return np.concatenate([weighted_gamma(signs, counts[:, at]) for counts in image_counts(len(images))])


def _interval(clouds: Sequence[Cloud], draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(_over_seeds(clouds, draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _over_seeds(clouds: Sequence[Cloud], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over runs in each resample (resamples,), seeds drawn with replacement; ``draws`` (runs, resamples)."""
    seeds = sorted({cloud.seed for cloud in clouds})
    members = np.array([[cloud.seed == seed for cloud in clouds] for seed in seeds], dtype=np.float64)
    sums, sizes = members @ draws, members.sum(1)
    picks = seed_picks(len(seeds))
    return np.take_along_axis(sums.T, picks, axis=1).sum(1) / sizes[picks].sum(1)


def _cloud(run: RunResult, kind: Kind) -> Cloud | None:
    cosine, pearson = SUBSTITUTES[kind]
    rows = [row for row in run.records["attribution"] if row["succeeded"] and cosine in row and pearson in row]
    if len(rows) < 2:
        return None

    def column(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=np.float64)

    index = np.array([row["index"] for row in rows])
    return Cloud(run.method, run.seed, index, column("kendall"), column(cosine), column(pearson), column("zero_share"))


def concordance_claims(found: Concordance) -> list[Claim]:
    """Whether Kendall's tau grows with the cosine, and whether the cosine is the better substitute of it."""
    where = f"On {dataset_title(found.dataset)}, {'signed maps' if found.kind == 'signed' else 'magnitudes'}: "
    paper = published_gamma(found.dataset)
    beside = f"; the paper prints {paper[0]} and {paper[1]}" if paper else ""
    (low, high), lead = found.cosine_interval, found.lead_interval
    seeds = len({cloud.seed for cloud in found.clouds})
    test = (
        f"Goodman and Kruskal's γ over pairs of images of one run, mean over {counted(len(found.clouds), 'run')} with "
        f"{span(len(cloud.index) for cloud in found.clouds)} attacked images each; {RESAMPLES} resamples of images"
        + (f" and {seeds} seeds" if seeds > 1 else ", one seed")
        + "; not corrected for the other claims; "
    )
    return [
        Claim(
            f"{where}images whose attributions keep a larger cosine keep a larger Kendall's τ (γ_cos > 0)",
            "holds" if low > 0 else "does not hold" if high < 0 else "cannot be told",
            f"γ_cos {_signed(found.cosine)} {_bounds(low, high)}; with the share of features whose attribution is 0, γ "
            f"{_signed(found.zeros)}",
            f"{test}holds if the 95 % interval lies above 0, does not hold if below",
        ),
        Claim(
            f"{where}the cosine is the better substitute of Kendall's τ (γ_cos > γ_r)",
            "does not hold" if lead[1] < 0 or high < 0 else "holds" if lead[0] > 0 and low > 0 else "cannot be told",
            f"γ_cos {_signed(found.cosine)}, γ_r {_signed(found.pearson)}, difference "
            f"{_signed(found.cosine - found.pearson)} {_bounds(*lead)}; among all images of all runs "
            f"{_signed(found.pooled[0])} and {_signed(found.pooled[1])}{beside}",
            f"{test}holds if the 95 % intervals of γ_cos and of the difference lie above 0, does not hold if one lies "
            "below: what falls as τ rises is no substitute",
        ),
    ]


def _signed(value: float) -> str:
    return number(value, False, 1, signed=True)


def _bounds(low: float, high: float) -> str:
    return f"[{_signed(low)}, {_signed(high)}]"
