"""What an evaluation gives back: records, numbers, a table and a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from holdfast.evaluate.protocol import Protocol
from holdfast.evaluate.records import rows_of
from holdfast.evaluate.summary import Summary, frame_of


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The robustness of one model: every record, and the means over images with their 95 % intervals.

    A notebook shows its table.
    """

    name: str
    protocol: Protocol
    subject: dict[str, str]
    """The network and the images, by name and SHA-256."""
    environment: dict[str, str]
    table_of_records: pa.Table = field(repr=False)
    summary: Summary = field(repr=False)
    folder: Path | None = None
    """Where the records lie, if they were kept."""

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per image and attack; see `holdfast.evaluate.records`."""
        return rows_of(self.table_of_records)

    @property
    def warnings(self) -> list[str]:
        """Signs that the numbers are not to be trusted, each with what to do."""
        return self.summary.warnings

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return frame_of(self.records, self.protocol, self.summary.n_features)

    def to_frame(self) -> pd.DataFrame:
        """One row per quantity: attribution, attack, metric, title, unit, mean, low, high, n, chance."""
        return self._frame.copy()

    def table(self) -> pd.DataFrame:
        """The means as people read them: a row per attribution and metric, a column per attack,
        shares in per cent, with what unrelated maps would give."""
        frame = self._frame.copy()
        numbers = zip(frame["mean"], frame["unit"], strict=True)
        frame["shown"] = [_written(mean, unit) for mean, unit in numbers]
        rows = list(dict.fromkeys(zip(frame["attribution"], frame["title"], strict=True)))
        wide = frame.pivot(index=["attribution", "title"], columns="attack", values="shown").fillna("")
        wide = wide.reindex(index=pd.MultiIndex.from_tuples(rows), columns=list(dict.fromkeys(frame["attack"])))
        chance = frame.groupby(["attribution", "title"])["chance"].first().reindex(wide.index)
        units = frame.groupby(["attribution", "title"])["unit"].first().reindex(wide.index)
        levels = zip(chance, units, strict=True)
        wide["chance"] = ["" if pd.isna(level) else _written(level, unit) for level, unit in levels]
        return wide.rename_axis(index=["", ""], columns=None)

    @property
    def counts(self) -> str:
        """How many images the numbers are of."""
        images = self.records.groupby("kind")["index"].nunique()
        shown, attacked = (int(images.get(kind, 0)) for kind in ("accuracy", "attribution"))
        plural = "" if shown == 1 else "s"
        return f"{shown} image{plural}; {attacked} of those classified correctly had their attributions attacked"

    def to_html(self, path: str | Path) -> Path:
        """Write a page of its own: the table, the numbers behind it, the settings and the warnings.

        Returns:
            The path of the page.
        """
        page = import_module("holdfast.report.evaluation")  # a floor above, where pages are made
        return Path(page.write_evaluation(self, Path(path)))

    def __repr__(self) -> str:
        head = f"{self.name} on {self.subject['data']}\n{self.counts}"
        warnings = "".join(f"\n! {text}" for text in self.warnings)
        return f"{head}\n{self.table().to_string()}{warnings}"

    def _repr_html_(self) -> str:
        return self.table().to_html(escape=True)

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values."""
        return self.summary.to_dict()


def _written(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.3f}"
