"""Figures 3, 6 and 7: images and attributions before and after the attack, from trained weights."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from holdfast.data import load_dataset
from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError
from holdfast.evaluate.target import resolve_target
from holdfast.recipes import TITLES
from holdfast.report import ExampleView
from holdfast.report.examples import POOL, attacked_examples
from holdfast.reproduce.sections.words import dataset_title
from holdfast.reproduce.study import Study
from holdfast.results import RunResult
from holdfast.sweep.execute import state_of
from holdfast.sweep.plan import Run

PICTURED_IMAGES = 4
PICTURE_BATCH = 1_000_001
"""Seeds the pictured attacks apart from every batch of an evaluation."""


def pictured_runs(study: Study, base: str, dataset: str) -> tuple[RunResult, RunResult]:
    """The runs of the first seed without and with IGR.

    Raises:
        HoldfastError: a run is missing, or its weights are.
    """
    methods = (base, f"{base}-igr")
    found = []
    for method in methods:
        run = next((r for r in study.of(dataset, method) if r.seed == study.seeds[0]), None)
        if run is None:
            raise HoldfastError(
                f"{TITLES[method]} was not run on {dataset_title(dataset)} with seed {study.seeds[0]}; run it first."
            )
        if state_of(Run(run.train, run.evaluation), study.runs) not in ("finished", "trained"):
            raise HoldfastError(
                f"{study.runs} holds no weights of {run.name}: results hold numbers only; give the folder of its sweep "
                "with --runs, or train it."
            )
        found.append(run)
    return found[0], found[1]


def pictured_examples(study: Study, base: str, dataset: str) -> list[ExampleView]:
    """The first images of the test split that both networks classify correctly, attacked on each as in its evaluation.

    Raises:
        HoldfastError: runs, weights or images are missing, or the networks share no correct image.
    """
    runs = pictured_runs(study, base, dataset)
    config = replace(runs[0].evaluation, n_attribution=PICTURED_IMAGES)
    data = load_dataset(dataset, config.split, data_dir=study.data_dir)
    models = {run.title: _model(study, run, data) for run in runs}
    examples = attacked_examples(models, data, config, study.device, most=PICTURED_IMAGES, batch=PICTURE_BATCH)
    if not examples:
        first = min(len(data), POOL)
        raise HoldfastError(f"no image of the first {first} is classified correctly by {' and '.join(models)}.")
    return examples


def _model(study: Study, run: RunResult, data: ImageData) -> nn.Module:
    folder = study.runs / Run(run.train, run.evaluation).name
    return resolve_target(str(folder)).load(data, study.device)
