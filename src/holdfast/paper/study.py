"""What a reproduction is made from: the finished runs, and where their weights and its files lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from holdfast.metrics.stats import Column, Sample, contrast
from holdfast.recipes import TABLE2, TITLES, evaluation
from holdfast.report.quantities import QUANTITIES, attacks_of_all, column_of
from holdfast.results import RunResult


@dataclass(frozen=True, eq=False)
class Study:
    """The results of some data sets and seeds under one profile.

    ``runs`` is the folder of the sweep that holds the weights, as far as they are there.
    """

    profile: str
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    results: tuple[RunResult, ...]
    out: Path
    runs: Path
    device: str = "cpu"
    data_dir: str | None = None

    @cached_property
    def _columns(self) -> dict[tuple[str, str, str], Column]:
        return {}

    def of(self, dataset: str, method: str) -> list[RunResult]:
        """The runs of a method, one a seed."""
        return [r for r in self.results if (r.dataset, r.method) == (dataset, method)]

    def any_of(self, dataset: str) -> RunResult | None:
        """One run on a data set, if there is any."""
        return next((r for r in self.results if r.dataset == dataset), None)

    def encoding(self, dataset: str) -> str | None:
        """The lossy file format that a data set came in, which changes what is measured on it; else None."""
        found = {r.training.get("images") for r in self.results if r.dataset == dataset}
        return "JPEG" if "JPEG" in found else None

    def column(self, dataset: str, method: str, key: str) -> Column:
        """One quantity of a method on the images of every seed."""
        place = (dataset, method, key)
        if place not in self._columns:
            shared = attacks_of_all([r for r in self.results if r.dataset == dataset])
            self._columns[place] = column_of(self.of(dataset, method), key, shared)
        return self._columns[place]

    def contrast(self, dataset: str, weights: Mapping[str, float], key: str) -> Sample | None:
        """A weighted sum over methods, image by image, on the images that all have; None where one was not run."""
        columns = [(weight, self.column(dataset, method, key)) for method, weight in weights.items()]
        return contrast(columns, QUANTITIES[key].bounds) if all(column for _, column in columns) else None

    def missing(self, dataset: str, methods: Mapping[str, float] | tuple[str, ...]) -> list[str]:
        """Titles of the methods that were not run on a data set."""
        return [TITLES.get(method, method) for method in methods if not self.of(dataset, method)]

    def k(self, dataset: str) -> int:
        """Features in the top-k intersection."""
        run = self.any_of(dataset)
        return (run.evaluation if run else evaluation(dataset, self.profile)).ifia.k

    @property
    def beyond_the_paper(self) -> list[str]:
        """Methods with results that Table 2 does not have."""
        return list(dict.fromkeys(r.method for r in self.results if r.method not in TABLE2))
