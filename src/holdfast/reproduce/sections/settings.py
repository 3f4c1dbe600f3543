"""The settings of every row with their origin; those in which rows differ come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.recipes import METHODS, evaluation, origin, settings
from holdfast.recipes.setups import OURS
from holdfast.reproduce.sections.runs import by_dataset, recipe_of
from holdfast.reproduce.sections.words import Anchors, dataset_title, setting
from holdfast.results import RunResult

_ELSEWHERE = ("recipe", "profile", "seed", "data.name", "objective.name", "evaluation.dataset")
"""Fields that the page says in its headings."""


@dataclass(frozen=True)
class Value:
    """A value of one row, or of all, and where it comes from."""

    text: str
    origin: str


@dataclass(frozen=True)
class Differing:
    """A setting in which rows differ: one value a method."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Shared:
    """A setting that all rows have alike; ``full`` is the paper profile's value where that is another."""

    field: str
    value: Value
    full: str


@dataclass(frozen=True)
class SettingsSet:
    """All settings of one data set."""

    title: str
    anchor: str
    methods: tuple[str, ...]
    differing: tuple[Differing, ...]
    shared: tuple[Shared, ...]


def settings_sets(results: Sequence[RunResult], anchors: Anchors) -> list[SettingsSet]:
    """The settings of every data set that has results."""
    found = []
    for name, part in by_dataset(results).items():
        by_method: dict[str, list[RunResult]] = {}
        for run in part:
            by_method.setdefault(run.method, []).append(run)
        found.append(_settings(name, anchors.take("settings", name), by_method))
    return found


def _settings(dataset: str, anchor: str, by_method: dict[str, list[RunResult]]) -> SettingsSet:
    firsts = [runs[0] for runs in by_method.values()]
    full = _all_values(firsts[0], "paper")
    values = {method: _values(runs) for method, runs in by_method.items()}
    differing, shared = [], []
    for field in values[firsts[0].method]:
        row = tuple(values[method].get(field, Value("not set", OURS)) for method in by_method)
        if len({value.text for value in row}) > 1:
            differing.append(Differing(field, row))
            continue
        origins = " / ".join(dict.fromkeys(value.origin for value in row))
        whole = setting(full[field]) if field in full else row[0].text
        shared.append(Shared(field, Value(row[0].text, origins), "" if whole == row[0].text else whole))
    titles = tuple(run.title for run in firsts)
    return SettingsSet(dataset_title(dataset), anchor, titles, tuple(differing), tuple(shared))


def _values(runs: Sequence[RunResult]) -> dict[str, Value]:
    """The settings of one method; seeds that differ are joined."""
    first = runs[0]
    recipe = _all_values(first, first.train.profile)
    found = {}
    for field in _stored(first):
        texts = dict.fromkeys(setting(_stored(run)[field]) for run in runs)
        as_recipe = field in recipe and list(texts) == [setting(recipe[field])]
        found[field] = Value(" / ".join(texts), _origin(first, field) if as_recipe else OURS)
    return found


def _origin(run: RunResult, field: str) -> str:
    return origin(run.dataset, field, run.method, run.train.profile) if run.method in METHODS else OURS


def _stored(run: RunResult) -> dict[str, Any]:
    everything = dict(settings(run.train)) | dict(settings(run.evaluation, "evaluation."))
    return {field: value for field, value in everything.items() if field not in _ELSEWHERE}


def _all_values(run: RunResult, profile: str) -> dict[str, Any]:
    """The settings of the run's recipe under a profile; empty where there is no such recipe."""
    recipe = recipe_of(run, profile)
    if recipe is None:
        return {}
    return dict(settings(recipe)) | dict(settings(evaluation(run.dataset, profile), "evaluation."))
