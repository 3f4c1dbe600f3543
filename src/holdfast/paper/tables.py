"""Tables 2 and 3, and ours beside them: cells from the results, claims and notes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from holdfast.paper import notes
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
from holdfast.paper.published import published_difference
from holdfast.paper.study import Study
from holdfast.recipes import TABLE2, TABLE3, TITLES
from holdfast.report.document import Cell, Column, Row, Table
from holdfast.report.quantities import QUANTITIES
from holdfast.report.words import dataset_title

BESIDE = ("natural", "failure_rate")
ACCURACIES = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf")
PAPER_DIGITS = 2
HEADLINE = ("standard", *(method for base in BASES for method in (base, f"{base}-igr")))
"""The rows of the table in the README."""


def table2(study: Study) -> list[Table]:
    """Table 2 with the paper's findings of section 6.2, the worst of all attacks, IGR's gains, and other methods."""
    title = "Table 2: attribution robustness under IFIA (top-k)"
    published = _methods(
        study, "table2", title, tuple(TABLE2), ROBUSTNESS, [notes.FAILURES_COUNT, *notes.chance(study)]
    )
    title = "Beside Table 2: the worst of all attacks, and natural accuracy"
    worst_notes = [notes.ALL_ATTACKS, *notes.chance(study)]
    worst = _methods(study, "table2-worst", title, tuple(TABLE2), (*WORST, *BESIDE), worst_notes)
    tables = [
        replace(published, claims=tuple(attribution_claims(study))),
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
    table = _methods(study, "table3", "Table 3: accuracy under attack", TABLE3, ACCURACIES, notes.table3(study))
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
    said = [*notes.common(study, table.rows, methods), *extra, *notes.warnings(study, methods)]
    return replace(table, notes=tuple(said))


def _gains(study: Study, key: str, title: str, keys: Sequence[str]) -> Table:
    """A row a base: what IGR adds to it, image by image."""
    weights = {f"{TITLES[base]}+IGR less {TITLES[base]}": gain(base) for base in BASES}
    table = _table(study, key, title, weights, keys, signed=True)
    said = [notes.PAIRED, *notes.common(study, table.rows, [method for base in BASES for method in gain(base)])]
    return replace(table, notes=tuple(said))


def _table(
    study: Study,
    key: str,
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    keys: Sequence[str],
    signed: bool = False,
) -> Table:
    """Weighted sums of methods by title; a quantity has a column for the paper's numbers where it prints any."""
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
    lines = (Row(title, tuple(part[i] for part in parts)) for i, title in enumerate(rows))
    return Table(key, title, tuple(columns), tuple(lines))


def _ours(study: Study, dataset: str, weights: Mapping[str, float], key: str) -> Cell:
    sample = study.contrast(dataset, weights, key)
    return None if sample is None else sample.interval()


Maker = Callable[[Study], list[Table]]
TABLES: dict[str, Maker] = {"table2": table2, "table3": table3, "figure4": lambda study: [activation_table(study)]}
"""The tables of each part of the paper."""
