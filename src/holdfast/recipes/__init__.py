"""Complete configurations by name: a data set, a method and a profile, every field with its origin. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from holdfast.config import EvalConfig, TrainConfig
from holdfast.errors import unknown_name
from holdfast.recipes.cost import evaluation_cost, training_cost
from holdfast.recipes.methods import METHOD_ORIGINS, METHODS, TABLE2, TABLE3, TITLES
from holdfast.recipes.profiles import PROFILES, apply_profile
from holdfast.recipes.setups import OURS, SETUPS, Setup, setup

__all__ = [
    "METHODS",
    "PROFILES",
    "SETUPS",
    "TABLE2",
    "TABLE3",
    "TITLES",
    "Setup",
    "evaluation",
    "evaluation_cost",
    "method_recipe",
    "origin",
    "recipe",
    "recipe_names",
    "settings",
    "setup",
    "training_cost",
]


def recipe_names() -> list[str]:
    """All recipes, ``dataset-method``.

    >>> recipe_names()[:3]
    ['digits-standard', 'digits-ig-norm', 'digits-ig-sum-norm']
    """
    return [f"{dataset}-{method}" for dataset in SETUPS for method in METHODS]


def recipe(name: str, profile: str = "paper") -> TrainConfig:
    """The complete configuration of a recipe under a profile.

    Raises:
        HoldfastError: for an unknown name or profile, with the nearest ones.

    >>> recipe("mnist-trades-igr").objective.beta, recipe("mnist-trades-igr", "laptop").optim.epochs
    (1.0, 5)
    """
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names(), "List them with: holdfast recipes.")
    dataset, _, method = name.partition("-")
    return method_recipe(dataset, method, profile)


def method_recipe(dataset: str, method: str, profile: str = "paper", seed: int = 0) -> TrainConfig:
    """The configuration of a method on a data set, of ours or of the user's.

    Raises:
        HoldfastError: for an unknown method or profile, with the nearest ones.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, "List them with: holdfast recipes.")
    config = METHODS[method](apply_profile(profile, setup(dataset)))
    return replace(config, recipe=f"{dataset}-{method}", seed=seed)


def evaluation(dataset: str, profile: str = "paper") -> EvalConfig:
    """How models of a data set are evaluated: the same for every row of a table."""
    return apply_profile(profile, setup(dataset)).evaluation


def origin(dataset: str, field: str, method: str | None = None, profile: str = "paper") -> str:
    """Where a recipe's value comes from: "paper", "cited code" or "ours".

    A value that a reduced profile changes is ours, whoever stated the full one.

    >>> origin("mnist", "optim.lr"), origin("mnist", "igr.lam"), origin("digits", "optim.lr")
    ('paper', 'ours', 'ours')
    >>> origin("mnist", "optim.lr", profile="laptop"), origin("mnist", "objective.lam", "art")
    ('ours', 'cited code')
    """
    full, reduced = (_value(dataset, field, method or "trades-igr", name) for name in ("paper", profile))
    if full != reduced:
        return OURS
    if method is not None and (method, field) in METHOD_ORIGINS:
        return METHOD_ORIGINS[method, field]
    return setup(dataset).origins.get(field, OURS)


def _value(dataset: str, field: str, method: str, profile: str) -> Any:
    everything = dict(settings(method_recipe(dataset, method, profile)))
    everything |= dict(settings(evaluation(dataset, profile), "evaluation."))
    return everything.get(field)


def settings(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a configuration with its dotted name.

    >>> from holdfast.config import AttackConfig
    >>> list(settings(AttackConfig(), "attack."))
    [('attack.eps', 0.1), ('attack.alpha', 0.025), ('attack.steps', 10)]
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value
