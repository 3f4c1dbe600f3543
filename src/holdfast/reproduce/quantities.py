"""The quantities of the tables: what each is called, and its value in the records of one image."""

from __future__ import annotations

from holdfast.evaluate.standard import ATTACKS
from holdfast.report.metrics import METRICS, REMARKS
from holdfast.reproduce.resample import Column
from holdfast.results import RunResult
from holdfast.results.wide import Record

PREDICTION = ("natural", *ATTACKS)
WORST_OF = ("", "rank_", "random_")
"""The three attacks on an attribution: the protocol's, the one on Kendall's tau, and random signs."""


def heading(key: str, k: int) -> str:
    """What a column is called, without its unit.

    >>> heading("worst_topk", 100), heading("kendall", 100), heading("activation", 100)
    ('Top-100 (worst)', 'Kendall τ', 'Activation consistency')
    """
    if key == "activation":
        return "Activation consistency"
    metric = METRICS[key]
    remark = REMARKS.get(metric.group)
    return metric.title(k) + (f" ({remark})" if remark else "")


def is_share(key: str) -> bool:
    """Whether a quantity is printed in per cent."""
    return key != "activation" and METRICS[key].percent


def value_of(row: Record, key: str) -> float | None:
    """The quantity in one record; None in records that lack it.

    >>> value_of({"kendall": 0.5, "rank_kendall": 0.2, "random_kendall": 0.4}, "worst_kendall")
    0.2
    """
    if key in PREDICTION:
        return float(row["prediction" if key == "natural" else key] == row["label"])
    if key.startswith("worst_"):
        return min(row[attack + key.removeprefix("worst_")] for attack in WORST_OF)
    if key == "failure_rate":
        return 1.0 - row["succeeded"]
    return row.get(key)


def column_of(results: list[RunResult], key: str) -> Column:
    """A quantity of the seeds of one method; seeds without it are left out."""
    kind = "accuracy" if key in PREDICTION else "attribution"
    columns = {
        result.seed: {row["index"]: value for row in result.records[kind] if (value := value_of(row, key)) is not None}
        for result in results
    }
    return {seed: column for seed, column in columns.items() if column}
