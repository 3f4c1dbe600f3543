"""Results as the first edition stored them, with its training settings as the tree of parts that they meant."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from holdfast.evaluate.standard import EvalConfig, protocol_of
from holdfast.metrics import Cosine, KendallTau, Metric, Pearson, Spearman, TopK, ZeroShare
from holdfast.objectives import IGR
from holdfast.part_json import from_plain
from holdfast.recipes import METHODS
from holdfast.recipes.setups import Budget, Regulariser, Rivals, Setup, setup
from holdfast.results.result import RunResult
from holdfast.results.wide import Record
from holdfast.train.config import DataConfig, OptimConfig, TrainConfig


def first_schema(document: Mapping[str, Any], content: bytes, where: str) -> RunResult:
    """The result in the two files of schema 1; its records are one row per image by kind."""
    rows: dict[str, list[Record]] = {"accuracy": [], "attribution": []}
    for line in gzip.decompress(content).decode().splitlines():
        row = json.loads(line)
        rows[row.pop("kind")].append(row)
    evaluation, training = from_plain(EvalConfig, {**document["evaluation"], "auto": None}, where), document["training"]
    settings = _train_config(document["train"])
    there = set(rows["attribution"][0]) if rows["attribution"] else set()
    metrics: tuple[Metric, ...] = (
        KendallTau(),
        TopK(evaluation.ifia.k),
        Spearman(),
        Cosine(),
        Pearson(),
        *(m for m in (Cosine(magnitude=True), Pearson(magnitude=True)) if m.key in there),
        ZeroShare(),
    )
    return RunResult(
        protocol=protocol_of(evaluation, metrics),
        summary=document["summary"],
        records=rows,
        settings=settings,
        training=training,
        log=document["log"],
        subject={"model": settings.model, "data": f"{evaluation.dataset} ({evaluation.split})"},
        environment={key: training[key] for key in ("torch", "device") if key in training},
    )


def _train_config(plain: dict[str, Any]) -> TrainConfig:
    """The settings of a run of schema 1: flat groups ``objective``, ``attack`` and ``igr`` beside the rest."""
    old, attack, igr = plain["objective"], plain["attack"], plain["igr"]
    budget = Budget(attack["eps"], attack["alpha"], attack["steps"])
    s = _setup(old, igr, budget)
    objective = METHODS[old["name"]](s)
    own = {f.name for f in fields(objective)}
    changes = {name: old[name] for name in ("lam", "beta") if name in own}
    objective = replace(objective, **changes)
    if igr["lam"]:
        own_adversary = igr["adversary"] == "own"
        template: Any = METHODS["at-igr-own" if own_adversary else "at-igr"](s)
        objective = IGR(objective, template.lam, template.attribution, template.share, template.attack)
    return TrainConfig(
        recipe=plain["recipe"],
        profile=plain["profile"],
        data=DataConfig(**plain["data"]),
        model=plain["model"],
        objective=objective,
        optim=OptimConfig(**{**plain["optim"], "milestones": tuple(plain["optim"]["milestones"])}),
        validation=s.validation,
        precision=plain["precision"],
        val_size=plain["val_size"],
        seed=plain["seed"],
    )


def _setup(old: dict[str, Any], igr: dict[str, Any], budget: Budget) -> Setup:
    return replace(
        setup("digits"),
        budget=budget,
        trades_beta=old["beta"],
        mart_beta=old["beta"],
        igr=Regulariser(igr["lam"], igr["n_steps"]),
        rivals=Rivals(old["n_steps"], old["attack_n_steps"], old["k"], budget),
    )
