"""Figures 2b, 5 and 4: Kendall's tau against its substitutes, and activation consistency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from holdfast.metrics.stats import Interval
from holdfast.palette import COLOURS, INK, MUTED
from holdfast.paper.claims import BASES
from holdfast.paper.concordance import Concordance
from holdfast.paper.published import published, published_gamma
from holdfast.paper.study import Study
from holdfast.recipes import TITLES
from holdfast.report.figures import plain
from holdfast.report.words import dataset_title

BASE_COLOURS = dict(zip(BASES, COLOURS, strict=False))


def concordance_figure(rows: Sequence[Sequence[Concordance]]) -> Drawing:
    """Kendall's tau of each image against the cosine and Pearson's correlation: a row of panels a data set.

    Colours tell the bases apart, filled points are rows with IGR. Each panel says its gamma (mean over runs), and
    the paper's where it prints one.
    """
    across = max(2 * len(row) for row in rows)
    size = (2.9 * across, 3.0 * len(rows) + 0.4)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.06))
    axes = figure.subplots(len(rows), across, squeeze=False, sharey="row")
    for line, row in zip(axes, rows, strict=True):
        panels = [(found, name) for found in row for name in ("cosine", "pearson")]
        for axis, (found, name) in zip(line, panels, strict=False):
            _scatter(axis, found, name)
        for axis in line[len(panels) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"{dataset_title(row[0].dataset)}: Kendall's τ", fontsize=9, color=INK)
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
    paper = published_gamma(found.dataset)
    beside = f" (paper {paper[place]:.2f})" if paper and found.kind == "signed" else ""
    value = f"{getattr(found, name):.2f}".replace("-", "−")
    axis.set_title(f"${symbol}$ = {value}{beside}", fontsize=9.5, loc="left", color=INK)
    axis.set_xlabel(f"{title} of {'the maps' if found.kind == 'signed' else 'magnitudes'}", fontsize=8.5, color=INK)


def activation_figure(study: Study) -> Drawing:
    """Figure 4: a panel a data set, a pair of bars a base, without and with IGR; diamonds are the paper's numbers."""
    size = (0.6 + 2.7 * len(study.datasets), 3.4)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.05))
    printed = False
    axes = figure.subplots(1, len(study.datasets), squeeze=False)[0]
    for i, (axis, dataset) in enumerate(zip(axes, study.datasets, strict=True)):
        plain(axis)
        axis.grid(visible=False, axis="x")
        for place, base in enumerate(BASES):
            for shift, method in ((-0.2, base), (0.2, f"{base}-igr")):
                sample = study.contrast(dataset, {method: 1.0}, "activation")
                paper = published("activation", method, dataset)
                printed |= paper is not None
                found = sample.interval() if sample else None
                _bar(axis, place + shift, found, paper, BASE_COLOURS[base], method.endswith("-igr"))
        axis.set_xticks(range(len(BASES)), [TITLES[base] for base in BASES])
        axis.set_xlim(-0.6, len(BASES) - 0.4)
        axis.set_ylim(0, 1.02)
        axis.set_title(dataset_title(dataset), fontsize=9.5, loc="left", color=INK)
        if i == 0:
            axis.set_ylabel("activation consistency", fontsize=8.5, color=INK)
    handles = [
        Line2D([], [], ls="", marker="s", markersize=8, color=_pale(MUTED), label="base"),
        Line2D([], [], ls="", marker="s", markersize=8, color=MUTED, label="base + IGR"),
        Line2D([], [], ls="", marker="D", markersize=5, markerfacecolor="white", color=INK, label="paper"),
    ]
    drawn = handles if printed else handles[:2]
    figure.legend(handles=drawn, loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
    return figure


def _pale(colour: str) -> str:
    red, green, blue = (1 - 0.35 * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _bar(axis: Axes, x: float, ours: Interval | None, paper: float | None, colour: str, filled: bool) -> None:
    if ours is not None:
        axis.bar(x, ours.mean, 0.36, color=colour if filled else _pale(colour))
        if ours.low is not None and ours.high is not None:
            ends = np.array([[ours.mean - ours.low], [ours.high - ours.mean]])
            axis.errorbar([x], [ours.mean], ends, color=INK, linewidth=1.2, capsize=2.5)
    if paper is not None:
        axis.plot([x], [paper], "D", color=INK, markerfacecolor="white", markersize=5)
