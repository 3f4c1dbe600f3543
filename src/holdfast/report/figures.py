"""Drawings that any document may hold (training curves, a forest plot), and figures as bytes and data URIs."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from holdfast.errors import HoldfastError
from holdfast.palette import COLOURS, DASHES, FAINT, INK, MUTED, run_colours
from holdfast.report.claim import Effect
from holdfast.report.document import Figure

DPI = 160
_FEW_POINTS = 25


@dataclass(frozen=True)
class Curve:
    """A quantity over the course of a training run. Raises HoldfastError unless both are equally long."""

    run: str
    steps: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values) or len(self.steps) == 0:
            raise HoldfastError(
                f"curve of {self.run!r} has {len(self.steps)} steps and {len(self.values)} values; "
                "give equally many, at least one"
            )


def figure_of(drawing: Drawing, key: str, title: str, caption: str, alt: str = "", dpi: int = DPI) -> Figure:
    """A drawing of matplotlib as a figure of a document: PNG and SVG, equal for equal drawings."""
    return Figure(key, title, caption, alt or title, to_png_bytes(drawing, dpi), to_svg(drawing))


def curves_figure(
    curves: Mapping[str, Sequence[Curve]],
    colours: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Drawing:
    """One panel a title, one line a run, told apart by colour and dash; a legend above.

    ``colours`` and ``names`` map runs to a colour and to what the legend calls them; runs they leave out get
    the palette's colours and their own name. Values that are not finite leave a gap. Raises HoldfastError
    for no curves.
    """
    runs = list(dict.fromkeys(curve.run for panel in curves.values() for curve in panel))
    if not runs:
        raise HoldfastError("no training curves to draw; leave the figure out")
    order = list(dict.fromkeys([*(colours or {}), *runs]))
    colour = {**run_colours(order), **(colours or {})}
    dash = {run: DASHES[i % len(DASHES)] for i, run in enumerate(order)}
    panels = {title: panel for title, panel in curves.items() if panel}
    across = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    down = math.ceil(len(panels) / across)
    size = (3.3 * across + 0.4, 2.35 * down + 0.5)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06, wspace=0.06))
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, (title, panel) in zip(axes, panels.items(), strict=False):
        for curve in panel:
            few = len(curve.steps) <= _FEW_POINTS
            axis.plot(
                curve.steps,
                curve.values,
                dash[curve.run],
                color=colour[curve.run],
                linewidth=1.6 if few else 1.1,
                marker="o" if few else None,
                markersize=2.6,
            )
        axis.set_title(title, fontsize=9.5, loc="left", color=INK, parse_math=False)
        axis.set_xlabel("step", fontsize=8, color=INK)
        plain(axis)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = [
        Line2D([], [], color=colour[run], ls=dash[run], linewidth=2, label=(names or {}).get(run, run)) for run in runs
    ]
    legend_columns = min(len(runs), 4)
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def plain(axis: Axes) -> None:
    """An axis with a faint grid and nothing around it."""
    axis.tick_params(labelsize=8, colors=INK, length=0)
    axis.grid(color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[:].set_visible(False)


def panels(count: int, width: float = 3.9, height: float = 3.4) -> tuple[Drawing, list[Axes]]:
    """A drawing of plain panels side by side, each ``width`` by ``height`` inches."""
    figure = Drawing(figsize=(width * count, height), layout=ConstrainedLayoutEngine(wspace=0.06))
    axes = [*figure.subplots(1, count, squeeze=False)[0]]
    for axis in axes:
        plain(axis)
    return figure, axes


def named(axis: Axes, title: str, x: str = "", y: str = "") -> None:
    """Write the title of a panel, and what its axes are."""
    axis.set_title(title, fontsize=9.5, loc="left", color=INK)
    axis.set_xlabel(x, fontsize=8.5, color=INK)
    axis.set_ylabel(y, fontsize=8.5, color=INK)


def legend(axis: Axes, **where: Any) -> None:
    """A legend inside a panel, without a frame."""
    look: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK, **where}
    axis.legend(**look)


def forest_figure(effects: Mapping[str, Sequence[Effect]]) -> Drawing:
    """One panel a title: each effect's mean and 95 % interval around 0, and a diamond where the paper's number lies.

    Shares are drawn in points. Filled points have an interval that lies on one side of 0. Effects that were not
    measured show the paper's number alone. Raises HoldfastError for no effects.
    """
    panels = {title: part for title, part in effects.items() if part}
    if not panels:
        raise HoldfastError("no differences to draw; leave the figure out")
    heights = [len(part) + 0.4 for part in panels.values()]
    size = (5.2, 0.24 * sum(heights) + 0.55 * len(panels) + 0.3)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06, h_pad=0.05))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, part) in zip(axes, panels.items(), strict=True):
        plain(axis)
        axis.axvline(0, color=MUTED, linewidth=0.9)
        for y, effect in enumerate(part):
            _forest_row(axis, y, effect)
        axis.set_yticks(range(len(part)), [effect.label for effect in part], fontsize=9, parse_math=False)
        axis.set_ylim(len(part) - 0.4, -0.6)
        axis.set_title(title, fontsize=9.5, loc="left", color=INK, parse_math=False)
    ours = Line2D([], [], color=COLOURS[0], marker="o", markersize=5, linewidth=1.6, label="ours, 95 % interval")
    paper = Line2D([], [], color=COLOURS[1], marker="D", markersize=5, ls="", markerfacecolor="none", label="the paper")
    shown = [ours, paper] if any(e.paper is not None for part in panels.values() for e in part) else [ours]
    figure.legend(handles=shown, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def _forest_row(axis: Axes, y: int, effect: Effect) -> None:
    scale = 100 if effect.percent else 1
    if effect.paper is not None:
        axis.plot([scale * effect.paper], [y], "D", color=COLOURS[1], markerfacecolor="none", markersize=5, zorder=3)
    if (found := effect.found) is None:
        return
    if found.low is not None and found.high is not None:
        axis.plot([scale * found.low, scale * found.high], [y, y], color=COLOURS[0], linewidth=1.6)
    fill = COLOURS[0] if found.side else "white"
    axis.plot([scale * found.mean], [y], "o", color=COLOURS[0], markerfacecolor=fill, markersize=5)


def to_png_bytes(figure: Drawing, dpi: int = 200) -> bytes:
    """The figure as PNG at ``dpi`` dots an inch; equal figures give equal bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def to_svg(figure: Drawing) -> str:
    """The figure as SVG, text as outlines; equal figures give equal text."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "holdfast", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None})
    return out.getvalue()


def data_uri(content: bytes | str) -> str:
    """PNG bytes or SVG text as a ``data:`` URI.

    >>> data_uri("<svg/>")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    kind = "svg+xml" if isinstance(content, str) else "png"
    raw = content.encode() if isinstance(content, str) else content
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode('ascii')}"
