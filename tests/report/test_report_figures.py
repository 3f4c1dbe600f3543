"""Figures: what is drawn where, and that bytes repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from holdfast.errors import HoldfastError
from holdfast.report import (
    Comparison,
    Curve,
    ExampleView,
    attribution_figure,
    curves_figure,
    to_png_bytes,
    to_svg,
)
from holdfast.report.figures import attribution_map

MODELS = ["TRADES", "TRADES+IGR"]


def test_attribution_map_scales_by_the_99th_percentile() -> None:
    values = np.arange(100, dtype=float).reshape(1, 10, 10)
    shown = attribution_map(-values)
    assert shown.max() == 1.0
    assert shown[0, 1] == pytest.approx(1 / np.percentile(values, 99))
    assert attribution_map(-values, signed=True).min() == -1.0


def test_attribution_map_of_few_features_and_of_none() -> None:
    lone = np.zeros((1, 20, 20))
    lone[0, 3, 3] = 5.0
    assert attribution_map(lone)[3, 3] == 1.0
    assert not attribution_map(np.zeros((3, 4, 4))).any()


def test_unsigned_channels_do_not_cancel() -> None:
    opposite = np.stack([np.ones((2, 2)), -np.ones((2, 2))])
    assert (attribution_map(opposite) == 1).all()
    assert not attribution_map(opposite, signed=True).any()


def test_figure_has_seven_pictures_an_image_and_its_scores(comparison: Comparison) -> None:
    figure = attribution_figure(comparison.examples, MODELS, k=8)
    pictures = [axis for axis in figure.axes if axis.images]
    assert len(pictures) == 7 * len(comparison.examples)
    notes = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert notes.count("τ 0.45 · top-8 50 %") == 4
    assert notes.count("no attack found") == 1
    assert "digit 0 · no. 0" in notes


def test_signed_maps_share_zero(comparison: Comparison) -> None:
    figure = attribution_figure(comparison.examples[:1], MODELS, k=8, signed=True)
    assert figure.axes[1].images[0].get_clim() == (-1, 1)
    assert figure.axes[1].images[0].get_cmap().name == "RdBu_r"


def test_colour_images_and_names_with_dollars(comparison: Comparison) -> None:
    grey = comparison.examples[0]

    def colour(array: np.ndarray) -> np.ndarray:
        return np.repeat(array, 3, axis=0)

    view = grey.views["TRADES"]
    views = {
        "a$b$": replace(
            view,
            attribution_clean=colour(view.attribution_clean),
            adversarial=colour(view.adversarial),
            attribution_adversarial=colour(view.attribution_adversarial),
        )
    }
    figure = attribution_figure([ExampleView(0, "x_1", colour(grey.image), views)], ["a$b$"], k=8)
    assert to_png_bytes(figure, dpi=40).startswith(b"\x89PNG")


def test_curves_share_a_runs_colour_across_panels(comparison: Comparison) -> None:
    figure = curves_figure(comparison.curves, {"trades-igr": "#123456"}, {"trades": "TRADES"})
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(comparison.curves)
    assert {axis.lines[1].get_color() for axis in figure.axes} == {"#123456"}
    assert len({axis.lines[0].get_color() for axis in figure.axes}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["TRADES", "trades-igr"]


@pytest.mark.parametrize("panels", [1, 3, 5])
def test_any_number_of_panels(panels: int) -> None:
    curves = {f"quantity {i}": [Curve("a", [0, 1, 2], [1.0, float("nan"), 0.5])] for i in range(panels)}
    visible = [axis for axis in curves_figure(curves).axes if axis.get_visible()]
    assert len(visible) == panels


def test_bytes_repeat(comparison: Comparison) -> None:
    def draw() -> tuple[str, bytes]:
        figure = curves_figure(comparison.curves)
        return to_svg(figure), to_png_bytes(figure, dpi=40)

    assert draw() == draw()


def test_wrong_inputs_say_what_is_wrong(comparison: Comparison) -> None:
    example = comparison.examples[0]
    with pytest.raises(HoldfastError, match="at least one example"):
        attribution_figure([], MODELS, k=8)
    with pytest.raises(HoldfastError, match="no training curves"):
        curves_figure({"loss": []})
    with pytest.raises(HoldfastError, match="2 steps and 1 values"):
        Curve("a", [0, 1], [0.5])
    with pytest.raises(HoldfastError, match=r"give \(C, H, W\)"):
        replace(example, image=example.image[0])
    view = replace(example.views["TRADES"], attribution_clean=np.zeros((1, 4, 4)))
    with pytest.raises(HoldfastError, match="attribution_clean of 'TRADES' has shape"):
        replace(example, views={"TRADES": view})
    with pytest.raises(HoldfastError, match="not finite"):
        replace(example, image=example.image * np.nan)
    with pytest.raises(HoldfastError, match="did you mean TRADES"):
        replace(comparison, examples=[replace(example, views={"TRADE": example.views["TRADES"]})])
