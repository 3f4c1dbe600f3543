"""Training curves as small multiples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from holdfast.errors import HoldfastError
from holdfast.palette import DASHES, FAINT, INK, run_colours
from holdfast.report.model import Curve

_FEW_POINTS = 25


def curves_figure(
    curves: Mapping[str, Sequence[Curve]],
    colours: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Figure:
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
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06, wspace=0.06))
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
        axis.set_title(title, fontsize=9.5, loc="left", color=INK)
        axis.set_xlabel("step", fontsize=8, color=INK)
        axis.tick_params(labelsize=8, colors=INK, length=0)
        axis.grid(color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[:].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = [
        Line2D([], [], color=colour[run], ls=dash[run], linewidth=2, label=(names or {}).get(run, run)) for run in runs
    ]
    legend_columns = min(len(runs), 4)
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns, frameon=False, fontsize=9)
    return figure
