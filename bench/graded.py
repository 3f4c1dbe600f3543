"""``python -m bench.graded``: how Kendall's tau goes with the cosine of maps under perturbations of graded size.

The networks of the zoo, the first test images that each classifies correctly; random signs from a sixteenth of the
radius to all of it beside the paper's attack. Which features tau ranks, and whether images are compared at one size or
at several, decides what gamma of Figures 2b and 5 comes out. Every image's numbers land in ``results/graded.parquet``,
the tables in ``docs/graded.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import holdfast as hf
from bench.contest import Setting, images_of, network_of
from holdfast.evaluate import protocol_of
from holdfast.files import write_atomically
from holdfast.metrics.stats import image_counts
from holdfast.models.find import card_of
from holdfast.paper.concordance import READINGS, pair_signs, weighted_gamma
from holdfast.paper.published import published_gamma
from holdfast.recipes import data_of, evaluation
from holdfast.report.document import Document, Section
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import counted, dataset_title, interval, listed, number

RECORDS = Path("results/graded.parquet")
PAGE = Path("docs/graded.md")
TITLE = "Kendall's τ and the cosine under perturbations of graded size"
SETUPS = {
    "mnist": ("at", "at-igr", "trades", "trades-igr"),
    "fashion_mnist_01": ("trades", "trades-igr", "mart", "mart-igr"),
    "cifar10": ("at", "at-igr"),
}
"""Networks of the zoo by setup: rows of the paper's Table 3."""
SIZES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Sizes of the random signs, in parts of the radius."""
ATTACK, MIXED = "IFIA (top-k)", "random signs, all sizes together"
SUBSTITUTES = {"cosine": "γ_cos", "pearson": "γ_r"}


def measure(setup: str, method: str, images: int) -> pd.DataFrame:
    """Tau of both readings, cosine and Pearson's r of the signed maps: one row per image and perturbation."""
    network, explanation = network_of(f"{setup}/{method}"), hf.IntegratedGradients(n_steps=50)
    model, eps = network.found.model, network.eps
    x, y = images_of(network, Setting(images), explanation)
    clean = explanation(model, x, y)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randn(x.shape, generator=generator).sign()
    attack = protocol_of(evaluation(setup, "laptop")).attacks["ifia"]
    moved = {_signs(size): (x + size * eps * signs).clamp(0, 1) for size in SIZES}
    moved[ATTACK] = attack(model, x, y, generator=generator)
    parts = [_measured(clean, explanation(model, z, y)).assign(perturbation=name) for name, z in moved.items()]
    return pd.concat(parts, ignore_index=True).assign(setup=setup, method=method)


def _signs(size: float) -> str:
    return f"random signs of ε/{round(1 / size)}" if size < 1 else "random signs of ε"


def _measured(clean: Tensor, after: Tensor) -> pd.DataFrame:
    found = {
        "kendall": hf.KendallTau()(after, clean),
        "kendall_nonzero": hf.KendallTau(nonzero=True)(after, clean),
        "cosine": hf.cosine_similarity(after, clean),
        "pearson": hf.pearson_correlation(after, clean),
    }
    columns = {name: values.detach().double().numpy().round(6) for name, values in found.items()}
    return pd.DataFrame({"image": range(len(clean)), **columns})


def document_of(records: pd.DataFrame) -> Document:
    """A table per data set, and what they say."""
    tables, said = [], []
    for setup in SETUPS:
        own = records[records["setup"] == setup]
        tables.append(_table(own, setup))
        paper = published_gamma(data_of(setup))
        every, nonzero = (gamma(own, _of(own, MIXED), tau, "cosine")[0] for tau, _ in READINGS.values())
        said.append(
            f"{dataset_title(setup)} {number(every, False, 1, signed=True)} of all features and "
            f"{number(nonzero, False, 1, signed=True)} of those that are not 0 in the clean map"
            + (f" (paper: {paper[0]})" if paper else "")
        )
    answer = f"γ_cos over random perturbations of all sizes: {'; '.join(said)}. {_rising(records)} {_gap(records)}"
    return Document(TITLE, answer, (Section("", tuple(tables)),), warnings=(READING,))


def _rising(records: pd.DataFrame) -> str:
    """In how many rows tau rises with the cosine beyond the interval, by reading."""
    said = []
    for tau, features in READINGS.values():
        lows = [
            gamma(own, _of(own, name), tau, "cosine")[1]
            for _, own in records.groupby("setup")
            for name in _perturbations()
        ]
        said.append(f"{sum(low > 0 for low in lows)} of {len(lows)} rows for τ of {features}")
    return f"It lies above 0 beyond its interval in {listed(said)}."


def _gap(records: pd.DataFrame) -> str:
    """How far the cosine ever gets ahead of Pearson's r, beside the paper's lead."""
    found, printed = [], []
    for setup in SETUPS:
        own = records[records["setup"] == setup]
        leads = [
            gamma(own, _of(own, name), tau, "cosine")[0] - gamma(own, _of(own, name), tau, "pearson")[0]
            for name in _perturbations()
            for tau, _ in READINGS.values()
        ]
        found.append(f"{number(max(leads), False, 0)} ({dataset_title(setup)})")
        if (paper := published_gamma(data_of(setup))) is not None:
            printed.append(number(paper[0] - paper[1], False, 0))
    return (
        f"The cosine is ahead of Pearson's correlation by at most {listed(found)} in any row, where the paper prints "
        f"{listed(printed)}."
    )


READING = (
    "Each image has one perturbation of signs drawn at random, scaled to each size, and one of the attack. γ is "
    "Goodman and Kruskal's over pairs of images (of images at all sizes in the row of all sizes) of one network, mean "
    "over the networks of the table, with 95 % intervals over images. Maps are integrated gradients with 50 points; "
    "their τ is that of magnitudes, the cosine and Pearson's r those of signed maps. Networks of one seed each."
)


def _perturbations() -> list[str]:
    return [*map(_signs, SIZES), MIXED, ATTACK]


def _of(records: pd.DataFrame, perturbation: str) -> pd.Series:
    name = records["perturbation"]
    return name != ATTACK if perturbation == MIXED else name == perturbation


def _table(records: pd.DataFrame, setup: str) -> Table:
    columns = [Column("mean", "mean cosine")] + [
        Column(f"{tau}_{name}", symbol, f"τ of {said}")
        for tau, said in READINGS.values()
        for name, symbol in SUBSTITUTES.items()
    ]
    rows = []
    for perturbation in _perturbations():
        chosen = _of(records, perturbation)
        cells = [number(float(records[chosen]["cosine"].mean()), False, 1)]
        for tau, _ in READINGS.values():
            for substitute in SUBSTITUTES:
                mean, low, high = gamma(records, chosen, tau, substitute)
                cells.append(f"{number(mean, False, 0, signed=True)} {interval(low, high, False, 0, signed=True)}")
        rows.append(Row(perturbation, tuple(cells)))
    networks = [card_of(f"{setup}/{method}") for method in SETUPS[setup]]
    seeds = sorted({card["train"]["seed"] for card in networks})
    note = (
        f"{counted(records['image'].nunique(), 'test image')} of {listed(card['title'] for card in networks)}, "
        f"seed {listed(seeds)}, ε = {network_of(f'{setup}/{SETUPS[setup][0]}').eps:.3g}."
    )
    return Table(setup, dataset_title(setup), tuple(columns), tuple(rows), (note,), first="Perturbation")


def gamma(records: pd.DataFrame, chosen: pd.Series, tau: str, substitute: str) -> tuple[float, float, float]:
    """Gamma among the chosen rows of each network, mean over networks, and the ends of its interval over images."""
    draws, values = [], []
    for _, own in records[chosen].groupby("method", sort=False):
        counts = image_counts(int(own["image"].max()) + 1)
        signs = pair_signs(own[tau].to_numpy(), own[substitute].to_numpy())
        values.append(float(weighted_gamma(signs, np.ones((1, len(own))))[0]))
        draws.append(weighted_gamma(signs, counts[:, own["image"].to_numpy()]))
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.graded", description=__doc__)
    parser.add_argument("--images", type=int, default=100, help="of each data set; half as many of CIFAR-10")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    counts = {setup: options.images // (2 if setup == "cifar10" else 1) for setup in SETUPS}
    parts = [measure(setup, method, counts[setup]) for setup, methods in SETUPS.items() for method in methods]
    records = pd.concat(parts, ignore_index=True)
    records.to_parquet(options.records, index=False)
    write_atomically(options.page, document_of(records).to_markdown())


if __name__ == "__main__":
    main()
