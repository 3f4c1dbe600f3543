"""The figures that rest on trained networks: 2b and 5, 4, and 3, 6 and 7."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from holdfast.data import load_dataset
from holdfast.errors import HoldfastError
from holdfast.metrics.stats import Interval
from holdfast.models.find import find_model, model_card, pretrained_names
from holdfast.palette import INK, MUTED
from holdfast.paper.claims import BASES, FOUND
from holdfast.paper.concordance import (
    BASE_COLOURS,
    READINGS,
    concordance,
    concordance_claims,
    concordance_figure,
    reading_answer,
)
from holdfast.paper.published import published, published_gamma
from holdfast.paper.study import Study
from holdfast.paper.tables import encodings
from holdfast.paper.targets import PICTURED, SCATTERED, shown
from holdfast.part_json import from_plain
from holdfast.recipes import TABLE3, TITLES, data_of
from holdfast.report.claim import Claim
from holdfast.report.document import Figure
from holdfast.report.examples import POOL, attacked_examples
from holdfast.report.figures import figure_of, plain
from holdfast.report.pictures import ExampleView, attribution_figure, tiles
from holdfast.report.words import dataset_title, listed
from holdfast.results import RunResult
from holdfast.sweep.execute import state_of
from holdfast.sweep.plan import Run
from holdfast.train.config import TrainConfig

PICTURED_IMAGES = 4

TITLES_OF = {
    "figure2b": "Figure 2b: Kendall's τ against its substitutes on real images",
    "figure3": "Figure 3: attributions before and after the attack",
    "figure4": "Figure 4: activation consistency",
    "figure5": "Figure 5: Kendall's τ against its substitutes on other data sets",
    "figure6": "Figure 6: more attributions before and after the attack",
    "figure7": "Figure 7: more attributions before and after the attack, another data set",
}


def draw(study: Study, key: str, activation: tuple[Claim, ...] = ()) -> Figure:
    """The figure ``key`` of `TITLES_OF`; ``activation`` are the claims that rest on Figure 4.

    Raises:
        HoldfastError: results or weights that it needs are missing; the message says which.
    """
    if key == "figure4":
        return _activation(study, activation)
    return _scattered(study, key) if key in SCATTERED else _pictured(study, key)


def _activation(study: Study, claims: tuple[Claim, ...]) -> Figure:
    if not any(study.column(dataset, method, "activation") for dataset in study.datasets for method in TABLE3):
        raise HoldfastError("no run of its rows has results.")
    caption = (
        "Units active at both images, over the geometric mean of those active at each, among all ReLU units: for each "
        "test image and its own image under IFIA; means with 95 % intervals. The paper prints no numbers with its "
        "bars; section 6.4 quotes two pairs of them."
    )
    return replace(figure_of(activation_figure(study), "figure4", TITLES_OF["figure4"], caption), claims=claims)


def _scattered(study: Study, key: str) -> Figure:
    datasets = shown(SCATTERED[key], study.datasets)
    rows = [[found for reading in READINGS if (found := concordance(study, d, reading))] for d in datasets]
    rows = [row for row in rows if row]
    if not rows:
        raise HoldfastError(f"no run on {listed(map(dataset_title, datasets))} has attacked attributions to compare.")
    drawn = [row[0].dataset for row in rows]
    printed = [
        f"{dataset_title(name)} γ_cos {paper[0]}, γ_r {paper[1]}"
        for name in map(data_of, drawn)
        if (paper := published_gamma(name))
    ]
    beside = f" The paper prints {listed(printed)}; for which network, and of which features, it does not say."
    caption = (
        "Each point is a test image under IFIA: Kendall's τ of the magnitudes of its attributions before and after the "
        "attack, of all features or of those that are not 0 in the clean map, against the cosine and Pearson's "
        "correlation of the signed maps. γ, Goodman and Kruskal's, is taken among the images of one run and averaged "
        f"over runs; images on which the attack found nothing are left out.{beside if printed else ''}"
        f"{_stand_in(SCATTERED[key], drawn)}"
    )
    caption = " ".join([caption, *filter(None, map(reading_answer, rows)), *encodings(study, drawn)])
    claims = tuple(c for row in rows for found in row for c in concordance_claims(found, FOUND))
    return replace(figure_of(concordance_figure(rows), key, TITLES_OF[key], caption), claims=claims)


def _pictured(study: Study, key: str) -> Figure:
    papers, wanted = PICTURED[key]
    (dataset,) = shown((wanted,), study.datasets)
    base, networks = pictured_networks(study, papers, dataset)
    examples = pictured_examples(study, networks)
    names = (TITLES[base], TITLES[f"{base}-igr"])
    colours = {names[0]: BASE_COLOURS[base], names[1]: BASE_COLOURS[base]}
    unsaid = " The paper says neither on which data set nor over which base its figure is." if key == "figure3" else ""
    caption = (
        f"The first {PICTURED_IMAGES} test images of {dataset_title(dataset)} that {names[0]} and {names[1]} (seed "
        f"{networks[0].run.seed}, profile {study.profile}) both classify correctly, each attacked by IFIA (top-k) on "
        f"either network; none was chosen by hand.{unsaid}{_stand_in((wanted,), [dataset])}"
    )
    if base != papers:
        caption += f" The paper shows {TITLES[papers]}; no such pair of networks is at hand."
    caption = " ".join([caption, *encodings(study, [dataset])])
    drawing = attribution_figure(examples, names, study.k(dataset), colours)
    alt = f"Images and their attributions before and after the attack, for {listed(names)}"
    figure = figure_of(drawing, key, TITLES_OF[key], caption, alt)
    return replace(figure, tiles=tiles(examples, names, study.k(dataset)))


def _stand_in(wanted: tuple[str, ...], drawn: list[str]) -> str:
    """What the paper shows and this figure does not."""
    lacking = [dataset_title(name) for name in wanted if name not in map(data_of, drawn)]
    return f" The paper shows {listed(map(dataset_title, wanted))}; not run here: {listed(lacking)}." if lacking else ""


@dataclass(frozen=True)
class AtHand:
    """An evaluated run and where its network is found: its folder, or a name of the zoo."""

    run: RunResult
    spec: str


def pictured_networks(study: Study, wanted: str, dataset: str) -> tuple[str, tuple[AtHand, AtHand]]:
    """A base and its networks without and with IGR, of the first seed that has both at hand.

    The base is the ``wanted`` one, or else the first of the paper's that has a pair.

    Raises:
        HoldfastError: no pair is at hand; it says what the wanted one lacks.
    """
    lacking: list[HoldfastError] = []
    for base in dict.fromkeys((wanted, *BASES)):
        for seed in study.seeds:
            try:
                return base, (_at_hand(study, base, dataset, seed), _at_hand(study, f"{base}-igr", dataset, seed))
            except HoldfastError as reason:
                lacking.append(reason)
    raise lacking[0]


def _at_hand(study: Study, method: str, dataset: str, seed: int) -> AtHand:
    run = next((r for r in study.of(dataset, method) if r.seed == seed), None)
    if run is None:
        raise HoldfastError(f"{TITLES[method]} was not run on {dataset_title(dataset)} with seed {seed}; run it first.")
    trained = Run(run.train, run.evaluation)
    if state_of(trained, study.runs) in ("finished", "trained"):
        return AtHand(run, str(study.runs / trained.name))
    if _is_in_zoo(run):
        return AtHand(run, f"{dataset}/{method}")
    raise HoldfastError(
        f"{study.runs} holds no weights of {run.name}: results hold numbers only; give the folder of its sweep "
        "with --runs, or train it."
    )


def _is_in_zoo(run: RunResult) -> bool:
    """Whether the network of the zoo for this data set and method was trained with the very settings of ``run``."""
    if run.method not in pretrained_names(run.dataset):
        return False
    card = model_card(run.method, dataset=run.dataset)
    try:
        return from_plain(TrainConfig, card["train"], run.method) == run.train
    except HoldfastError:  # a card of the first schema
        return False


def pictured_examples(study: Study, networks: tuple[AtHand, AtHand]) -> list[ExampleView]:
    """The first images of the test split that both networks classify correctly, attacked on each as in its evaluation.

    Raises:
        HoldfastError: images are missing, or the networks share no correct image.
    """
    protocol = networks[0].run.protocol
    data = load_dataset(protocol.dataset, protocol.split, data_dir=study.data_dir)
    models = {
        at.run.title: find_model(at.spec, shape=data.shape, num_classes=data.num_classes).model.to(study.device)
        for at in networks
    }
    examples = attacked_examples(models, data, protocol, study.device, most=PICTURED_IMAGES)
    if not examples:
        first = min(len(data), POOL)
        raise HoldfastError(f"no image of the first {first} is classified correctly by {' and '.join(models)}.")
    return examples


def activation_figure(study: Study) -> Drawing:
    """Figure 4: a panel a data set, a pair of bars a base, without and with IGR; diamonds are the paper's numbers."""
    size = (0.6 + 2.7 * len(study.datasets), 3.4)
    figure = Drawing(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.05))
    printed = False
    axes = figure.subplots(1, len(study.datasets), squeeze=False)[0]
    for i, (axis, dataset) in enumerate(zip(axes, study.datasets, strict=True)):
        plain(axis)
        axis.grid(visible=False, axis="x")
        for place, base in enumerate(BASES):
            for shift, method in ((-0.2, base), (0.2, f"{base}-igr")):
                sample = study.contrast(dataset, {method: 1.0}, "activation")
                paper = published("activation", method, dataset)
                printed |= paper is not None
                found = sample.interval() if sample else None
                _bar(axis, place + shift, found, paper, BASE_COLOURS[base], method.endswith("-igr"))
        axis.set_xticks(range(len(BASES)), [TITLES[base] for base in BASES])
        axis.set_xlim(-0.6, len(BASES) - 0.4)
        axis.set_ylim(0, 1.02)
        axis.set_title(dataset_title(dataset), fontsize=9.5, loc="left", color=INK)
        if i == 0:
            axis.set_ylabel("activation consistency", fontsize=8.5, color=INK)
    handles = [
        Line2D([], [], ls="", marker="s", markersize=8, color=_pale(MUTED), label="base"),
        Line2D([], [], ls="", marker="s", markersize=8, color=MUTED, label="base + IGR"),
        Line2D([], [], ls="", marker="D", markersize=5, markerfacecolor="white", color=INK, label="paper"),
    ]
    drawn = handles if printed else handles[:2]
    figure.legend(handles=drawn, loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
    return figure


def _pale(colour: str) -> str:
    red, green, blue = (1 - 0.35 * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _bar(axis: Axes, x: float, ours: Interval | None, paper: float | None, colour: str, filled: bool) -> None:
    if ours is not None:
        axis.bar(x, ours.mean, 0.36, color=colour if filled else _pale(colour))
        if ours.low is not None and ours.high is not None:
            ends = np.array([[ours.mean - ours.low], [ours.high - ours.mean]])
            axis.errorbar([x], [ours.mean], ends, color=INK, linewidth=1.2, capsize=2.5)
    if paper is not None:
        axis.plot([x], [paper], "D", color=INK, markerfacecolor="white", markersize=5)
