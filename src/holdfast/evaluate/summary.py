"""From records to numbers with intervals. Nothing here needs a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from holdfast.evaluate.checks import check_records
from holdfast.evaluate.protocol import OTHER_IMAGE, Protocol
from holdfast.evaluate.records import COLUMNS, KINDS
from holdfast.metrics import Metric
from holdfast.metrics.stats import Interval, mean_interval

WORST = "worst"
MEASURED = ("activation",)
"""Columns that are means as they stand, beside those of the protocol's metrics."""
NOT_SHOWN = ("zero_share",)


@dataclass(frozen=True, eq=False)
class Quantity:
    """One column of numbers in the records, one per image."""

    attribution: str
    """Which maps; empty for predictions."""
    attack: str
    """Its name; "natural" for none, "worst" for the worst of all for each image, "other_image" for another image."""
    metric: str
    """The column; "accuracy" or "failure_rate"."""
    index: NDArray[np.int64] = field(repr=False)
    """The images that have one."""
    values: NDArray[np.float64] = field(repr=False)


def quantities(records: pd.DataFrame, lower_is_better: Sequence[str] = ()) -> Iterator[Quantity]:
    """Every quantity of some records, in their order.

    The worst case of a metric is taken over all attacks on an attribution, where all have it: its smallest value, or
    its largest if it is named in ``lower_is_better``.
    """
    columns = _Columns(records)
    accuracy, attacked, control = (columns.text["kind"] == kind for kind in KINDS)
    for attack in columns.there("attack", accuracy):
        yield columns.quantity("", attack, "accuracy", "correct", accuracy)
    metrics = [name for name in records.columns if name not in COLUMNS]
    for attribution in columns.there("attribution", attacked):
        explained = columns.text["attribution"] == attribution
        own = attacked & explained
        attacks = columns.there("attack", own)
        found: dict[str, list[Quantity]] = {metric: [] for metric in metrics}
        for attack in attacks:
            for metric in (*metrics, *MEASURED):
                quantity = columns.quantity(attribution, attack, metric, metric, own)
                if len(quantity.values):
                    yield quantity
                    found.setdefault(metric, []).append(quantity)
            succeeded = columns.quantity(attribution, attack, "failure_rate", "succeeded", own)
            if len(succeeded.values):
                yield replace(succeeded, values=1.0 - succeeded.values)
        for metric in metrics:
            if len(found[metric]) == len(attacks) and metric not in NOT_SHOWN:
                yield _worst(found[metric], metric in lower_is_better)
        for metric in metrics:
            quantity = columns.quantity(attribution, OTHER_IMAGE, metric, metric, control & explained)
            if len(quantity.values):
                yield quantity


def _worst(quantities: Sequence[Quantity], lower_is_better: bool) -> Quantity:
    """The worst of several for each image that all of them have."""
    first = quantities[0]
    beside = pd.concat([pd.Series(q.values, q.index) for q in quantities], axis=1, join="inner")
    worst = (beside.max(axis=1) if lower_is_better else beside.min(axis=1)).to_numpy()
    return Quantity(first.attribution, WORST, first.metric, beside.index.to_numpy(), worst)


class _Columns:
    """Records as arrays."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.records = records
        self.index = records["index"].to_numpy(dtype=np.int64)
        self.text = {name: records[name].to_numpy(dtype=object) for name in ("kind", "attribution", "attack")}

    def there(self, column: str, rows: NDArray[np.bool_]) -> list[str]:
        return list(dict.fromkeys(self.text[column][rows]))

    def quantity(self, attribution: str, attack: str, metric: str, column: str, rows: NDArray[np.bool_]) -> Quantity:
        chosen = np.flatnonzero(rows & (self.text["attack"] == attack))
        values = self.records[column].iloc[chosen].to_numpy(dtype=np.float64, na_value=np.nan)
        known = ~np.isnan(values)
        return Quantity(attribution, attack, metric, self.index[chosen][known], values[known])


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

    def of(self, quantity: Quantity) -> str:
        """The short name of a quantity."""
        if not quantity.attribution:
            return quantity.attack
        stem = self.short(quantity.attack, quantity.metric)
        first = quantity.attribution == self.attributions[0]
        return stem if first else f"{quantity.attribution}: {stem}"

    def short(self, attack: str, metric: str) -> str:
        """A column under an attack on the first attribution."""
        stem = self._short.get(metric, metric)
        return stem if attack in self.attacks[:1] else f"{attack}_{stem}"


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
    metrics = {names.of(q): _interval(q, protocol.metrics) for q in shown(records, protocol.metrics)}
    levels = {names.short(names.attacks[0], m.key): m.chance(n_features) for m in protocol.metrics if names.attacks}
    chance = {name: level for name, level in levels.items() if level is not None}
    k = next((m.k for m in protocol.metrics if hasattr(m, "k")), 1)
    return Summary(metrics, chance, k, n_features, check_records(records, protocol, n_features))


def _interval(quantity: Quantity, metrics: Sequence[Metric]) -> Interval:
    part = next((m for m in metrics if m.key == quantity.metric), None)
    return mean_interval(quantity.values.tolist(), (0.0, 1.0) if part is None else part.bounds)


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
                **asdict(_interval(q, protocol.metrics)),
                "chance": part.chance(n_features) if part else None,
            }
        )
    return pd.DataFrame(rows).astype({"chance": "float64"})


_TITLES = {"accuracy": "Accuracy", "failure_rate": "No attack found", "activation": "Activation consistency"}
