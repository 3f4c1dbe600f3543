"""The commands behind every row and every run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.config import TrainConfig
from holdfast.data.catalogue import KNOWN
from holdfast.errors import HoldfastError
from holdfast.recipes import TITLES, evaluation, method_recipe, settings
from holdfast.reproduce.model import Reproduction
from holdfast.reproduce.sections.words import Anchors, counted, dataset_title, duration
from holdfast.results import RunResult


@dataclass(frozen=True)
class ShownRun:
    """One run: what became of it, and the commands that make it again."""

    title: str
    outcome: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class ShownRecipe:
    """A row: ``sweep`` makes all of its runs, unless some have settings of their own, where it is None."""

    method: str
    title: str
    anchor: str
    summary: str
    sweep: str | None
    runs: tuple[ShownRun, ...]


def by_dataset(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Results of each data set, the known ones in the paper's order."""
    order = [*KNOWN, *(run.dataset for run in results)]
    found: dict[str, list[RunResult]] = {}
    for run in sorted(results, key=lambda r: order.index(r.dataset)):
        found.setdefault(run.dataset, []).append(run)
    return found


def recipe_of(run: RunResult, profile: str | None = None) -> TrainConfig | None:
    """The recipe that a run names, under its own or another profile; None where there is none of that name."""
    try:
        return method_recipe(run.dataset, run.method, profile or run.train.profile, run.seed)
    except HoldfastError:
        return None


def build_recipes(reproduction: Reproduction, anchors: Anchors) -> list[ShownRecipe]:
    """Every method of the tables and of the results, with what makes it again (or for the first time)."""
    methods = [row.method for table in reproduction.tables for row in table.rows if row.method in TITLES]
    titles = dict.fromkeys([*methods, *(run.method for run in reproduction.results)])
    return [_recipe(method, TITLES.get(method, method), reproduction, anchors.take("how", method)) for method in titles]


def _recipe(method: str, title: str, reproduction: Reproduction, anchor: str) -> ShownRecipe:
    runs = [run for run in reproduction.results if run.method == method]
    datasets = list(by_dataset(runs)) or list(reproduction.datasets)
    seeds = sorted({run.seed for run in runs}) or list(reproduction.seeds)
    profile = runs[0].train.profile if runs else reproduction.profile
    plain = method in TITLES and all(run.train == recipe_of(run) for run in runs)
    sweep = ["holdfast", "sweep", "all", "--profile", profile, "--datasets", ",".join(datasets)]
    sweep += ["--methods", method, "--seeds", ",".join(map(str, seeds))]
    seconds = sum(run.training.get("seconds", 0.0) for run in runs)
    summary = f"{counted(len(runs), 'run')}, {duration(seconds)} of training" if runs else "not run"
    shown = tuple(_run(run) for run in runs)
    return ShownRecipe(method, title, anchor, summary, shlex.join(sweep) if plain else None, shown)


def _run(run: RunResult) -> ShownRun:
    training = run.training
    parts = [
        f"{training['steps']:,} steps" if "steps" in training else "",
        f"{duration(training['seconds'])} on {training.get('device', 'an unnamed device')}"
        if "seconds" in training
        else "",
        f"best on validation after epoch {training['best_epoch']} of {run.train.optim.epochs}"
        if "best_epoch" in training
        else "",
    ]
    title = f"{dataset_title(run.dataset)}, seed {run.seed}"
    return ShownRun(title, ", ".join(part for part in parts if part), (train_command(run), evaluate_command(run)))


def train_command(run: RunResult) -> str:
    """``holdfast train`` with the profile, the seed, and every setting that its recipe has otherwise."""
    base = recipe_of(run)
    words = ["holdfast", "train", run.train.recipe, "--profile", run.train.profile, "--seed", str(run.seed)]
    given = _flags(run.train, base) if base else []
    return shlex.join([*words, *given, "--out", f"runs/{run.name}"])


def evaluate_command(run: RunResult) -> str:
    """``holdfast evaluate`` with every setting in which the evaluation differs from the full one."""
    return shlex.join(
        ["holdfast", "evaluate", f"runs/{run.name}", *_flags(run.evaluation, evaluation(run.evaluation.dataset))]
    )


def _flags(config: Any, base: Any) -> list[str]:
    """Options that turn ``base`` into ``config``."""
    before, words = dict(settings(base)), []
    for field, value in settings(config):
        if value == before[field]:
            continue
        room, _, name = field.replace("_", "-").rpartition(".")
        if isinstance(value, bool):
            name = name if value else f"no-{name}"
        words.append(f"--{room}.{name}" if room else f"--{name}")
        if not isinstance(value, bool):
            words += map(str, value) if isinstance(value, tuple) else [str(value)]
    return words


@dataclass(frozen=True)
class ShownWarning:
    """Warnings of the self-checks that are alike but for their numbers: (run, text) of each."""

    found: tuple[tuple[str, str], ...]


def warnings_of(results: Sequence[RunResult]) -> list[ShownWarning]:
    """The warnings of the evaluations' self-checks, the most frequent kind first."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for run in results:
        for text in run.summary.get("warnings", ()):
            where = f"{run.title}, {dataset_title(run.dataset)}, seed {run.seed}"
            kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append((where, text))
    return [ShownWarning(tuple(found)) for found in sorted(kinds.values(), key=len, reverse=True)]
