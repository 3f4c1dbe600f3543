"""Tables, claims, pictures and a document whose every number is made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from holdfast.metrics.stats import Interval
from holdfast.report import (
    AttackedView,
    Claim,
    Claims,
    Code,
    Column,
    Curve,
    Document,
    Effect,
    ExampleView,
    Facts,
    Row,
    Section,
    Table,
    Words,
    curves_figure,
    figure_of,
    judge,
)
from holdfast.report.pictures import tiles


def _digit(seed: int) -> np.ndarray:
    y, x = np.mgrid[0:8, 0:8]
    ring = np.exp(-((np.hypot(x - 3.5, y - 3.5 + 0.3 * seed) - 2.3) ** 2))
    return (ring / ring.max())[None]


def _example(index: int) -> ExampleView:
    rng = np.random.default_rng(index)
    image = _digit(index)
    views = {}
    for name, damage in (("TRADES", 1.0), ("TRADES+IGR", 0.25)):
        clean = image * rng.normal(1, 0.6, image.shape)
        noise = rng.normal(0, damage, image.shape)
        adversarial = np.clip(image + 0.1 * np.sign(noise), 0, 1)
        succeeded = not (index == 2 and name == "TRADES+IGR")
        attacked = clean * (1 + noise) if succeeded else clean
        views[name] = AttackedView(
            clean,
            adversarial if succeeded else image,
            attacked,
            1 - 0.55 * damage if succeeded else 1.0,
            1 - 0.5 * damage if succeeded else 1.0,
            succeeded,
        )
    return ExampleView(index, f"digit {index}", image, views)


def _curves() -> dict[str, list[Curve]]:
    rng = np.random.default_rng(0)
    steps, epochs = list(range(0, 600, 3)), list(range(0, 600, 60))
    curves: dict[str, list[Curve]] = {}
    for run, level in (("trades", 0.4), ("trades-igr", 0.55)):
        for title, scale in (("loss", 1.0), ("loss: igr", 0.5)):
            loss = [scale * (level + 1.8 * np.exp(-s / 120) + 0.05 * rng.normal()) for s in steps]
            curves.setdefault(title, []).append(Curve(run, steps, loss))
        for title, top in (
            ("validation accuracy (clean)", 0.98),
            ("validation accuracy (adversarial)", 0.93),
        ):
            accuracy = [top - 0.8 * np.exp(-e / 80) - 0.1 * (level - 0.4) for e in epochs]
            curves.setdefault(title, []).append(Curve(run, epochs, accuracy))
    return curves


@pytest.fixture
def examples() -> list[ExampleView]:
    """Four made-up digits before and after an attack on two networks."""
    return [_example(i) for i in range(4)]


@pytest.fixture
def curves() -> dict[str, list[Curve]]:
    """Made-up losses and accuracies of two runs."""
    return _curves()


@pytest.fixture
def table() -> Table:
    """Two data sets, the paper's numbers beside ours on one of them, and a claim."""
    columns = (
        Column("topk", "Top-100", "MNIST", True, better="high"),
        Column("topk", "paper", "MNIST", True, beside=True, digits=2),
        Column("kendall", "Kendall τ", "MNIST", better="high"),
        Column("kendall", "paper", "MNIST", beside=True, digits=2),
        Column("kendall", "Kendall τ", "UCI digits", better="high"),
    )
    at = (
        Interval(0.415, 0.4, 0.43, 100),
        0.3435,
        Interval(-0.0123, -0.05, 0.02, 100),
        0.1846,
        Interval(0.5, 0.4, 0.6, 30, 2),
    )
    igr = (Interval(0.5, 0.4, 0.6, 90), 0.334, None, 0.1582, None)
    claim = Claim("A | B is greater", "does not hold", "−0.1 [−0.2, 0.0]", "paired")
    rows = (Row("AT", at), Row("AT+IGR", igr))
    return Table("table2", "Table 2: robustness", columns, rows, ("Chance is 12.8 %.",), (claim,))


@pytest.fixture
def words() -> Table:
    """A table of sentences."""
    return Table(
        "table1", "Losses", (Column("loss", "Loss"),), (Row("TRADES", ("CE + β KL(p ‖ q_j) | 5 %",)),), ("F.",)
    )


@pytest.fixture
def document(table: Table, words: Table, curves: dict[str, list[Curve]], examples: list[ExampleView]) -> Document:
    """Every kind of block."""
    other = judge("tau grows", [Effect("AT", Interval(0.5, 0.4, 0.6, 90, 3), True, 0.65, True, 0.2)], whose="ours")
    drawn = figure_of(
        curves_figure(curves), "curves", "Training", "Losses over the steps.", "Two falling curves", dpi=40
    )
    pictures = replace(
        figure_of(curves_figure(curves), "pictures", "Pictures", "Before and after.", dpi=40),
        tiles=tiles(examples[:2], ["TRADES", "TRADES+IGR"], 8),
    )
    return Document(
        "Two networks",
        "They differ.",
        (
            Section("Claims", (Claims((other,)), Words(("A paragraph.",)), Facts((("seed", "0"),)))),
            Section("Tables", (table, words), True),
            Section("Figures", (drawn, pictures), True),
            Section("Again", (Code(("holdfast demo --seed 7",)),), True),
        ),
        ("MNIST",),
        ("PGD-40 found fewer <errors> than PGD-20",),
        (("Figure 7", "no weights."),),
    )
