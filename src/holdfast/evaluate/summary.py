"""From records to numbers with intervals. Nothing here needs a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from holdfast.config import EvalConfig
from holdfast.evaluate.accuracy import ATTACKS
from holdfast.evaluate.checks import check_records
from holdfast.evaluate.records import Record
from holdfast.metrics.stats import Interval, mean_interval

SIMILARITIES = ("topk", "kendall", "cosine", "spearman", "pearson", "random_topk", "random_kendall", "rank_kendall")
OPTIONAL = ("magnitude_cosine", "magnitude_pearson", "activation")
"""Columns that older records, or networks without ReLU, do not have."""
SHARES = ("topk", "random_topk", "activation")
"""Columns in [0, 1]; the others lie in [-1, 1]."""


def bounds_of(name: str) -> tuple[float, float]:
    """The range of a column of the attribution records.

    >>> bounds_of("topk"), bounds_of("rank_kendall")
    ((0.0, 1.0), (-1.0, 1.0))
    """
    return (0.0, 1.0) if name in SHARES else (-1.0, 1.0)


@dataclass(frozen=True)
class Summary:
    """The numbers of one evaluation, the chance levels beside them, and the self-checks' warnings."""

    metrics: dict[str, Interval]
    chance: dict[str, float]
    k: int
    n_features: int
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(accuracy: list[Record], attribution: list[Record], config: EvalConfig, n_features: int) -> Summary:
    """All means, intervals, chance levels and warnings of an evaluation, from its records alone."""
    label = [row["label"] for row in accuracy]
    metrics = {}
    for name, column in (("natural", "prediction"), *((name, name) for name in ATTACKS)):
        hits = [float(row[column] == y) for row, y in zip(accuracy, label, strict=True)]
        metrics[name] = mean_interval(hits)
    if attribution:
        for name in (*SIMILARITIES, *(name for name in OPTIONAL if name in attribution[0])):
            metrics[name] = mean_interval([row[name] for row in attribution], bounds_of(name))
        for name in ("topk", "kendall"):
            worst = [min(row[name], row[f"rank_{name}"], row[f"random_{name}"]) for row in attribution]
            metrics[f"worst_{name}"] = mean_interval(worst, bounds_of(name))
        metrics["failure_rate"] = mean_interval([1.0 - row["succeeded"] for row in attribution])
    chance = {"topk": config.ifia.k / n_features, "kendall": 0.0}
    warnings = check_records(accuracy, attribution, config)
    return Summary(metrics, chance, config.ifia.k, n_features, warnings)
