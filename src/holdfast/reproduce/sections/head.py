"""What was run, and how far that is the paper's schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.data.catalogue import KNOWN
from holdfast.recipes import PROFILES, evaluation
from holdfast.reproduce.model import Reproduction
from holdfast.reproduce.sections.runs import by_dataset, recipe_of
from holdfast.reproduce.sections.words import counted, dataset_title, duration, listed
from holdfast.results import RunResult


@dataclass(frozen=True)
class Head:
    """The top of the page: what was run, a word on the schedule, and by data set what a reduced one leaves out."""

    title: str
    facts: tuple[str, ...]
    schedule: tuple[str, ...]
    reduced: bool
    reductions: tuple[tuple[str, str], ...]


def build_head(reproduction: Reproduction) -> Head:
    """The headline of a reproduction."""
    results = reproduction.results
    datasets = [dataset_title(name) for name in reproduction.datasets]
    facts = [f"profile {reproduction.profile}"]
    if reproduction.seeds:
        facts.append(f"seed{'' if len(reproduction.seeds) == 1 else 's'} {listed(reproduction.seeds)}")
    if results:
        seconds = sum(run.training.get("seconds", 0.0) for run in results)
        devices = sorted({str(run.training["device"]) for run in results if "device" in run.training})
        facts.append(f"{counted(len(results), 'run')} of {counted(len({r.method for r in results}), 'method')}")
        facts.append(f"{duration(seconds)} of training{f' on {listed(devices)}' if devices else ''}")
    reduced = reproduction.profile != "paper"
    reductions: dict[str, list[str]] = {}
    for name, runs in by_dataset(results).items():
        reductions.setdefault(_reduction(runs[0]), []).append(dataset_title(name))
    return Head(
        f"The paper, made again{f': {listed(datasets)}' if datasets else ''}",
        tuple(facts),
        tuple(_schedule(reproduction.profile, reproduction.datasets)),
        reduced,
        tuple((listed(names), text) for text, names in reductions.items() if text),
    )


def _schedule(profile: str, datasets: Sequence[str]) -> list[str]:
    if profile == "paper":
        said = ["The schedule is the paper's, as far as the paper says it.", "The settings mark what it leaves out."]
    else:
        about = (PROFILES[profile].__doc__ or "").strip() if profile in PROFILES else ""
        how = f": {about[0].lower()}{about[1:]}" if about else "."
        said = [
            "This is not the paper's schedule.",
            f"The profile {profile} is a reduced one, the same for all rows{how}",
            "Compare the rows with each other: a difference from the paper's number may come from the schedule alone.",
        ]
    if "digits" in datasets:
        said.append("The digits are no data set of the paper: every setting on them is ours.")
    return said


def _reduction(run: RunResult) -> str:
    """In which sizes a run falls short of the full schedule of its data set."""
    full, known = recipe_of(run, "paper"), KNOWN.get(run.dataset)
    if full is None or known is None:
        return ""
    mine, whole = run.evaluation, evaluation(run.dataset)
    sizes = (
        ("training images", run.train.data.train_size or known.train, full.data.train_size or known.train),
        ("epochs", run.train.optim.epochs, full.optim.epochs),
        ("attack steps in training", run.train.attack.steps, full.attack.steps),
        ("test images", mine.n_examples or known.test, whole.n_examples or known.test),
        ("of them with their attribution attacked", mine.n_attribution, whole.n_attribution),
        ("steps of that attack", mine.ifia.steps, whole.ifia.steps),
    )
    return ", ".join(f"{had:,} of {all_of:,} {what}" for what, had, all_of in sizes if had != all_of)
