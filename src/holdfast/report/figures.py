"""Images and attributions before and after the attack, side by side for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from holdfast.errors import HoldfastError
from holdfast.palette import INK, MUTED, run_colours
from holdfast.report.model import AttackedView, ExampleView

CLIP_PERCENTILE = 99.0
_CELL, _GAP, _BLOCK_GAP, _CAPTION, _HEAD, _FOOT = 1.2, 0.07, 0.3, 0.3, 0.62, 0.5


def attribution_map(attribution: NDArray[np.floating], signed: bool = False) -> NDArray[np.float64]:
    """An attribution (C, H, W) as (H, W), divided by the 99th percentile of its size and clipped.

    Unsigned: absolute values summed over channels, in [0, 1]. Signed: values summed over channels, in
    [-1, 1]. Where that percentile is 0 (few features matter) the largest value takes its place.

    >>> attribution_map(np.array([[[0.0, -2.0]], [[1.0, 0.0]]])).round(1).tolist()
    [[0.5, 1.0]]
    """
    flat = (attribution if signed else np.abs(attribution)).sum(axis=0, dtype=np.float64)
    size = np.abs(flat)
    scale = np.percentile(size, CLIP_PERCENTILE) or size.max() or 1.0
    return np.clip(flat / scale, -1.0, 1.0)


def attribution_figure(
    examples: Sequence[ExampleView],
    model_names: Sequence[str],
    k: int,
    colours: Mapping[str, str] | None = None,
    signed: bool = False,
) -> Figure:
    """One row an image: the image, then for each model IG(x), the attacked image x̃ and IG(x̃).

    Kendall's τ and the top-``k`` share stand below each attacked attribution. Maps are those of
    ``attribution_map``, each on its own scale; a dark-to-light colour map, or blue-to-red with ``signed``.
    ``colours`` maps model names to the colour of their heading. A model that an example lacks stays blank.
    Raises HoldfastError for no examples or no models.
    """
    if not examples or not model_names:
        raise HoldfastError("the attribution figure needs at least one example and one model")
    colours = {**run_colours(model_names), **(colours or {})}
    block = 3 * _CELL + 2 * _GAP
    width = 2 * _GAP + _CELL + len(model_names) * (_BLOCK_GAP + block)
    height = _HEAD + len(examples) * (_CELL + _CAPTION) + _FOOT
    figure = Figure(figsize=(width, height))

    def place(x: float, row: int) -> Axes:
        y = height - _HEAD - row * (_CELL + _CAPTION) - _CELL
        axis = figure.add_axes((x / width, y / height, _CELL / width, _CELL / height))
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set(color="#b9bec6", linewidth=0.6)
        return axis

    def write(x: float, y: float, text: str, **style: Any) -> None:
        look: dict[str, Any] = {"ha": "center", "color": INK, "fontsize": 9, **style}
        figure.text(x / width, y / height, text, **look)

    starts = {name: _GAP + _CELL + _BLOCK_GAP + i * (block + _BLOCK_GAP) for i, name in enumerate(model_names)}
    write(_GAP + _CELL / 2, height - _HEAD + 0.07, "image $x$")
    for name, start in starts.items():
        for i, heading in enumerate(("IG$(x)$", r"attacked $\tilde{x}$", r"IG$(\tilde{x})$")):
            write(start + i * (_CELL + _GAP) + _CELL / 2, height - _HEAD + 0.07, heading)
        write(start, height - 0.24, name, ha="left", fontsize=11, fontweight="bold", parse_math=False)
        rule = (height - 0.32) / height
        ends = [start / width, (start + block) / width]
        figure.add_artist(Line2D(ends, [rule, rule], color=colours[name], linewidth=2.2))

    for row, example in enumerate(examples):
        picture = place(_GAP, row)
        _show_image(picture, example.image)
        _below(picture, f"{example.label} · no. {example.index}", MUTED)
        for name, start in starts.items():
            view = example.views.get(name)
            if view is None:
                continue
            cells = [place(start + i * (_CELL + _GAP), row) for i in range(3)]
            _show_map(cells[0], view.attribution_clean, signed)
            _show_image(cells[1], view.adversarial)
            _show_map(cells[2], view.attribution_adversarial, signed)
            _below(cells[2], _score(view, k), INK if view.succeeded else MUTED)
    _scale(figure, starts[model_names[0]], width, height, signed)
    return figure


def _score(view: AttackedView, k: int) -> str:
    if not view.succeeded:
        return "no attack found"
    return f"τ {view.kendall:.2f} · top-{k} {100 * view.topk:.0f} %".replace("-0.00", "0.00").replace("τ -", "τ −")


def _below(axis: Axes, text: str, colour: str) -> None:
    axis.text(
        0.5,
        -0.06,
        text,
        transform=axis.transAxes,
        ha="center",
        va="top",
        fontsize=7.8,
        color=colour,
        parse_math=False,
    )


def _show_image(axis: Axes, image: NDArray[np.floating]) -> None:
    shown = np.clip(image, 0.0, 1.0)
    if image.shape[0] == 1:
        axis.imshow(shown[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axis.imshow(shown.transpose(1, 2, 0), interpolation="nearest")


def _colour_scheme(signed: bool) -> tuple[str, Normalize]:
    return ("RdBu_r", Normalize(-1, 1)) if signed else ("magma", Normalize(0, 1))


def _show_map(axis: Axes, attribution: NDArray[np.floating], signed: bool) -> None:
    scheme, norm = _colour_scheme(signed)
    axis.imshow(attribution_map(attribution, signed), cmap=scheme, norm=norm, interpolation="nearest")


def _scale(figure: Figure, left: float, width: float, height: float, signed: bool) -> None:
    axis = figure.add_axes((left / width, 0.3 / height, 1.2 / width, 0.09 / height))
    scheme, norm = _colour_scheme(signed)
    bar = figure.colorbar(ScalarMappable(norm, scheme), cax=axis, orientation="horizontal")
    bar.outline.set_visible(False)
    axis.set_xticks([-1, 0, 1] if signed else [0, 1])
    axis.tick_params(labelsize=7.5, length=0, colors=MUTED)
    what = "IG summed over channels" if signed else "|IG| summed over channels"
    text = f"{what}, each map divided by its own 99th percentile"
    figure.text((left + 1.35) / width, 0.295 / height, text, fontsize=7.8, color=MUTED)
