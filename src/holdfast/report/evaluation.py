"""The page of one evaluation: the answer, its tables, the settings and the warnings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from holdfast.evaluate.faithfulness import alike
from holdfast.evaluate.protocol import leaves, name_of
from holdfast.evaluate.result import EvaluationResult
from holdfast.metrics.stats import Interval
from holdfast.part_json import class_name, to_plain
from holdfast.report.document import Document, Facts, Section, Words
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import number

READING = (
    "Means over images with 95 % intervals. An image on which an attack found nothing counts as unchanged (1.0). "
    "Worst: the strongest attack for each image. Chance: what two unrelated maps score. Other image: what the map of "
    "an image has in common with that of another image of another class, without any attack."
)
SHARES, OTHERS = "shares (%)", "correlations and others"


def write_evaluation(result: EvaluationResult, path: Path) -> Path:
    """Write the page of an evaluation to ``path``; returns it."""
    evaluation_document(result).to_html(path)
    return path


def evaluation_document(result: EvaluationResult) -> Document:
    """One evaluation as a document."""
    facts = {**result.subject, **result.environment}
    settings = leaves(to_plain(result.protocol, spec=class_name))
    return Document(
        f"{result.name} on {result.subject['data']}",
        _answer(result),
        (
            Section("What was found", (*_tables(result.to_frame()), Words((READING,)))),
            Section("Settings", (Facts(tuple((k, str(v)) for k, v in settings.items())),), True),
            Section("Model, images and environment", (Facts(tuple((k, str(v)) for k, v in facts.items())),), True),
        ),
        (result.counts,),
        tuple(result.warnings),
    )


def _tables(frame: pd.DataFrame) -> Iterator[Table]:
    """Of predictions and of each attribution: a row a metric, a column an attack; shares apart from other numbers."""
    for attribution, part in frame.groupby("attribution", sort=False):
        for percent in (True, False):
            own = part[(part["unit"] == "%") == percent]
            if not len(own):
                continue
            attacks = list(dict.fromkeys(own["attack"]))
            columns = tuple(
                Column(name, name, percent=percent) for name in [*attacks, "chance"][: None if attribution else -1]
            )
            rows = []
            for title, lines in own.groupby("title", sort=False):
                found = {r.attack: Interval(r.mean, r.low, r.high, r.n) for r in lines.itertuples()}
                chance = lines["chance"].iloc[0]
                cells = [*map(found.get, attacks), None if pd.isna(chance) else float(chance)]
                rows.append(Row(str(title), tuple(cells[: len(columns)])))
            what = f"{attribution} under attack: {SHARES if percent else OTHERS}" if attribution else "Predictions"
            yield Table("", what, columns, tuple(rows), first="Metric")


def _answer(result: EvaluationResult) -> str:
    """What is left of the first attribution under the worst of all attacks, and the accuracy."""
    metrics, k = result.summary.metrics, result.summary.k
    said = []
    if "worst_topk" in metrics:
        said.append(f"{number(metrics['worst_topk'].mean, True, 1)} % of the {k} most important features are left")
    if "worst_kendall" in metrics:
        said.append(f"Kendall’s τ is {number(metrics['worst_kendall'].mean, False, 1)}")
    of = f" ({name_of(result.protocol.attributions[0])})" if len(result.protocol.attributions) > 1 else ""
    found = [f"under the worst of all attacks {' and '.join(said)}{of}"] if said else []
    shared, chance = metrics.get("other_image_topk"), result.summary.chance.get("topk")
    if shared is not None and chance is not None and alike(shared, chance):
        found.append(f"maps of different images share {number(shared.mean, True, 1)} % of these features anyway")
    if "natural" in metrics:
        found.append(f"the accuracy without attack is {number(metrics['natural'].mean, True, 1)} %")
    text = "; ".join(found)
    return f"{text[:1].upper()}{text[1:]}." if text else ""
