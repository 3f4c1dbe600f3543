"""Images and attributions before and after the attack, side by side for every model: a figure, and tiles."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imsave
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from holdfast.errors import HoldfastError
from holdfast.palette import INK, MUTED, run_colours
from holdfast.report.document import Tile
from holdfast.report.images import data_uri

CLIP_PERCENTILE = 99.0
SCHEME = "magma"
_CELL, _GAP, _BLOCK_GAP, _CAPTION, _HEAD, _FOOT = 1.2, 0.07, 0.3, 0.3, 0.62, 0.5


@dataclass(frozen=True, eq=False)
class AttackedView:
    """What an attack did to one image of one model; arrays are (C, H, W), attributions signed.

    ``kendall`` and ``topk`` compare the two attributions. ``succeeded`` is False where the attack found
    nothing that keeps the prediction.
    """

    attribution_clean: NDArray[np.floating]
    adversarial: NDArray[np.floating]
    attribution_adversarial: NDArray[np.floating]
    kendall: float
    topk: float
    succeeded: bool


@dataclass(frozen=True, eq=False)
class ExampleView:
    """One image (C, H, W) in [0, 1], 1 or 3 channels, and what became of it under each model.

    Raises HoldfastError where a shape differs from the image's or a value is not finite.
    """

    index: int
    label: str
    image: NDArray[np.floating]
    views: Mapping[str, AttackedView]

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[0] not in (1, 3):
            raise HoldfastError(
                f"example {self.index} has shape {self.image.shape}; give (C, H, W) with 1 or 3 channels"
            )
        arrays = {"image": self.image}
        for model, view in self.views.items():
            arrays[f"attribution_clean of {model!r}"] = view.attribution_clean
            arrays[f"adversarial of {model!r}"] = view.adversarial
            arrays[f"attribution_adversarial of {model!r}"] = view.attribution_adversarial
        for what, array in arrays.items():
            if array.shape != self.image.shape:
                raise HoldfastError(
                    f"example {self.index}: {what} has shape {array.shape}, the image {self.image.shape}"
                )
            if not np.isfinite(array).all():
                raise HoldfastError(f"example {self.index}: {what} holds values that are not finite")


def attribution_map(attribution: NDArray[np.floating]) -> NDArray[np.float64]:
    """An attribution (C, H, W) as (H, W) in [0, 1]: sizes summed over channels, over their 99th percentile, clipped.

    Where that percentile is 0 (few features matter) the largest value takes its place.

    >>> attribution_map(np.array([[[0.0, -2.0]], [[1.0, 0.0]]])).round(1).tolist()
    [[0.5, 1.0]]
    """
    size = np.abs(attribution).sum(axis=0, dtype=np.float64)
    scale = np.percentile(size, CLIP_PERCENTILE) or size.max() or 1.0
    return np.clip(size / scale, 0.0, 1.0)


def attribution_figure(
    examples: Sequence[ExampleView],
    model_names: Sequence[str],
    k: int,
    colours: Mapping[str, str] | None = None,
) -> Drawing:
    """One row an image: the image, then for each model IG(x), the attacked image x̃ and IG(x̃).

    Kendall's τ and the top-``k`` share stand below each attacked attribution. Maps are those of
    ``attribution_map``, each on its own scale. ``colours`` maps model names to the colour of their heading. A model
    that an example lacks stays blank. Raises HoldfastError for no examples or no models.
    """
    if not examples or not model_names:
        raise HoldfastError("the attribution figure needs at least one example and one model")
    colours = {**run_colours(model_names), **(colours or {})}
    block = 3 * _CELL + 2 * _GAP
    width = 2 * _GAP + _CELL + len(model_names) * (_BLOCK_GAP + block)
    height = _HEAD + len(examples) * (_CELL + _CAPTION) + _FOOT
    figure = Drawing(figsize=(width, height))

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
            _show_map(cells[0], view.attribution_clean)
            _show_image(cells[1], view.adversarial)
            _show_map(cells[2], view.attribution_adversarial)
            _below(cells[2], _score(view, k), INK if view.succeeded else MUTED)
    _scale(figure, starts[model_names[0]], width, height)
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


def _show_map(axis: Axes, attribution: NDArray[np.floating]) -> None:
    axis.imshow(attribution_map(attribution), cmap=SCHEME, norm=Normalize(0, 1), interpolation="nearest")


def _scale(figure: Drawing, left: float, width: float, height: float) -> None:
    axis = figure.add_axes((left / width, 0.3 / height, 1.2 / width, 0.09 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), SCHEME), cax=axis, orientation="horizontal")
    bar.outline.set_visible(False)
    axis.set_xticks([0, 1])
    axis.tick_params(labelsize=7.5, length=0, colors=MUTED)
    text = "|attribution| summed over channels, each map divided by its own 99th percentile"
    figure.text((left + 1.35) / width, 0.295 / height, text, fontsize=7.8, color=MUTED)


def tiles(examples: Sequence[ExampleView], model_names: Sequence[str], k: int) -> tuple[Tile, ...]:
    """The same pictures one by one, with what each shows: four a model and image, in the order of the figure."""
    found = []
    for example in examples:
        for name in model_names:
            if (view := example.views.get(name)) is None:
                continue
            where = f"{name}, {example.label}"
            found += [
                Tile(_picture(example.image), "image", f"{where}: the test image", where),
                Tile(_heat(view.attribution_clean), "attribution", f"{where}: its attribution", where),
                Tile(_picture(view.adversarial), "attacked", f"{where}: the attacked image", where),
                Tile(
                    _heat(view.attribution_adversarial),
                    _score(view, k),
                    f"{where}: the attribution of the attacked image, {_score(view, k)}",
                    where,
                ),
            ]
    return tuple(found)


def _picture(image: NDArray[np.floating]) -> str:
    shown = np.clip(image, 0.0, 1.0)
    return _png(shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0), "gray")


def _heat(attribution: NDArray[np.floating]) -> str:
    return _png(attribution_map(attribution), SCHEME)


def _png(pixels: NDArray[np.floating], scheme: str) -> str:
    out = io.BytesIO()
    imsave(out, np.ascontiguousarray(pixels), cmap=scheme, vmin=0, vmax=1, format="png", metadata={"Software": ""})
    return data_uri(out.getvalue())
