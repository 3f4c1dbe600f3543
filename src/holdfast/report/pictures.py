"""Images and attributions before and after the attack, a row a model: a figure, and tiles."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imsave
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from holdfast.errors import HoldfastError
from holdfast.palette import INK, MUTED, run_colours
from holdfast.report.document import Tile
from holdfast.report.figures import data_uri

CLIP_PERCENTILE = 99.0
SCHEME = "magma"
TIMES = 10
"""How much larger than it is a change is shown."""
_CELL, _GAP, _BLOCK_GAP, _HEAD, _NAME = 1.2, 0.07, 0.25, 0.3, 1.62


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


def overlay(image: NDArray[np.floating], attribution: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map in colour over the image in grey, both (C, H, W): pixels (3, H, W) in [0, 1]."""
    grey = np.broadcast_to(image.mean(0, keepdims=True), (3, *image.shape[1:]))
    weight = attribution_map(attribution)
    colour = np.moveaxis(matplotlib.colormaps[SCHEME](weight)[..., :3], -1, 0)
    return np.clip((1 - 0.75 * weight) * 0.6 * grey + (0.4 + 0.35 * weight) * colour, 0, 1)


def difference(image: NDArray[np.floating], attacked: NDArray[np.floating]) -> NDArray[np.float64]:
    """``TIMES`` times the change of each pixel, (3, H, W): none is white (grey in colour images), 1 / ``TIMES`` full.

    One channel is red where it grew and blue where it shrank; three are shown as they are.

    >>> difference(np.zeros((3, 1, 1)), np.full((3, 1, 1), 0.1)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    change = np.clip(TIMES * (attacked.astype(np.float64) - image), -1, 1)
    if len(change) > 1:
        return 0.5 + change / 2
    return np.moveaxis(matplotlib.colormaps["RdBu_r"]((1 + change[0]) / 2)[..., :3], -1, 0)


def panels(example: ExampleView, view: AttackedView) -> dict[str, NDArray[np.floating]]:
    """What a row shows, by its heading."""
    return {
        "image": example.image,
        "attribution": overlay(example.image, view.attribution_clean),
        "attacked": view.adversarial,
        f"difference × {TIMES}": difference(example.image, view.adversarial),
        "attribution after": overlay(view.adversarial, view.attribution_adversarial),
    }


def attribution_figure(
    examples: Sequence[ExampleView],
    model_names: Sequence[str],
    k: int,
    colours: Mapping[str, str] | None = None,
) -> Drawing:
    """A row for each image and model: image, map over it, attacked image, `difference`, map over the attacked image.

    Kendall's τ and the top-``k`` share stand below the model's name. Maps are those of ``attribution_map``, each on
    its own scale. ``colours`` maps model names to the colour of their rule. A model that an example lacks is left out.
    Raises HoldfastError for no examples or no models.
    """
    if not examples or not model_names:
        raise HoldfastError("the attribution figure needs at least one example and one model")
    colours = {**run_colours(model_names), **(colours or {})}
    rows = [(e, name, e.views[name]) for e in examples for name in model_names if name in e.views]
    width, height = _NAME + 5 * (_CELL + _GAP), _HEAD + len(rows) * (_CELL + _GAP) + _BLOCK_GAP * (len(examples) - 1)
    figure = Drawing(figsize=(width, height))

    def write(x: float, y: float, text: str, **style: Any) -> None:
        look: dict[str, Any] = {"color": INK, "fontsize": 9, "parse_math": False, **style}
        figure.text(x / width, y / height, text, **look)

    top, before = height - _HEAD, rows[0][0]
    for example, name, view in rows:
        top -= _BLOCK_GAP * (example is not before)
        before = example
        for i, (heading, pixels) in enumerate(panels(example, view).items()):
            left = _NAME + i * (_CELL + _GAP)
            axis = figure.add_axes((left / width, (top - _CELL) / height, _CELL / width, _CELL / height))
            axis.set_axis_off()
            shown = np.clip(np.broadcast_to(pixels, (3, *pixels.shape[1:])), 0, 1).transpose(1, 2, 0)
            axis.imshow(shown, interpolation="nearest")
            if example is rows[0][0] and name == rows[0][1]:
                write(left + _CELL / 2, height - _HEAD + 0.09, heading, ha="center")
        rule = [(top - _CELL + 0.08) / height, (top - 0.08) / height]
        figure.add_artist(Line2D([0.04 / width] * 2, rule, color=colours[name], linewidth=3))
        write(0.14, top - 0.38, name, fontweight="bold", fontsize=10)
        write(0.14, top - 0.60, example.label, color=MUTED, fontsize=8)
        write(0.14, top - 0.84, _score(view, k), fontsize=8)
        top -= _CELL + _GAP
    return figure


def _score(view: AttackedView, k: int) -> str:
    if not view.succeeded:
        return "no attack found"
    return f"τ {view.kendall:.2f} · top-{k} {100 * view.topk:.0f} %".replace("-0.00", "0.00").replace("τ -", "τ −")


def tiles(examples: Sequence[ExampleView], model_names: Sequence[str], k: int) -> tuple[Tile, ...]:
    """The same pictures one by one, with what each shows: a strip an image and model, in the order of the figure."""
    found = []
    for example in examples:
        for name in model_names:
            if (view := example.views.get(name)) is None:
                continue
            where = f"{name}, {example.label}: {_score(view, k)}"
            found += [
                Tile(picture(pixels), caption, f"{caption} ({where})", where)
                for caption, pixels in panels(example, view).items()
            ]
    return tuple(found)


def picture(pixels: NDArray[np.floating]) -> str:
    """An image (C, H, W) in [0, 1], of 1 or 3 channels, as a PNG in a ``data:`` URI."""
    rgb = np.clip(np.broadcast_to(pixels, (3, *pixels.shape[1:])), 0, 1).transpose(1, 2, 0)
    out = io.BytesIO()
    imsave(out, np.ascontiguousarray(rgb, dtype=np.float64), format="png", metadata={"Software": ""})
    return data_uri(out.getvalue())
