"""Tables 2 and 3, and ours beside them: cells from the results, claims and notes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.recipes import TABLE2, TABLE3, TITLES
from holdfast.reproduce import notes
from holdfast.reproduce.claims import (
    BASES,
    ROBUSTNESS,
    WORST,
    accuracy_claims,
    activation_claims,
    attribution_claims,
    gain,
    worst_claims,
)
from holdfast.reproduce.model import PaperCell, PaperColumn, PaperRow, PaperTable
from holdfast.reproduce.paper import published, published_difference
from holdfast.reproduce.quantities import heading, is_share
from holdfast.reproduce.resample import Scores, contrast
from holdfast.reproduce.study import Study

BESIDE = ("natural", "failure_rate")
ACCURACIES = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf")


def table2(study: Study) -> list[PaperTable]:
    """Table 2 with the paper's findings of section 6.2, the worst of three attacks, IGR's gains, and other methods."""
    published_table = _table(
        study,
        "table2",
        "Table 2: attribution robustness under IFIA (top-k)",
        tuple(TABLE2),
        ROBUSTNESS,
        extra=[notes.failures_count(), *notes.chance(study)],
    )
    worst = _table(
        study,
        "table2-worst",
        "Beside Table 2: the worst of three attacks, and natural accuracy",
        tuple(TABLE2),
        (*WORST, *BESIDE),
        extra=[notes.three_attacks(), *notes.chance(study)],
    )
    gains = _gains(
        study,
        "table2-gain",
        "What IGR adds to the attribution robustness of each base",
        (*ROBUSTNESS, *WORST),
    )
    tables = [
        replace(published_table, claims=tuple(attribution_claims(study))),
        replace(worst, claims=tuple(worst_claims(study))),
        gains,
    ]
    if study.beyond_the_paper:
        title = "Beyond the paper: other methods and variants"
        keys = (*ROBUSTNESS, *WORST, "natural", "pgd20")
        tables.append(_table(study, "table2-more", title, study.beyond_the_paper, keys))
    return tables


def table3(study: Study) -> list[PaperTable]:
    """Table 3 with PGD-40 beside it and the paper's statements of section 6.3, and IGR's gains."""
    title = "Table 3: accuracy under attack"
    table = _table(study, "table3", title, TABLE3, ACCURACIES, extra=notes.table3(study))
    gains = _gains(study, "table3-gain", "What IGR adds to the accuracy of each base", ACCURACIES)
    return [replace(table, claims=tuple(accuracy_claims(study))), gains]


def activation_table(study: Study) -> PaperTable:
    """The numbers behind Figure 4; the paper gives two pairs of them, in section 6.4."""
    table = _table(study, "figure4-numbers", "Activation consistency (Figure 4)", TABLE3, ("activation",))
    return replace(table, claims=tuple(activation_claims(study)))


def _table(
    study: Study,
    key: str,
    title: str,
    methods: Sequence[str],
    keys: Sequence[str],
    extra: Sequence[str] = (),
) -> PaperTable:
    columns = _columns(study, keys)
    rows = tuple(
        PaperRow(
            TITLES.get(method, method),
            method,
            tuple(_cell(study, c, method) for c in columns),
            tuple(r.name for dataset in study.datasets for r in study.of(dataset, method)),
        )
        for method in methods
    )
    said = [*notes.common(study, rows, columns, methods), *extra, *notes.warnings(study, methods)]
    return PaperTable(key, title, columns, rows, notes=tuple(said))


def _columns(study: Study, keys: Sequence[str], signed: bool = False) -> tuple[PaperColumn, ...]:
    return tuple(
        PaperColumn(key, heading(key, study.k(dataset)), dataset, is_share(key), signed)
        for dataset in study.datasets
        for key in keys
    )


def _cell(study: Study, column: PaperColumn, method: str) -> PaperCell:
    """Mean and interval: of one seed as its evaluation reports them, of several over seeds and images."""
    paper = published(column.key, method, column.dataset)
    results = study.of(column.dataset, method)
    if len(results) == 1:
        found = results[0].summary["metrics"].get(column.key)
        if found is None:
            return PaperCell(paper=paper)
        return PaperCell(found["mean"], found["low"], found["high"], found["n"], 1, paper)
    values = study.column(column.dataset, method, column.key)
    return _cell_of(contrast([(1.0, values)]) if values else None, paper)


def _cell_of(scores: Scores | None, paper: float | None) -> PaperCell:
    if scores is None:
        return PaperCell(paper=paper)
    return PaperCell(scores.mean, *scores.interval(), scores.images, scores.seeds, paper)


def _gains(study: Study, key: str, title: str, keys: Sequence[str]) -> PaperTable:
    columns = _columns(study, keys, signed=True)
    rows = tuple(
        PaperRow(
            f"{TITLES[base]}+IGR less {TITLES[base]}",
            f"{base}-igr",
            tuple(_gain(study, column, base) for column in columns),
            tuple(
                r.name
                for dataset in study.datasets
                for method in (base, f"{base}-igr")
                for r in study.of(dataset, method)
            ),
        )
        for base in BASES
    )
    said = [notes.paired(), *notes.common(study, rows, columns, [method for base in BASES for method in gain(base)])]
    return PaperTable(key, title, columns, rows, notes=tuple(said))


def _gain(study: Study, column: PaperColumn, base: str) -> PaperCell:
    weights = gain(base)
    paper = published_difference(column.key, weights, column.dataset)
    return _cell_of(study.contrast(column.dataset, weights, column.key), paper)
