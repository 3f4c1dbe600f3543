"""A comparison whose every number and picture is made up."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.report import AttackedView, Chance, Comparison, Curve, Estimate, ExampleView, Row, Setting


def make_estimates(kendall: float, topk: float, natural: float) -> dict[str, Estimate]:
    """Made-up estimates around three means; the intervals reach 0.03 (attribution) and 0.01 to each side."""
    return {
        "natural": Estimate(natural, natural - 0.01, natural + 0.01, 360),
        "fgsm": Estimate(0.941, 0.915, 0.961, 360),
        "pgd20": Estimate(0.928, 0.9, 0.95, 360),
        "pgd40": Estimate(0.9225, 0.89, 0.95, 360),
        "cw_inf": Estimate(0.93, 0.9, 0.95, 360),
        "topk": Estimate(topk, topk - 0.03, topk + 0.03, 200),
        "kendall": Estimate(kendall, kendall - 0.03, kendall + 0.03, 200),
        "cosine": Estimate(0.9, 0.88, 0.92, 200),
        "failure_rate": Estimate(0.02, 0.0, 0.04, 200),
        "random_topk": Estimate(0.9, 0.88, 0.92, 200),
        "random_kendall": Estimate(0.88, 0.86, 0.9, 200),
    }


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
def comparison() -> Comparison:
    """Made-up results in which IGR helps."""
    return Comparison(
        title="TRADES with and without IGR on digits (synthetic)",
        dataset="made-up 8×8 digits",
        rows=[
            Row("TRADES", "trades", make_estimates(0.412, 0.418, 0.978)),
            Row("TRADES+IGR", "trades-igr", make_estimates(0.655, 0.621, 0.972), highlight=True),
        ],
        chance=Chance(topk=0.125, kendall=0.0),
        k=8,
        n_features=64,
        examples=[_example(i) for i in range(4)],
        curves=_curves(),
        settings=[
            Setting("Training", "optimiser", "SGD, momentum 0.9", "cited code"),
            Setting("Training", "β of TRADES", "6.0", "cited code"),
            Setting("Regulariser", "λ of IGR", "1.0", "paper"),
            Setting("Attack", "size ε", "0.1 (L∞)", "ours"),
            Setting("Attack", "steps", "50", "paper"),
        ],
        environment={"holdfast": "0.1.0", "torch": "2.9", "seed": "7", "device": "cpu"},
        warnings=["the IFIA loss did not fall on 3 of 200 images", "PGD-40 found fewer <errors> than PGD-20"],
        commands=["pip install holdfast", "holdfast demo --seed 7"],
        notes=["Every number on this page is made up."],
    )
