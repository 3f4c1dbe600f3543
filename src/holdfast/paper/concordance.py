"""Figures 2b and 5: how Kendall's tau of real attributions goes with their cosine and with Pearson's correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from holdfast.metrics import goodman_kruskal_gamma
from holdfast.metrics.stats import LEAST_IMAGES, LEVEL, RESAMPLES, Ends, Interval, image_counts, widen
from holdfast.palette import COLOURS, INK
from holdfast.paper.claims import BASES
from holdfast.paper.published import published_gamma
from holdfast.paper.study import Study
from holdfast.recipes import TABLE3, TITLES, data_of
from holdfast.report.claim import Claim, Effect, corrected, judge
from holdfast.report.figures import named, plain
from holdfast.report.quantities import values_of
from holdfast.report.words import counted, dataset_title, number, span
from holdfast.results import RunResult

BASE_COLOURS = dict(zip(BASES, COLOURS, strict=False))
Reading = Literal["all", "nonzero"]
READINGS: dict[Reading, tuple[str, str]] = {
    "all": ("kendall", "all features"),
    "nonzero": ("kendall_nonzero", "features not 0 in the clean map"),
}
"""Which features Kendall's tau ranks: its column in the records, and how that is said."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The attacked images of one run, each (images,).

    ``kendall`` is tau of one reading; ``cosine`` and ``pearson`` are those of the signed maps, ``of_magnitudes`` the
    cosine of their magnitudes; ``zeros`` is the share of features that are 0 in the clean map.
    """

    method: str
    seed: int
    index: NDArray[np.int64]
    kendall: NDArray[np.float64]
    cosine: NDArray[np.float64]
    pearson: NDArray[np.float64]
    of_magnitudes: NDArray[np.float64]
    zeros: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Concordance:
    """Goodman and Kruskal's gamma of one reading of tau with the two substitutes on one data set.

    ``cosine``, ``pearson``, ``of_magnitudes`` and ``zeros`` are gammas with the columns of `Cloud` of these names,
    among the images of one run, as means over runs; ``pooled`` are the first two among all images of all runs.
    ``grows`` and ``leads`` are gamma with the cosine, and what it has over that with Pearson's r, as effects.
    """

    dataset: str
    reading: Reading
    clouds: tuple[Cloud, ...]
    cosine: float
    pearson: float
    of_magnitudes: float
    zeros: float
    pooled: tuple[float, float]
    grows: Effect
    leads: Effect

    @property
    def black(self) -> float:
        """The mean share of features that are exactly 0 in a clean map."""
        return float(np.concatenate([cloud.zeros for cloud in self.clouds]).mean())


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


def concordance(study: Study, dataset: str, reading: Reading) -> Concordance | None:
    """Gammas within each run of Table 3's rows, and the interval of their difference.

    Images are resampled, the same ones for every run, and seeds enter as in `stats.Sample`. Images on which the attack
    failed are left out: their similarities are 1 by convention. None where no run has two images and these columns.
    """
    clouds = [cloud for method in TABLE3 for run in study.of(dataset, method) if (cloud := _cloud(run, reading))]
    if not clouds:
        return None
    images = np.unique(np.concatenate([cloud.index for cloud in clouds]))
    draws = {
        name: np.array([_resampled(cloud, getattr(cloud, name), images) for cloud in clouds])
        for name in ("cosine", "pearson")
    }
    values = {
        name: np.array([gamma(cloud.kendall, getattr(cloud, name)) for cloud in clouds])
        for name in ("cosine", "pearson", "of_magnitudes", "zeros")
    }
    kendall = np.concatenate([cloud.kendall for cloud in clouds])
    pooled = [gamma(kendall, np.concatenate([getattr(c, name) for c in clouds])) for name in ("cosine", "pearson")]
    paper = published_gamma(data_of(dataset))
    means = {name: float(found.mean()) for name, found in values.items()}
    return Concordance(
        dataset,
        reading,
        tuple(clouds),
        means["cosine"],
        means["pearson"],
        means["of_magnitudes"],
        means["zeros"],
        (pooled[0], pooled[1]),
        _effect("γ_cos", clouds, values["cosine"], draws["cosine"], paper and paper[0]),
        _effect(
            "γ_cos less γ_r",
            clouds,
            values["cosine"] - values["pearson"],
            draws["cosine"] - draws["pearson"],
            paper and round(paper[0] - paper[1], 6),
        ),
    )


def gamma(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Goodman and Kruskal's gamma of two vectors; 0 where every pair ties."""
    return float(goodman_kruskal_gamma(torch.from_numpy(a), torch.from_numpy(b)))


def _resampled(cloud: Cloud, other: NDArray[np.float64], images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gamma of a run in each resample of ``images``."""
    at, signs = np.searchsorted(images, cloud.index), pair_signs(cloud.kendall, other)
    return weighted_gamma(signs, image_counts(len(images))[:, at])


def _effect(
    label: str, clouds: Sequence[Cloud], values: NDArray[np.float64], draws: NDArray[np.float64], paper: float | None
) -> Effect:
    """A mean over runs: ``values`` (runs,) and their ``draws`` (runs, resamples)."""
    mean, drawn, seeds = float(values.mean()), draws.mean(0), sorted({cloud.seed for cloud in clouds})
    of_seed = np.array([np.mean([v for v, c in zip(values, clouds, strict=True) if c.seed == seed]) for seed in seeds])
    images = min(len(cloud.index) for cloud in clouds)

    def ends(level: float) -> Ends:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return widen(mean, (float(low), float(high)), of_seed, level)

    found = Interval(mean, *ends(LEVEL), images, len(seeds))
    decisive = len(seeds) > 1 and images >= LEAST_IMAGES
    return Effect(label, found, False, ends(corrected(2))[1], decisive, paper)


def _cloud(run: RunResult, reading: Reading) -> Cloud | None:
    names = (READINGS[reading][0], "cosine", "pearson", "magnitude_cosine", "zero_share")
    columns = [values_of(run, name) for name in names]
    failed = values_of(run, "failure_rate")
    if not all(columns) or len(index := [i for i, found in failed.items() if not found]) < 2:
        return None
    return Cloud(run.method, run.seed, np.array(index), *(np.array([c[i] for i in index], float) for c in columns))


def concordance_claims(found: Concordance, whose: str = "") -> list[Claim]:
    """Whether Kendall's tau grows with the cosine, and whether the cosine is the better substitute of it."""
    where = f"On {dataset_title(found.dataset)}, τ of {READINGS[found.reading][1]}: "
    seeds = len({cloud.seed for cloud in found.clouds})
    others = {
        "the cosine of magnitudes": found.of_magnitudes,
        "the share of features whose attribution is 0": found.zeros,
    }
    test = (
        f"Goodman and Kruskal's γ over pairs of images of one run, mean over {counted(len(found.clouds), 'run')} with "
        f"{span(len(cloud.index) for cloud in found.clouds)} attacked images each; {RESAMPLES} resamples of images, "
        + (f"Student's t over {seeds} seeds" if seeds > 1 else "one seed, so there is no verdict")
        + "".join(f"; with {name} γ is {_signed(value)}" for name, value in others.items())
        + f"; among all images of all runs γ_cos is {_signed(found.pooled[0])} and γ_r {_signed(found.pooled[1])}; "
        "not corrected for the other claims; holds if every 95 % interval lies above 0, does not hold if one lies below"
    )
    grows = f"{where}images whose attributions keep a larger cosine keep a larger Kendall's τ (γ_cos > 0)"
    leads = f"{where}the cosine is the better substitute of Kendall's τ (γ_cos > γ_r)"
    return [
        judge(grows, [found.grows], test=test, whose=whose),
        judge(leads, [found.grows, found.leads], test=f"{test}: what falls as τ rises is no substitute", whose=whose),
    ]


def _signed(value: float) -> str:
    return number(value, False, 1, signed=True)


def reading_answer(found: Sequence[Concordance]) -> str:
    """In a sentence, what the readings of one data set say, where they differ in sign; else nothing."""
    by_reading = {one.reading: one for one in found}
    if len(by_reading) < len(READINGS) or by_reading["all"].cosine * by_reading["nonzero"].cosine >= 0:
        return ""
    every, nonzero = by_reading["all"], by_reading["nonzero"]
    return (
        f"On {dataset_title(every.dataset)} the features that τ ranks decide: {100 * every.black:.0f} % of a clean map "
        f"are exactly 0, and τ of all features measures how many (γ {_signed(every.zeros)} with their share; γ_cos "
        f"{_signed(every.cosine)}). Among the features that are not 0 γ_cos is {_signed(nonzero.cosine)}, and "
        f"{_signed(nonzero.pooled[0])} among all images of all networks."
    )


def concordance_figure(rows: Sequence[Sequence[Concordance]]) -> Drawing:
    """Kendall's tau of each image against the cosine and Pearson's correlation: a row of panels per data set.

    A pair of panels per reading of tau. Colours tell the bases apart, filled points are rows with IGR. Each panel says
    its gamma (mean over runs), and the paper's where it prints one.
    """
    across = max(2 * len(row) for row in rows)
    size = (2.9 * across, 3.0 * len(rows) + 0.4)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.06))
    axes = figure.subplots(len(rows), across, squeeze=False, sharey="row")
    for line, row in zip(axes, rows, strict=True):
        panels = [(found, name) for found in row for name in ("cosine", "pearson")]
        for axis, (found, name) in zip(line, panels, strict=False):
            _scatter(axis, found, name)
            if name == "cosine":
                axis.set_ylabel(f"τ of {READINGS[found.reading][1]}", fontsize=8.5, color=INK)
        for axis in line[len(panels) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"{dataset_title(row[0].dataset)}: {line[0].get_ylabel()}", fontsize=8.5, color=INK)
    methods = dict.fromkeys(cloud.method for row in rows for found in row for cloud in found.clouds)
    handles = [
        Line2D([], [], ls="", marker="o", markersize=5, label=TITLES[method], **_look(method)) for method in methods
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8.5)
    return figure


def _look(method: str) -> dict[str, Any]:
    colour = BASE_COLOURS[method.removesuffix("-igr")]
    filled = method.endswith("-igr")
    return {
        "color": colour,
        "markerfacecolor": colour if filled else "none",
        "markeredgecolor": colour,
        "markeredgewidth": 0.7,
    }


def _scatter(axis: Axes, found: Concordance, name: str) -> None:
    plain(axis)
    for cloud in found.clouds:
        axis.plot(getattr(cloud, name), cloud.kendall, "o", markersize=2.8, alpha=0.65, **_look(cloud.method))
    title, symbol, place = {
        "cosine": ("cosine", r"γ_{\cos}", 0),
        "pearson": ("Pearson's correlation", "γ_r", 1),
    }[name]
    paper = published_gamma(data_of(found.dataset))
    beside = f" (paper {paper[place]:.2f})" if paper else ""
    value = f"{getattr(found, name):.2f}".replace("-", "−")
    named(axis, f"${symbol}$ = {value}{beside}", f"{title} of the maps", axis.get_ylabel())
