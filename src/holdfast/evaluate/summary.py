"""From records to numbers with intervals. Nothing here needs a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from holdfast.config import EvalConfig
from holdfast.evaluate.accuracy import ATTACKS
from holdfast.evaluate.checks import check_records
from holdfast.evaluate.records import Record

RESAMPLES = 2000
SIMILARITIES = ("topk", "kendall", "cosine", "spearman", "pearson", "random_topk", "random_kendall", "rank_kendall")
OPTIONAL = ("magnitude_cosine", "magnitude_pearson", "activation")
"""Columns that older records, or networks without ReLU, do not have."""


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` images with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and percentile-bootstrap interval (2,000 resamples, fixed seed) over images.

    >>> mean_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0, n=3)
    """
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2 or np.ptp(x) == 0:
        return Interval(mean, mean, mean, len(x))
    interval = bootstrap(
        (x,), np.mean, n_resamples=RESAMPLES, method="percentile", batch=200, rng=np.random.default_rng(0)
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high), len(x))


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
            metrics[name] = mean_interval([row[name] for row in attribution])
        for name in ("topk", "kendall"):
            worst = [min(row[name], row[f"rank_{name}"], row[f"random_{name}"]) for row in attribution]
            metrics[f"worst_{name}"] = mean_interval(worst)
        metrics["failure_rate"] = mean_interval([1.0 - row["succeeded"] for row in attribution])
    chance = {"topk": config.ifia.k / n_features, "kendall": 0.0}
    warnings = check_records(accuracy, attribution, config)
    return Summary(metrics, chance, config.ifia.k, n_features, warnings)
