"""The settings of runs with their origin, as tables; those in which rows differ come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import leaves
from holdfast.part_json import to_plain
from holdfast.parts import settings
from holdfast.recipes import METHODS, SETUPS, evaluation, method_recipe, origin
from holdfast.recipes.setups import OURS
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import dataset_title, setting
from holdfast.results.result import RunResult
from holdfast.train.config import TrainConfig

_ELSEWHERE = ("recipe", "profile", "seed", "data.name", "evaluation.dataset")
"""Fields that a document says in its headings."""


NOT_SET = "not set"


def by_dataset(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Results of each data set, the known ones in the paper's order."""
    order = [*SETUPS, *(run.dataset for run in results)]
    found: dict[str, list[RunResult]] = {}
    for run in sorted(results, key=lambda r: order.index(r.dataset)):
        found.setdefault(run.dataset, []).append(run)
    return found


def recipe_of(run: RunResult, profile: str | None = None) -> TrainConfig | None:
    """The recipe that a run names, under its own or another profile; None where there is none of that name."""
    try:
        return method_recipe(run.dataset, run.method, profile or run.train.profile, run.seed)
    except HoldfastError:
        return None


def settings_tables(results: Sequence[RunResult]) -> list[Table]:
    """For every data set a table of what differs between its methods, and one of what all have alike.

    Each value has its origin behind it: paper, cited code (what the paper cites and follows) or ours. A value that a
    reduced profile changes is ours.
    """
    found = []
    for dataset, runs in by_dataset(results).items():
        by_method: dict[str, list[RunResult]] = {}
        for run in runs:
            by_method.setdefault(run.method, []).append(run)
        found += _tables(dataset_title(dataset), by_method)
    return found


def _tables(title: str, by_method: dict[str, list[RunResult]]) -> list[Table]:
    firsts = [runs[0] for runs in by_method.values()]
    values = {method: _values(runs) for method, runs in by_method.items()}
    full = _recipe_values(firsts[0], "paper")
    differing, shared = [], []
    for field in dict.fromkeys(field for found in values.values() for field in found):
        row = [found.get(field, (NOT_SET, OURS)) for found in values.values()]
        if len({text for text, _ in row}) > 1:
            differing.append(Row(field, tuple(f"{text} ({where})" for text, where in row)))
            continue
        whole = setting(full[field]) if field in full else row[0][0]
        origins = " / ".join(dict.fromkeys(where for _, where in row))
        shared.append(Row(field, (row[0][0], origins, "" if whole == row[0][0] else whole)))
    methods = tuple(Column(run.method, run.title) for run in firsts)
    alike = tuple(Column(key, key) for key in ("value", "origin", "full schedule"))
    tables = [
        Table("", f"{title}: where the rows differ", methods, tuple(differing), first="Setting"),
        Table("", f"{title}: the same for all rows", alike, tuple(shared), first="Setting"),
    ]
    return [table for table in tables if table.rows]


def _values(runs: Sequence[RunResult]) -> dict[str, tuple[str, str]]:
    """The settings of one method with their origins; seeds that differ are joined."""
    recipe = _recipe_values(runs[0], runs[0].train.profile)
    stored = [_stored(run) for run in runs]
    found = {}
    for field in dict.fromkeys(field for values in stored for field in values):
        texts = dict.fromkeys(setting(values.get(field, NOT_SET)) for values in stored)
        as_recipe = field in recipe and list(texts) == [setting(recipe[field])]
        found[field] = " / ".join(texts), _origin(runs[0], field) if as_recipe else OURS
    return found


def _origin(run: RunResult, field: str) -> str:
    return origin(run.dataset, field, run.method, run.train.profile) if run.method in METHODS else OURS


def _stored(run: RunResult) -> dict[str, Any]:
    everything = dict(settings(run.train)) | _evaluation(run)
    return {field: value for field, value in everything.items() if field not in _ELSEWHERE}


def _evaluation(run: RunResult) -> dict[str, Any]:
    try:
        return dict(settings(run.evaluation, "evaluation."))
    except HoldfastError:
        plain = to_plain(replace(run.protocol, metrics=()))
        return {f"evaluation.{name}": value for name, value in leaves(plain).items() if value != []}


def _recipe_values(run: RunResult, profile: str) -> dict[str, Any]:
    """The settings of the run's recipe under a profile; empty where there is no such recipe."""
    recipe = recipe_of(run, profile)
    if recipe is None:
        return {}
    return dict(settings(recipe)) | dict(settings(evaluation(run.dataset, profile), "evaluation."))
