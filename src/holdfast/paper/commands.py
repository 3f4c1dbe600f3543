"""The commands behind every row and every run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from holdfast.paper.facts import epochs_of, flags, made_by, profile_of
from holdfast.recipes import TITLES, evaluation
from holdfast.report.document import Block, Code, Words
from holdfast.report.settings import by_dataset, recipe_of
from holdfast.report.words import counted, dataset_title, duration
from holdfast.results import RunResult


def rows_again(results: Sequence[RunResult]) -> list[Block]:
    """For every method the sweep that makes its row again, or else the commands of its runs; then those of each run.

    A sweep trains and evaluates the runs of a row, and goes on where it stopped.
    """
    sweeps, others = [], []
    for method in dict.fromkeys(run.method for run in results):
        runs = [run for run in results if run.method == method]
        if method in TITLES and all(run.train == recipe_of(run) for run in runs):
            sweeps.append(sweep_command(runs))
        else:
            others += [command for run in runs for command in (train_command(run), evaluate_command(run))]
    found: list[Block] = []
    if sweeps:
        found += [Words(("One row each; a sweep goes on where it stopped.",)), Code(tuple(sweeps))]
    if others:
        found += [Words(("Runs with settings of their own.",)), Code(tuple(others))]
    return found


def sweep_command(runs: Sequence[RunResult]) -> str:
    """``holdfast sweep`` that makes the runs of one method again."""
    words = ["holdfast", "sweep", "all", "--profile", profile_of(runs[0]), "--datasets", ",".join(by_dataset(runs))]
    seeds = sorted({run.seed for run in runs})
    return shlex.join([*words, "--methods", runs[0].method, "--seeds", ",".join(map(str, seeds))])


def train_command(run: RunResult) -> str:
    """``holdfast train`` with the profile, the seed, and every setting that its recipe has otherwise."""
    base = recipe_of(run)
    given = flags(run.train, base) if base else []
    return shlex.join(["holdfast", "train", *made_by(run), *given, "--out", f"runs/{run.name}"])


def evaluate_command(run: RunResult) -> str:
    """``holdfast evaluate`` with every setting in which the evaluation differs from the full one."""
    return shlex.join(["holdfast", "evaluate", f"runs/{run.name}", *flags(run.evaluation, evaluation(run.dataset))])


def outcome(run: RunResult) -> tuple[str, str]:
    """A run, and what became of it."""
    training = run.training
    parts = [
        f"{training['steps']:,} steps" if "steps" in training else "",
        f"{duration(training['seconds'])} on {training.get('device', 'an unnamed device')}"
        if "seconds" in training
        else "",
        f"best on validation after epoch {training['best_epoch']} of {counted(epochs_of(run), 'epoch')}"
        if "best_epoch" in training
        else "",
    ]
    name = f"{run.title}, {dataset_title(run.dataset)}, seed {run.seed}"
    return name, ", ".join(part for part in parts if part) or "finished"
