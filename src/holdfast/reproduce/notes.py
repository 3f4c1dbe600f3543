"""What stands below a table: the schedule, the intervals, the sizes, the chance levels and the warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast.config import differences
from holdfast.recipes import SETUPS, evaluation, method_recipe
from holdfast.reproduce.model import PaperColumn, PaperRow
from holdfast.reproduce.paper import published
from holdfast.reproduce.sections.words import counted, dataset_title, listed, span
from holdfast.reproduce.study import Study


def common(study: Study, rows: Sequence[PaperRow], columns: Sequence[PaperColumn], methods: Sequence[str]) -> list[str]:
    """The notes of every table."""
    return [*_intervals(rows), *encodings(study, study.datasets), *_schedules(study), *_empty(study, columns, methods)]


def encodings(study: Study, datasets: Sequence[str]) -> list[str]:
    """The data sets whose images came in a lossy format, by a name that says so."""
    return [
        f"{dataset_title(name)} here is {dataset_title(name)} ({encoding}): a re-encoding of the original images."
        for name in datasets
        if (encoding := study.encoding(name))
    ]


def _intervals(rows: Sequence[PaperRow]) -> list[str]:
    measured = [cell for row in rows for cell in row.cells if cell.ours is not None]
    if not measured:
        return ["Nothing of this table has been run yet."]
    sizes = f"n = {span(cell.n for cell in measured)} images a seed, {span(c.seeds for c in measured)} seed"
    if max(cell.seeds for cell in measured) == 1:
        return [
            f"Means with 95 % bootstrap intervals over images ({sizes}); they cover the choice of images, not what "
            "training again from another seed would change."
        ]
    return [
        f"Means over seeds with 95 % bootstrap intervals that resample seeds and images, the same images for every "
        f"seed ({sizes}s); few seeds give too narrow an interval."
    ]


def _schedules(study: Study) -> list[str]:
    """How the profile differs from the paper's schedule, from a run of each data set."""
    if study.profile == "paper":
        return []
    said = (
        ["The profile smoke shows that everything runs; its numbers mean nothing."] if study.profile == "smoke" else []
    )
    for dataset in study.datasets:
        run = next((r for r in study.results if r.dataset == dataset), None)
        if run is None or dataset not in SETUPS:
            continue
        full = method_recipe(dataset, run.method, "paper", run.seed)
        changed = [
            *differences(full, run.train),
            *differences(evaluation(dataset, "paper"), run.evaluation, "evaluation."),
        ]
        changed = [text for text in changed if not text.startswith("profile")]
        if changed:
            said.append(
                f"{dataset_title(dataset)}: the profile {study.profile} in place of the full schedule "
                f"({'; '.join(map(_short, changed))})."
            )
    return said


def _short(change: str) -> str:
    """A change with its numbers cut to five digits.

    >>> _short("attack.alpha: 0.01 -> 0.09999999999999999")
    'attack.alpha: 0.01 -> 0.1'
    """
    return re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.5g}", change)


def _empty(study: Study, columns: Sequence[PaperColumn], methods: Sequence[str]) -> list[str]:
    said = []
    for dataset in study.datasets:
        missing = study.missing(dataset, tuple(methods))
        if missing:
            said.append(f"Not run on {dataset_title(dataset)}: {listed(missing)}.")
    strangers = {c.dataset for c in columns if not any(published("topk", r, c.dataset) for r in ("at", "standard"))}
    if strangers:
        said.append(f"The paper has no numbers for {listed(dataset_title(name) for name in sorted(strangers))}.")
    return said


def warnings(study: Study, methods: Sequence[str]) -> list[str]:
    """The evaluations' self-checks, one of a kind, with how many raise it."""
    runs = [r for r in study.results if r.method in methods]
    kinds: dict[str, list[str]] = {}
    for run in runs:
        for text in run.summary["warnings"]:
            kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append(f"{run.name}: {text}")
    return [
        f"Self-check in {len(found)} of {counted(len(runs), 'evaluation')}, for example {found[0]}"
        for found in kinds.values()
    ]


def chance(study: Study) -> list[str]:
    """What two unrelated attributions score."""
    said = []
    for dataset in study.datasets:
        run = next((r for r in study.results if r.dataset == dataset), None)
        if run is not None:
            k, features = run.summary["k"], run.summary["n_features"]
            said.append(f"{100 * k / features:.1f} % of top-{k} on {dataset_title(dataset)} ({features} features)")
    return [f"Chance is {listed(said)}, and 0 in Kendall's τ."] if said else []


def failures_count() -> str:
    return "An image on which the attack found nothing counts as unchanged (1.0)."


def three_attacks() -> str:
    return (
        "For each image the strongest of three attacks: IFIA (top-k), IFIA on Kendall's τ, and random signs. "
        "The paper has no such table. No attack found: share of the images on which IFIA (top-k) found nothing; "
        "they count as unchanged (1.0)."
    )


def paired() -> str:
    return (
        "Differences image by image, over the images that both rows have; beside them the difference of the paper's "
        "two numbers."
    )


def table3(study: Study) -> list[str]:
    """What the paper leaves out of its Table 3."""
    said = ["The paper's text mentions PGD-40, its table does not have it; its step sizes are not stated."]
    if {"mnist", "cifar10"} & {*study.datasets}:
        said.append(
            "On MNIST and CIFAR-10 the paper's FGSM, PGD and CW∞ numbers lie closer to its natural accuracy than the "
            "cited methods' own reports at the same ε; our attacks can spend the whole ε."
        )
    return said
