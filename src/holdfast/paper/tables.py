"""Tables 2 and 3, and ours beside them: cells from the results with their claims, and what stands below each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from holdfast.metrics.stats import Interval
from holdfast.paper.claims import (
    BASES,
    ROBUSTNESS,
    WORST,
    accuracy_claims,
    activation_claims,
    attribution_claims,
    gain,
    worst_claims,
)
from holdfast.paper.facts import changes
from holdfast.paper.published import published, published_difference
from holdfast.paper.study import Study
from holdfast.recipes import TABLE2, TABLE3, TITLES
from holdfast.report.quantities import QUANTITIES
from holdfast.report.table import Cell, Column, Row, Table
from holdfast.report.words import counted, dataset_title, listed, span
from holdfast.results import RunResult

BESIDE = ("natural", "failure_rate")
ACCURACIES = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf")
PAPER_DIGITS = 2
HEADLINE = ("standard", *(method for base in BASES for method in (base, f"{base}-igr")))
"""The rows of the table in the README."""
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


def table2(study: Study) -> list[Table]:
    """Table 2 with the paper's findings of section 6.2, the worst of all attacks, IGR's gains, and other methods."""
    title = "Table 2: attribution robustness under IFIA (top-k)"
    first = _methods(study, "table2", title, tuple(TABLE2), ROBUSTNESS, [FAILURES_COUNT, *_chance(study)])
    title = "Beside Table 2: the worst of all attacks, and natural accuracy"
    worst_notes = [ALL_ATTACKS, *_chance(study)]
    worst = _methods(study, "table2-worst", title, tuple(TABLE2), (*WORST, *BESIDE), worst_notes)
    tables = [
        replace(first, claims=tuple(attribution_claims(study))),
        replace(worst, claims=tuple(worst_claims(study))),
        _gains(study, "table2-gain", "What IGR adds to the attribution robustness of each base", (*ROBUSTNESS, *WORST)),
        _methods(study, "headline", "Under the worst of all attacks, with IGR and without", HEADLINE, WORST),
    ]
    if study.beyond_the_paper:
        title = "Beyond the paper: other methods and variants"
        keys = (*ROBUSTNESS, *WORST, "natural", "pgd20")
        tables.append(_methods(study, "table2-more", title, study.beyond_the_paper, keys))
    return tables


def table3(study: Study) -> list[Table]:
    """Table 3 with PGD-40 beside it and the paper's statements of section 6.3, and IGR's gains."""
    table = _methods(study, "table3", "Table 3: accuracy under attack", TABLE3, ACCURACIES, _table3_notes(study))
    gains = _gains(study, "table3-gain", "What IGR adds to the accuracy of each base", ACCURACIES)
    return [replace(table, claims=tuple(accuracy_claims(study))), gains]


def activation_table(study: Study) -> Table:
    """The numbers behind Figure 4; the paper gives two pairs of them, in section 6.4."""
    table = _methods(study, "figure4-numbers", "Activation consistency (Figure 4)", TABLE3, ("activation",))
    return replace(table, claims=tuple(activation_claims(study)))


def _methods(
    study: Study, key: str, title: str, methods: Sequence[str], keys: Sequence[str], extra: Sequence[str] = ()
) -> Table:
    """A row a method."""
    table = _table(study, key, title, {TITLES.get(m, m): {m: 1.0} for m in methods}, keys)
    said = [*_common(study, table.rows, methods), *extra, *_warnings(study, methods)]
    return replace(table, notes=tuple(said))


def _gains(study: Study, key: str, title: str, keys: Sequence[str]) -> Table:
    """A row a base: what IGR adds to it, image by image."""
    weights = {f"{TITLES[base]}+IGR less {TITLES[base]}": gain(base) for base in BASES}
    table = _table(study, key, title, weights, keys, signed=True)
    said = [PAIRED, *_common(study, table.rows, [method for base in BASES for method in gain(base)])]
    return replace(table, notes=tuple(said))


def _table(
    study: Study,
    key: str,
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    keys: Sequence[str],
    signed: bool = False,
) -> Table:
    """Weighted sums of methods by title, those of which anything was run or printed; a quantity has a column for the
    paper's numbers where it prints any."""
    columns: list[Column] = []
    parts: list[list[Cell]] = []
    for dataset in study.datasets:
        for quantity in keys:
            column = QUANTITIES[quantity].column(study.k(dataset), dataset_title(dataset), signed)
            columns.append(column)
            parts.append([_ours(study, dataset, weights, quantity) for weights in rows.values()])
            paper: list[Cell] = [published_difference(quantity, dict(w), dataset) for w in rows.values()]
            if any(cell is not None for cell in paper):
                columns.append(replace(column, heading="paper", better=None, beside=True, digits=PAPER_DIGITS))
                parts.append(paper)
    lines = [Row(title, tuple(part[i] for part in parts)) for i, title in enumerate(rows)]
    there = tuple(row for row in lines if any(cell is not None for cell in row.cells))
    return Table(key, title, tuple(columns), there or tuple(lines))


def _ours(study: Study, dataset: str, weights: Mapping[str, float], key: str) -> Cell:
    sample = study.contrast(dataset, weights, key)
    return None if sample is None else sample.interval()


Maker = Callable[[Study], list[Table]]
TABLES: dict[str, Maker] = {"table2": table2, "table3": table3, "figure4": lambda study: [activation_table(study)]}
"""The tables of each part of the paper."""


def _common(study: Study, rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
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


def _warnings(study: Study, methods: Sequence[str]) -> list[str]:
    """The evaluations' self-checks, one of a kind, with how many raise it."""
    runs = [r for r in study.results if r.method in methods]
    return [
        f"Self-check in {len(found)} of {counted(len(runs), 'evaluation')}, for example {found[0]}"
        for found in self_checks(runs)
    ]


def _chance(study: Study) -> list[str]:
    """What two unrelated attributions score."""
    said = []
    for dataset in study.datasets:
        run = study.any_of(dataset)
        if run is not None:
            k, features = run.summary["k"], run.summary["n_features"]
            said.append(f"{100 * k / features:.1f} % of top-{k} on {dataset_title(dataset)} ({features} features)")
    return [f"Chance is {listed(said)}, and 0 in Kendall's τ."] if said else []


def _table3_notes(study: Study) -> list[str]:
    """What the paper leaves out of its Table 3."""
    said = ["The paper's text mentions PGD-40, its table does not have it; its step sizes are not stated."]
    if {"mnist", "cifar10"} & {*study.datasets}:
        said.append(
            "On MNIST and CIFAR-10 the paper's FGSM, PGD and CW∞ numbers lie closer to its natural accuracy than the "
            "cited methods' own reports at the same ε; our attacks can spend the whole ε."
        )
    return said
