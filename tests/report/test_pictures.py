"""Figures: what is drawn where, and that bytes repeat."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from holdfast.errors import HoldfastError
from holdfast.metrics.stats import Interval
from holdfast.report import Curve, Effect, ExampleView, attribution_figure, curves_figure, forest_figure
from holdfast.report.figures import to_png_bytes, to_svg
from holdfast.report.pictures import attribution_map, difference, overlay, tiles

MODELS = ["TRADES", "TRADES+IGR"]


def test_attribution_map_scales_by_the_99th_percentile() -> None:
    values = np.arange(100, dtype=float).reshape(1, 10, 10)
    shown = attribution_map(-values)
    assert shown.max() == 1.0
    assert shown[0, 1] == pytest.approx(1 / np.percentile(values, 99))


def test_attribution_map_of_few_features_and_of_none() -> None:
    lone = np.zeros((1, 20, 20))
    lone[0, 3, 3] = 5.0
    assert attribution_map(lone)[3, 3] == 1.0
    assert not attribution_map(np.zeros((3, 4, 4))).any()


def test_unsigned_channels_do_not_cancel() -> None:
    opposite = np.stack([np.ones((2, 2)), -np.ones((2, 2))])
    assert (attribution_map(opposite) == 1).all()


def test_figure_has_five_pictures_a_model_and_image_and_its_scores(examples: list[ExampleView]) -> None:
    figure = attribution_figure(examples, MODELS, k=8)
    boxes = [axis.get_position() for axis in figure.axes if axis.images]
    assert len(boxes) == 5 * len(MODELS) * len(examples)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert min(box.y0 for box in boxes) > -1e-9
    notes = [text.get_text() for text in figure.texts]
    assert notes.count("τ 0.45 · top-8 50 %") == 4
    assert notes.count("no attack found") == 1
    assert notes.count("difference × 10") == 1
    assert notes.count("TRADES+IGR") == notes.count("TRADES") == len(examples)


def test_difference_is_ten_times_the_change_and_white_where_there_is_none() -> None:
    image = np.zeros((1, 1, 3))
    red, white, blue = difference(image, np.array([[[0.1, 0.0, -0.1]]])).transpose(1, 2, 0)[0]
    assert red[0] > 0.3 > red[2]
    assert blue[2] > 0.3 > blue[0]
    assert white == pytest.approx([0.97] * 3, abs=0.01)
    colour = np.zeros((3, 1, 1))
    assert difference(colour, colour + 0.02) == pytest.approx(0.6)


def test_an_overlay_is_grey_where_the_map_is_nothing() -> None:
    image = np.full((1, 2, 2), 0.5)
    shown = overlay(image, np.array([[[0.0, 0.0], [0.0, 3.0]]]))
    assert np.ptp(shown[:, 0, 0]) < 0.01
    assert np.ptp(shown[:, 1, 1]) > 0.1


def test_colour_images_and_names_with_dollars(examples: list[ExampleView]) -> None:
    grey = examples[0]

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


def test_curves_share_a_runs_colour_across_panels(curves: dict[str, list[Curve]]) -> None:
    figure = curves_figure(curves, {"trades-igr": "#123456"}, {"trades": "TRADES"})
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(curves)
    assert {axis.lines[1].get_color() for axis in figure.axes} == {"#123456"}
    assert len({axis.lines[0].get_color() for axis in figure.axes}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["TRADES", "trades-igr"]


@pytest.mark.parametrize("panels", [1, 3, 5])
def test_any_number_of_panels(panels: int) -> None:
    curves = {f"quantity {i}": [Curve("a", [0, 1, 2], [1.0, float("nan"), 0.5])] for i in range(panels)}
    visible = [axis for axis in curves_figure(curves).axes if axis.get_visible()]
    assert len(visible) == panels


def test_bytes_repeat(curves: dict[str, list[Curve]]) -> None:
    def draw() -> tuple[str, bytes]:
        figure = curves_figure(curves)
        return to_svg(figure), to_png_bytes(figure, dpi=40)

    assert draw() == draw()


def test_wrong_inputs_say_what_is_wrong(examples: list[ExampleView]) -> None:
    example = examples[0]
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


def test_tiles_are_the_pictures_one_by_one(examples: list[ExampleView]) -> None:
    found = tiles(examples, MODELS, 8)
    assert len(found) == 5 * len(MODELS) * len(examples)
    captions = ["image", "attribution", "attacked", "difference × 10", "attribution after"]
    assert [tile.caption for tile in found[:5]] == captions
    assert all(tile.uri.startswith("data:image/png;base64,") for tile in found)
    assert found[0].alt == "image (TRADES, digit 0: τ 0.45 · top-8 50 %)"
    assert len({tile.strip for tile in found}) == len(MODELS) * len(examples)


def test_a_forest_has_a_row_an_effect_at_its_numbers() -> None:
    clear = Effect("AT", Interval(0.5, 0.2, 0.8, 90, 3), True, paper=0.1)
    unclear = Effect("TRADES", Interval(-0.1, -0.4, 0.2, 90, 3), True)
    absent = Effect("MART", None, True, paper=-0.2)
    (axis,) = forest_figure({"Top-100": [clear, unclear, absent], "empty": []}).axes
    points = [(tuple(line.get_xdata()), line.get_ydata()[0], line.get_marker()) for line in axis.lines[1:]]
    assert points == [
        ((10.0,), 0, "D"),
        ((20.0, 80.0), 0, "None"),
        ((50.0,), 0, "o"),
        ((-40.0, 20.0), 1, "None"),
        ((-10.0,), 1, "o"),
        ((-20.0,), 2, "D"),
    ]
    means = [line for line in axis.lines if line.get_marker() == "o"]
    assert [mean.get_markerfacecolor() == "white" for mean in means] == [False, True]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AT", "TRADES", "MART"]
    with pytest.raises(HoldfastError, match="no differences to draw"):
        forest_figure({"empty": []})
