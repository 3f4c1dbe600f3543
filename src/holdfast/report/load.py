"""From the files of runs and evaluations to the report's data model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast.report.metrics import METRICS
from holdfast.report.model import Curve, Estimate, Row
from holdfast.train.folder import read_metrics


def row_from_summary(name: str, run: str, metrics: Mapping[str, Any], *, highlight: bool = False) -> Row:
    """A table row from the ``metrics`` of a ``summary.json`` (name -> mean, low, high, n)."""
    estimates = {
        key: Estimate(value["mean"], value["low"], value["high"], value["n"])
        for key, value in metrics.items()
        if key in METRICS
    }
    return Row(name, run, estimates, highlight=highlight)


TITLES = {
    "natural": "validation accuracy (clean)",
    "adversarial": "validation accuracy (adversarial)",
    "cosine": "validation cos(IG(x), IG(x̃))",
}


def curves_of(runs: Iterable[tuple[str, Path]]) -> dict[str, list[Curve]]:
    """Training curves by title, one line a run, from each run's ``metrics.jsonl``."""
    curves: dict[str, list[Curve]] = {}
    for run, folder in runs:
        lines = read_metrics(folder / "metrics.jsonl")
        for kind in ("train", "validation"):
            chosen = [line for line in lines if line["kind"] == kind]
            names = [name for name in (chosen[0] if chosen else {}) if name not in ("kind", "step", "epoch")]
            for name in names:
                title = TITLES[name] if kind == "validation" else ("loss" if name == "loss" else f"loss: {name}")
                points = [(line["step"], line[name]) for line in chosen if name in line]
                steps, values = zip(*points, strict=True)
                curves.setdefault(title, []).append(Curve(run, list(steps), list(values)))
    return curves
