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
from bench.pairs import BASES, images_on, methods_of
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
SIZES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Sizes of the random signs, in parts of the radius."""
ATTACK, MIXED = "IFIA (top-k)", "random signs, all sizes together"
SUBSTITUTES = {"cosine": "γ_cos", "pearson": "γ_r"}
Gammas = dict[tuple[str, str, str, str], tuple[float, float, float]]


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
    found = gammas(records)
    for setup in BASES:
        tables.append(_table(records[records["setup"] == setup], setup, found))
        paper = published_gamma(data_of(setup))
        every, nonzero = (found[setup, MIXED, tau, "cosine"][0] for tau, _ in READINGS.values())
        said.append(
            f"{dataset_title(setup)} {number(every, False, 1, signed=True)} of all features and "
            f"{number(nonzero, False, 1, signed=True)} of those that are not 0 in the clean map"
            + (f" (paper: {paper[0]})" if paper else "")
        )
    answer = f"γ_cos over random perturbations of all sizes: {'; '.join(said)}. {_rising(found)} {_gap(found)}"
    return Document(TITLE, answer, (Section("", tuple(tables)),), warnings=(READING,))


def gammas(records: pd.DataFrame) -> Gammas:
    """Every gamma of the page with its interval, by setup, perturbation, column of tau and substitute."""
    found = {}
    for setup in BASES:
        own = records[records["setup"] == setup]
        for perturbation in _perturbations():
            chosen = _of(own, perturbation)
            for tau, _ in READINGS.values():
                for substitute in SUBSTITUTES:
                    found[setup, perturbation, tau, substitute] = gamma(own, chosen, tau, substitute)
    return found


def _rising(found: Gammas) -> str:
    """In how many rows tau rises with the cosine beyond the interval, by reading."""
    said = []
    for tau, features in READINGS.values():
        lows = [found[setup, name, tau, "cosine"][1] for setup in BASES for name in _perturbations()]
        said.append(f"{sum(low > 0 for low in lows)} of {len(lows)} rows for τ of {features}")
    return f"It lies above 0 beyond its interval in {listed(said)}."


def _gap(found: Gammas) -> str:
    """How far the cosine ever gets ahead of Pearson's r, beside the paper's lead."""
    measured, printed = [], []
    for setup in BASES:
        leads = [
            found[setup, name, tau, "cosine"][0] - found[setup, name, tau, "pearson"][0]
            for name in _perturbations()
            for tau, _ in READINGS.values()
        ]
        measured.append(f"{number(max(leads), False, 0)} ({dataset_title(setup)})")
        if (paper := published_gamma(data_of(setup))) is not None:
            printed.append(number(paper[0] - paper[1], False, 0))
    return (
        f"The cosine is ahead of Pearson's correlation by at most {listed(measured)} in any row, where the paper "
        f"prints {listed(printed)}."
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


def _table(records: pd.DataFrame, setup: str, found: Gammas) -> Table:
    columns = [Column("mean", "mean cosine")] + [
        Column(f"{tau}_{name}", symbol, f"τ of {said}")
        for tau, said in READINGS.values()
        for name, symbol in SUBSTITUTES.items()
    ]
    rows = []
    for perturbation in _perturbations():
        cells = [number(float(records[_of(records, perturbation)]["cosine"].mean()), False, 1)]
        for tau, _ in READINGS.values():
            for substitute in SUBSTITUTES:
                mean, low, high = found[setup, perturbation, tau, substitute]
                cells.append(f"{number(mean, False, 0, signed=True)} {interval(low, high, False, 0, signed=True)}")
        rows.append(Row(perturbation, tuple(cells)))
    networks = [card_of(f"{setup}/{method}") for method in methods_of(setup)]
    seeds = sorted({card["train"]["seed"] for card in networks})
    note = (
        f"{counted(records['image'].nunique(), 'test image')} of {listed(card['title'] for card in networks)}, "
        f"seed {listed(seeds)}, ε = {networks[0]['evaluation']['eps']:.3g}."
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
    parts = [
        measure(setup, method, images_on(setup, options.images)) for setup in BASES for method in methods_of(setup)
    ]
    records = pd.concat(parts, ignore_index=True)
    records.to_parquet(options.records, index=False)
    write_atomically(options.page, document_of(records).to_markdown())


if __name__ == "__main__":
    main()
