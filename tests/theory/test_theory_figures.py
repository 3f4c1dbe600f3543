"""The theory's figures: what is drawn where."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from holdfast.errors import HoldfastError
from holdfast.paper.theory.activation import contrast_sweep, noise
from holdfast.paper.theory.attribution_space import figure1, figure2a, figure2c
from holdfast.paper.theory.chain import SCALED_SWAPPED_SCALED
from holdfast.paper.theory.geometry import equal_distances, plane, simulate
from holdfast.paper.theory.kendall_cosine import random_pairs
from holdfast.paper.theory.proposition1 import proposition1_figure
from holdfast.paper.theory.proposition2 import (
    identical_units,
    orthogonal_units,
    proposition2_figure,
    random_network_pairs,
)
from holdfast.paper.theory.theorem1 import theorem1_figure


def drawn(figure: Figure) -> Figure:
    """The figure, after a drawing that would warn of missing glyphs or a layout without room."""
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def test_figure1_shows_images_maps_and_their_similarities() -> None:
    found = equal_distances()
    figure = drawn(figure1(found))
    pictures = [axis for axis in figure.axes if axis.images and axis.get_subplotspec() is not None][:8]
    shown = [np.asarray(axis.images[0].get_array()) for axis in pictures]
    np.testing.assert_array_equal(shown[:4], found.images)
    np.testing.assert_array_equal(shown[4:], found.maps)
    assert len({axis.images[0].get_clim() for axis in pictures[4:]}) == 1, "one colour scale"
    assert [
        axis.get_xlabel().endswith(f"τ {tau:.2f} · cos {cos:.2f}")
        for axis, tau, cos in zip(pictures[5:], found.kendall, found.cosine, strict=True)
    ] == [True] * 3


def test_figure2a_draws_every_vector() -> None:
    mixed, independent = (simulate(100, 40, mixed=mixed, seed=0) for mixed in (True, False))
    figure = drawn(figure2a(mixed, independent))
    for axis, found in zip(figure.axes, (mixed, independent), strict=True):
        np.testing.assert_array_equal(axis.lines[0].get_xydata(), np.stack([found.cosine, found.kendall], axis=1))


def test_figure2c_draws_every_point() -> None:
    points = plane()
    axis = drawn(figure2c(points)).axes[0]
    marked = {tuple(line.get_xydata()[0]) for line in axis.lines if len(line.get_xydata()) == 1}
    assert marked == {points.clean, points.nearer, points.wider, points.longer, points.perturbed, points.trained}


def test_theorem1_figure() -> None:
    gaps = random_pairs(4, 30, 0)
    figure = drawn(theorem1_figure({"exp(1)": gaps, "again": gaps}, SCALED_SWAPPED_SCALED))
    assert figure.axes[1].get_title(loc="left") == "given the ends +0.08, along the chain −0.67"
    hatched = [p for p in figure.axes[1].patches if isinstance(p, Polygon) and p.get_hatch()]
    assert len(hatched) == 1
    with pytest.raises(HoldfastError, match="ends is empty"):
        theorem1_figure({}, SCALED_SWAPPED_SCALED)


def test_proposition1_figure() -> None:
    sweep = contrast_sweep((0.1, 1.0, 3.0), 4, 0, features=50, units=50)
    found = noise((10, 30), (20, 50), 5, 0)
    figure = drawn(proposition1_figure(sweep, found))
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["20 units", "50 units", "$1/\\sqrt{d}$"]
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_ydata(), found.deviation[:, 1])
    np.testing.assert_array_equal(figure.axes[0].containers[2].lines[0].get_ydata(), sweep.ig)


def test_proposition2_figure() -> None:
    pairs = random_network_pairs(20, 50, 0)
    figure = drawn(proposition2_figure(pairs, orthogonal_units(50), identical_units(50), 500, 0))
    ((squared, norm),) = figure.axes[0].lines[3].get_xydata()
    assert squared == pytest.approx(50 / 60)
    assert norm > 1
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert {"mean 7.04", "mean 6.18"} <= {*labels}
