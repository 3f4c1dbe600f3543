"""What the figures of trained networks draw."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from holdfast.errors import HoldfastError
from holdfast.paper.concordance import READINGS, concordance, concordance_figure
from holdfast.paper.study_figures import activation_figure, draw, pictured_networks
from holdfast.results import load_results

from .conftest import MakeResult, MakeStudy

ROOT = Path(__file__).parents[2]
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
    found = concordance(study(*runs), "mnist", "all")
    assert found is not None
    cosine, pearson = drawn(concordance_figure([[found]])).axes
    np.testing.assert_allclose(cosine.lines[0].get_xydata(), np.stack([TAU**2, TAU], axis=1))
    np.testing.assert_allclose(pearson.lines[1].get_xydata(), np.stack([-TAU, TAU], axis=1))
    assert cosine.get_title(loc="left") == r"$γ_{\cos}$ = 1.00 (paper 0.73)"
    assert pearson.get_title(loc="left") == "$γ_r$ = −1.00 (paper 0.62)"
    assert [line.get_markerfacecolor() == "none" for line in cosine.lines] == [True, False]


def test_each_reading_of_tau_has_its_panels(study: MakeStudy, result: MakeResult) -> None:
    columns = {"kendall": TAU, "kendall_nonzero": -TAU, "cosine": TAU, "pearson": TAU, "images": range(30)}
    run = result("at", dataset="fashion_mnist", **columns)
    found = [concordance(study(run), "fashion_mnist", reading) for reading in READINGS]
    axes = drawn(concordance_figure([[one for one in found if one is not None]])).axes
    assert [axis.get_ylabel() for axis in axes] == [
        "Fashion-MNIST: τ of all features", "", "τ of features not 0 in the clean map", "",
    ]  # fmt: skip
    assert [axis.get_title(loc="left")[-12:] for axis in axes] == ["(paper 0.71)", "(paper 0.23)"] * 2
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), -TAU)


def test_the_papers_numbers_stand_beside_another_radius(study: MakeStudy, result: MakeResult) -> None:
    run = result("at", dataset="fashion_mnist_01", kendall=TAU, cosine=TAU, pearson=TAU, images=range(30))
    made = draw(study(run, result("at")), "figure2b")
    assert "Fashion-MNIST γ_cos 0.7148" in made.caption
    assert "not run here" not in made.caption
    assert {claim.statement.partition(", τ")[0] for claim in made.claims} == {"On Fashion-MNIST, ε = 0.1"}


def test_networks_of_the_zoo_stand_for_runs_without_weights(study: MakeStudy) -> None:
    """The first seed and the paper's base come first; only a network of the very settings is taken."""
    results = {
        r.name: r for r in load_results(ROOT / "results" / "laptop") if r.dataset in ("fashion_mnist_01", "cifar10")
    }
    pair = [results[f"fashion_mnist_01-mart{igr}-{seed}"] for seed in (0, 1) for igr in ("", "-igr")]
    base, networks = pictured_networks(study(*pair), "mart", "fashion_mnist_01")
    assert base == "mart"
    assert [(at.run.seed, at.spec) for at in networks] == [
        (1, "fashion_mnist_01/mart"),
        (1, "fashion_mnist_01/mart-igr"),
    ]
    cifar = study(results["cifar10-at-0"], results["cifar10-at-igr-0"])
    assert pictured_networks(cifar, "mart", "cifar10")[0] == "at"
    with pytest.raises(HoldfastError, match="holds no weights of fashion_mnist_01-mart-0"):
        pictured_networks(study(*pair[:2]), "mart", "fashion_mnist_01")


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
