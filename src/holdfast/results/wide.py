"""Records with one row per image and a column per attack and metric, as the first schema stored them and reports read.

The names of the columns are those of `holdfast.evaluate.summary.Names`: "kendall" is under the first attack,
"rank_topk" under the attack "rank", "other_image_topk" beside another image; predictions are called as their attacks,
"prediction" is under none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import compute

from holdfast.evaluate.attribution import CONSTANT
from holdfast.evaluate.protocol import NATURAL, Protocol, name_of
from holdfast.evaluate.records import OK, rows_of, table_of
from holdfast.evaluate.summary import Names
from holdfast.metrics import TopK

Record = dict[str, Any]
WIDE = ("accuracy", "attribution")
"""The kinds of records that have such rows."""
OF_IMAGE = ("index", "label", "succeeded", "best_step", "zero_share", "activation")
"""Columns that are shown for the first attack alone."""


@dataclass(frozen=True, eq=False)
class Records(Mapping[str, list[Record]]):
    """The records of one evaluation: long in ``frame``, and by kind one row per image of its first attribution."""

    table: pa.Table

    @cached_property
    def frame(self) -> pd.DataFrame:
        return rows_of(self.table)

    def explained_by(self, attribution: str) -> Records:
        """Those of predictions and of one attribution."""
        own = compute.equal(self.table["attribution"].cast(pa.string()), attribution)
        return Records(
            self.table.filter(compute.or_kleene(compute.equal(self.table["kind"].cast(pa.string()), "accuracy"), own))
        )

    def __getitem__(self, kind: str) -> list[Record]:
        return self._wide[kind]

    def __iter__(self) -> Any:
        return iter(WIDE)

    def __len__(self) -> int:
        return len(WIDE)

    @cached_property
    def _wide(self) -> dict[str, list[Record]]:
        long = self.frame
        predicted = long["kind"] == "accuracy"
        return {"accuracy": _accuracy(long[predicted]), "attribution": _attribution(long[~predicted], Names(long))}


def _accuracy(rows: pd.DataFrame) -> list[Record]:
    found: dict[int, Record] = {}
    columns = (rows[name].tolist() for name in ("index", "label", "attack", "prediction"))
    for index, label, attack, prediction in zip(*columns, strict=True):
        row = found.setdefault(index, {"index": index, "label": label})
        row["prediction" if attack == NATURAL else attack] = prediction
    return list(found.values())


def _attribution(rows: pd.DataFrame, names: Names) -> list[Record]:
    if rows.empty:
        return []
    found: dict[int, Record] = {}
    own = rows[rows["attribution"] == names.attributions[0]].dropna(axis=1, how="all")
    own = own.drop(columns=["kind", "attribution", "status"]).astype(object)
    for values in own.to_dict("records"):
        attack = values.pop("attack")
        main = attack == names.attacks[0]
        row = found.setdefault(values["index"], {})
        for name, value in values.items():
            if not pd.isna(value) and (main or name not in OF_IMAGE):
                row[names.short(attack, name)] = value
    return list(found.values())


def long_of(records: Mapping[str, Sequence[Record]], protocol: Protocol) -> Records:
    """The long form of such rows. What the first schema did not record of an attack is null."""
    keys = [m.key for m in protocol.metrics]
    short = {m.key: m.key for m in protocol.metrics}
    topk = next((m.key for m in protocol.metrics if isinstance(m, TopK)), None)
    if topk is not None:
        short[topk] = "topk"
    accuracy, attribution = list(records["accuracy"]), list(records["attribution"])
    tables = [table_of({"index": []}, keys)]
    for name in (NATURAL, *protocol.predictions):
        predictions = [row["prediction" if name == NATURAL else name] for row in accuracy]
        labels = [row["label"] for row in accuracy]
        columns = {
            "kind": ["accuracy"] * len(accuracy),
            "index": [row["index"] for row in accuracy],
            "label": labels,
            "attack": [name] * len(accuracy),
            "status": [OK] * len(accuracy),
            "prediction": predictions,
            "correct": [p == y for p, y in zip(predictions, labels, strict=True)],
        }
        tables.append(table_of(columns, keys))
    scored = name_of(protocol.attributions[0])
    for position, name in enumerate(protocol.attacks):
        prefix = "" if position == 0 else f"{name}_"
        columns = {
            "kind": ["attribution"] * len(attribution),
            "attribution": [scored] * len(attribution),
            "attack": [name] * len(attribution),
            "status": [CONSTANT if row.get("zero_share") == 1.0 else OK for row in attribution],
            **{key: [row.get(prefix + short[key]) for row in attribution] for key in keys},
            "zero_share": [row.get("zero_share") for row in attribution],
        }
        first_only = ("succeeded", "best_step", "activation") if position == 0 else ()
        columns |= {key: [row.get(key) for row in attribution] for key in ("index", "label", *first_only)}
        tables.append(table_of(columns, keys))
    return Records(pa.concat_tables(tables))
