"""From records to numbers with intervals. Nothing here needs a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from holdfast.evaluate.checks import check_records
from holdfast.evaluate.protocol import Protocol
from holdfast.evaluate.records import COLUMNS
from holdfast.metrics import Metric

RESAMPLES = 2000
WORST = "worst"
MEASURED = ("activation",)
"""Columns that are means as they stand, beside those of the protocol's metrics."""
NOT_SHOWN = ("zero_share",)


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
class Quantity:
    """One column of numbers in the records, one per image."""

    attribution: str
    """Which maps; empty for predictions."""
    attack: str
    """Its name; "natural" for none, "worst" for the worst of all for each image."""
    metric: str
    """The column; "accuracy" or "failure_rate"."""
    values: pd.Series = field(repr=False, compare=False)
    """By the images' indices, without those that have none."""


def quantities(records: pd.DataFrame, lower_is_better: Sequence[str] = ()) -> Iterator[Quantity]:
    """Every quantity of some records, in their order.

    The worst case of a metric is taken over all attacks on an attribution, where all have it: its smallest value, or
    its largest if it is named in ``lower_is_better``.
    """
    accuracy = records[records["kind"] == "accuracy"]
    for attack, rows in accuracy.groupby("attack", sort=False):
        yield Quantity("", str(attack), "accuracy", _by_image(rows, "correct"))
    attacked = records[records["kind"] == "attribution"]
    metrics = [name for name in records.columns if name not in COLUMNS]
    for attribution, own in attacked.groupby("attribution", sort=False):
        groups = {str(attack): rows for attack, rows in own.groupby("attack", sort=False)}
        found: dict[str, list[pd.Series]] = {}
        for attack, rows in groups.items():
            for metric in (*metrics, *MEASURED):
                values = _by_image(rows, metric)
                if len(values):
                    yield Quantity(str(attribution), attack, metric, values)
                    found.setdefault(metric, []).append(values)
            yield Quantity(str(attribution), attack, "failure_rate", 1.0 - _by_image(rows, "succeeded"))
        for metric in metrics:
            if len(found.get(metric, ())) == len(groups) and metric not in NOT_SHOWN:
                beside = pd.concat(found[metric], axis=1, join="inner")
                worst = beside.max(axis=1) if metric in lower_is_better else beside.min(axis=1)
                yield Quantity(str(attribution), WORST, metric, worst)


def _by_image(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows.set_index("index")[column].dropna().astype("float64")


class Names:
    """Short names of the quantities of some records, unique among them.

    The first attack on the first attribution goes without its name, the first top-k is called ``topk``: "kendall",
    "rank_topk", "worst_kendall", "failure_rate"; predictions are called as their attacks ("natural", "pgd20").
    """

    def __init__(self, records: pd.DataFrame) -> None:
        attacked = records[records["kind"] == "attribution"]
        self.attributions = list(dict.fromkeys(attacked["attribution"]))
        self.attacks = list(dict.fromkeys(attacked["attack"]))
        topk = next((name for name in records.columns if name.startswith("top_")), None)
        self._short = {} if topk is None else {topk: "topk"}
        self._long = {short: name for name, short in self._short.items()}

    def of(self, quantity: Quantity) -> str:
        """The short name of a quantity."""
        if not quantity.attribution:
            return quantity.attack
        stem = self._short.get(quantity.metric, quantity.metric)
        stem = stem if quantity.attack == self.attacks[0] else f"{quantity.attack}_{stem}"
        first = quantity.attribution == self.attributions[0]
        return stem if first else f"{quantity.attribution}: {stem}"

    def find(self, name: str) -> tuple[str, str, str]:
        """The attribution, attack and column that a short name of an attack on an attribution stands for."""
        attribution, _, stem = name.rpartition(": ")
        attack = next((a for a in self.attacks[1:] if stem.startswith(f"{a}_")), None)
        stem = stem if attack is None else stem.removeprefix(f"{attack}_")
        return attribution or self.attributions[0], attack or self.attacks[0], self._long.get(stem, stem)


@dataclass(frozen=True)
class Summary:
    """The numbers of one evaluation, the chance levels beside them, and the self-checks' warnings.

    ``metrics`` and ``chance`` go by the short names of `Names`.
    """

    metrics: dict[str, Interval]
    chance: dict[str, float]
    k: int
    n_features: int
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(records: pd.DataFrame, protocol: Protocol, n_features: int) -> Summary:
    """All means, intervals, chance levels and warnings of an evaluation, from its records alone."""
    names = Names(records)
    metrics = {names.of(q): mean_interval(q.values) for q in shown(records, protocol.metrics)}
    chance = {
        names._short.get(m.key, m.key): level for m in protocol.metrics if (level := m.chance(n_features)) is not None
    }
    k = next((m.k for m in protocol.metrics if hasattr(m, "k")), 1)
    return Summary(metrics, chance, k, n_features, check_records(records, protocol))


def shown(records: pd.DataFrame, metrics: Sequence[Metric] = ()) -> Iterator[Quantity]:
    """The quantities that a summary has."""
    lower = [m.key for m in metrics if m.higher_is_better is False]
    return (q for q in quantities(records, lower) if q.metric not in NOT_SHOWN)


def frame_of(records: pd.DataFrame, protocol: Protocol, n_features: int) -> pd.DataFrame:
    """One row per quantity: attribution, attack, metric, title, unit, mean, low, high, n, chance."""
    known = {m.key: m for m in protocol.metrics}
    rows = []
    for q in shown(records, protocol.metrics):
        part = known.get(q.metric)
        rows.append(
            {
                "attribution": q.attribution,
                "attack": q.attack,
                "metric": q.metric,
                "title": part.title if part else _TITLES.get(q.metric, q.metric),
                "unit": part.unit if part else ("" if q.metric in MEASURED else "%"),
                **asdict(mean_interval(q.values)),
                "chance": part.chance(n_features) if part else None,
            }
        )
    return pd.DataFrame(rows).astype({"chance": "float64"})


_TITLES = {"accuracy": "Accuracy", "failure_rate": "No attack found", "activation": "Activation consistency"}
