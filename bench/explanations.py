"""``python -m bench.explanations``: what IGR does to explanations that it was not trained for, from stored results.

The results are those of ``holdfast evaluate RUN --attribution saliency --attribution GradCAM --export
results/explanations`` and the like, of a base and of the same with IGR. Writes ``docs/explanations.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast.files import write_atomically
from holdfast.metrics.stats import Interval, mean_interval
from holdfast.report.document import Document, Section
from holdfast.report.explained import difference_of
from holdfast.report.quantities import QUANTITIES, attacks_of_all, values_of
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import dataset_title, listed
from holdfast.results import RunResult, load_results

RESULTS = Path("results/explanations")
PAGE = Path("docs/explanations.md")
SHOWN = ("worst_topk", "worst_kendall")
TITLE = "Explanations that IGR was not trained for"
ONE_SET = (
    "SmoothGrad was attacked as before 2026-11-28, by steps that all followed one set of noisy copies; new ones at "
    "each step take it lower (docs/choices.md), with IGR or without."
)


def pairs(results: Sequence[RunResult]) -> Iterator[tuple[RunResult, RunResult]]:
    """Each base with the network of the same data set and seed that IGR was added to."""
    found = {(r.dataset, r.method.rpartition("/")[2], r.seed): r for r in results}
    for (dataset, method, seed), base in found.items():
        if (dataset, f"{method}-igr", seed) in found:
            yield base, found[dataset, f"{method}-igr", seed]


def document_of(results: Sequence[RunResult]) -> Document:
    """A table for each pair: a row per explanation."""
    tables = [table_of(*pair) for pair in pairs(results)]
    rows = [row for table in tables for row in table.rows]
    said = []
    for explanation in dict.fromkeys(row.title for row in rows):
        cells = [row.cells[2] for row in rows if row.title == explanation]
        more, fewer = (sum(isinstance(cell, Interval) and cell.side == sign for cell in cells) for sign in (1, -1))
        said.append(f"{explanation} on {more} of {len(cells)}" + (f" (fewer on {fewer})" if fewer else ""))
    answer = (
        "IGR was trained on integrated gradients alone. Under the worst of all attacks (AutoIFIA among them) more of "
        f"the most important features are left with it than without, beyond the interval, by {listed(said)} pairs of "
        "networks (paired over the images of one seed each: of these networks, not of the methods)."
    )
    if any(row.title.startswith("SmoothGrad") for row in rows):
        answer += " " + ONE_SET
    return Document(TITLE, answer, (Section("", tuple(tables)),))


def mean_of(run: RunResult, key: str, attacks: Sequence[str] | None = None) -> Interval | None:
    """The mean of a quantity over the images that have one."""
    values = values_of(run, key, attacks)
    return mean_interval(list(values.values()), QUANTITIES[key].bounds) if values else None


def table_of(base: RunResult, igr: RunResult) -> Table:
    """Base, with IGR, and the paired difference of each explanation, under the worst attack of each image."""
    k, attacks = int(base.summary["k"]), attacks_of_all([base, igr])
    columns = tuple(
        Column(f"{key} {name}", name, QUANTITIES[key].title(k), QUANTITIES[key].percent, name == "difference")
        for key in SHOWN
        for name in ("base", "with IGR", "difference")
    )
    columns = (*columns, Column("images", "images"))
    rows = []
    for explanation in base.explanations:
        without, with_igr = base.explained_by(explanation), igr.explained_by(explanation)
        found: list[Interval | None] = []
        for key in SHOWN:
            found += [mean_of(run, key, attacks) for run in (without, with_igr)]
            sample = difference_of(without, with_igr, key, attacks)
            found.append(sample.interval() if sample else None)
        rows.append(Row(explanation, (*found, str(found[2].n) if found[2] else "0")))
    accuracies = [mean for run in (base, igr) if (mean := mean_of(run, "natural"))]
    eps = next(iter(base.protocol.predictions.values())).eps  # type: ignore[attr-defined]
    note = (
        f"ε = {eps:.3g}; natural accuracy {listed(f'{100 * a.mean:.1f} %' for a in accuracies)} of {accuracies[0].n} "
        f"images. The worst of {listed(attacks)} for each image. Means over the attacked images whose map has more "
        "than one value; 95 % intervals over images."
    )
    title = f"{dataset_title(base.dataset)}, {base.title.rpartition('/')[2].upper()}, seed {base.seed}"
    return Table(f"{base.dataset}-{base.seed}", title, columns, tuple(rows), (note,), first="Explanation")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.explanations", description=__doc__)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--page", type=Path, default=PAGE)
    options = arguments.parse_args()
    write_atomically(options.page, document_of(load_results(options.results)).to_markdown())


if __name__ == "__main__":
    main()
