"""What the figures of trained networks draw."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from holdfast.errors import HoldfastError
from holdfast.paper.concordance import concordance, concordance_figure
from holdfast.paper.study_figures import activation_figure, draw

from .conftest import MakeResult, MakeStudy

TAU = np.linspace(0.2, 0.8, 30)


def drawn(figure: Figure) -> Figure:
    """The figure, after a drawing that would warn of missing glyphs or a layout without room."""
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def test_every_attacked_image_is_a_point(study: MakeStudy, result: MakeResult) -> None:
    runs = [
        result("at", kendall=TAU, cosine=TAU**2, pearson=-TAU, images=range(30)),
        result("at-igr", kendall=TAU, cosine=TAU / 2, pearson=-TAU, images=range(5, 35)),
    ]
    found = concordance(study(*runs), "mnist", "signed")
    assert found is not None
    cosine, pearson = drawn(concordance_figure([[found]])).axes
    np.testing.assert_allclose(cosine.lines[0].get_xydata(), np.stack([TAU**2, TAU], axis=1))
    np.testing.assert_allclose(pearson.lines[1].get_xydata(), np.stack([-TAU, TAU], axis=1))
    assert cosine.get_title(loc="left") == r"$γ_{\cos}$ = 1.00 (paper 0.73)"
    assert pearson.get_title(loc="left") == "$γ_r$ = −1.00 (paper 0.62)"
    assert [line.get_markerfacecolor() == "none" for line in cosine.lines] == [True, False]


def test_bars_are_means_with_the_papers_numbers_beside(study: MakeStudy, result: MakeResult) -> None:
    runs = [result("at", activation=0.7), result("at-igr", activation=0.8), result("mart", activation=0.6)]
    (axis,) = drawn(activation_figure(study(*runs))).axes
    bars = [bar for container in axis.containers for bar in container if hasattr(bar, "get_height")]
    assert sorted((round(bar.get_x() + 0.18, 6), round(bar.get_height(), 6)) for bar in bars) == [
        (-0.2, 0.7), (0.2, 0.8), (1.8, 0.6),
    ]  # fmt: skip
    diamonds = [line.get_xydata()[0].tolist() for line in axis.lines if line.get_marker() == "D"]
    assert diamonds == [[-0.2, 0.4], [0.2, 0.43]]


def test_what_is_missing_is_said(study: MakeStudy, result: MakeResult) -> None:
    empty = study(result("ssr"))
    for key, message in (
        ("figure4", "no run of its rows has results"),
        ("figure2b", "no run on MNIST has attacked attributions"),
        ("figure7", "MART was not run on MNIST with seed 0"),
    ):
        with pytest.raises(HoldfastError, match=message):
            draw(empty, key)
    with pytest.raises(HoldfastError, match="holds no weights of mnist-mart-0"):
        draw(study(result("mart"), result("mart-igr")), "figure7")
