"""What stands below a table: the schedule, the intervals, the sizes, the chance levels and the warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast.metrics.stats import Interval
from holdfast.paper.facts import changes
from holdfast.paper.published import published
from holdfast.paper.study import Study
from holdfast.report.document import Row
from holdfast.report.words import counted, dataset_title, listed, span
from holdfast.results import RunResult


def common(study: Study, rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """The notes of every table."""
    return [*_intervals(rows), *encodings(study, study.datasets), *_schedules(study), *_empty(study, methods)]


def encodings(study: Study, datasets: Sequence[str]) -> list[str]:
    """The data sets whose images came in a lossy format, by a name that says so."""
    return [
        f"{dataset_title(name)} here is {dataset_title(name)} ({encoding}): a re-encoding of the original images."
        for name in datasets
        if (encoding := study.encoding(name))
    ]


def _intervals(rows: Sequence[Row]) -> list[str]:
    measured = [cell for row in rows for cell in row.cells if isinstance(cell, Interval)]
    if not measured:
        return ["Nothing of this table has been run yet."]
    sizes = f"n = {span(cell.n for cell in measured)} images a seed, {span(c.seeds for c in measured)} seed"
    if max(cell.seeds for cell in measured) == 1:
        return [
            f"Means with 95 % intervals over images, exact for shares ({sizes}); they cover the choice of images, not "
            "what training again from another seed would change."
        ]
    return [
        f"Means over seeds with 95 % intervals over images (exact for shares) and seeds (Student's t), the same images "
        f"for every seed ({sizes}s); of one seed they cover the images alone."
    ]


def _schedules(study: Study) -> list[str]:
    """How the profile differs from the paper's schedule, from a run of each data set."""
    if study.profile == "paper":
        return []
    said = (
        ["The profile smoke shows that everything runs; its numbers mean nothing."] if study.profile == "smoke" else []
    )
    for dataset in study.datasets:
        run = study.any_of(dataset)
        if run is not None and (changed := changes(run)):
            said.append(
                f"{dataset_title(dataset)}: the profile {study.profile} in place of the full schedule "
                f"({'; '.join(changed)})."
            )
    return said


def _empty(study: Study, methods: Sequence[str]) -> list[str]:
    said = []
    for dataset in study.datasets:
        missing = study.missing(dataset, tuple(methods))
        if missing:
            said.append(f"Not run on {dataset_title(dataset)}: {listed(missing)}.")
    strangers = [name for name in study.datasets if published("topk", "at", name) is None]
    if strangers:
        said.append(f"The paper has no numbers for {listed(dataset_title(name) for name in sorted(strangers))}.")
    return said


def self_checks(results: Sequence[RunResult]) -> list[list[str]]:
    """What the evaluations' self-checks found, those that are alike but for their numbers together: ``run: text``."""
    kinds: dict[str, list[str]] = {}
    for run in results:
        for text in run.summary["warnings"]:
            kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append(f"{run.name}: {text}")
    return list(kinds.values())


def warnings(study: Study, methods: Sequence[str]) -> list[str]:
    """The evaluations' self-checks, one of a kind, with how many raise it."""
    runs = [r for r in study.results if r.method in methods]
    return [
        f"Self-check in {len(found)} of {counted(len(runs), 'evaluation')}, for example {found[0]}"
        for found in self_checks(runs)
    ]


def chance(study: Study) -> list[str]:
    """What two unrelated attributions score."""
    said = []
    for dataset in study.datasets:
        run = study.any_of(dataset)
        if run is not None:
            k, features = run.summary["k"], run.summary["n_features"]
            said.append(f"{100 * k / features:.1f} % of top-{k} on {dataset_title(dataset)} ({features} features)")
    return [f"Chance is {listed(said)}, and 0 in Kendall's τ."] if said else []


FAILURES_COUNT = "An image on which the attack found nothing counts as unchanged (1.0)."
ALL_ATTACKS = (
    "For each image the strongest of all attacks: IFIA (top-k), IFIA on Kendall's τ, random signs, and AutoIFIA where "
    "it was run. The paper has no such table. No attack found: share of the images on which IFIA (top-k) found "
    "nothing; they count as unchanged (1.0)."
)
PAIRED = (
    "Differences image by image, over the images that both rows have; beside them the difference of the paper's two "
    "numbers."
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
