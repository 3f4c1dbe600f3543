"""Training settings as the first edition stored them, turned into the tree of parts that they meant."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from holdfast.objectives import IGR
from holdfast.recipes import METHODS
from holdfast.recipes.setups import Budget, Regulariser, Rivals, Setup, setup
from holdfast.train.config import DataConfig, OptimConfig, TrainConfig


def train_config(plain: dict[str, Any]) -> TrainConfig:
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
