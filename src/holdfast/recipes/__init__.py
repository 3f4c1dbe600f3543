"""Complete configurations by name: a data set, a method and a profile, every field with its origin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast.errors import unknown_name
from holdfast.evaluate.standard import EvalConfig
from holdfast.parts import settings
from holdfast.recipes.methods import METHOD_ORIGINS, METHODS, TABLE2, TABLE3
from holdfast.recipes.profiles import PROFILES, apply_profile
from holdfast.recipes.setups import OURS, SETUPS, Setup, setup
from holdfast.train.config import TrainConfig

__all__ = [
    "METHODS",
    "PROFILES",
    "SETUPS",
    "TABLE2",
    "TABLE3",
    "TITLES",
    "Setup",
    "data_of",
    "evaluation",
    "method_recipe",
    "origin",
    "recipe",
    "recipe_names",
    "setup",
    "split_name",
    "title",
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

    >>> recipe("mnist-trades-igr").objective.base.beta, recipe("mnist-trades-igr", "laptop").optim.epochs
    (1.0, 4)
    """
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names(), "List them with: holdfast recipes.")
    return method_recipe(*split_name(name), profile)


def data_of(setup_name: str) -> str:
    """The data set of a setup; a name that is no setup is a data set itself.

    >>> data_of("fashion_mnist_01"), data_of("my/photos")
    ('fashion_mnist', 'my/photos')
    """
    return setup(setup_name).base.data.name if setup_name in SETUPS else setup_name


def split_name(name: str) -> tuple[str, str]:
    """The setup (or data set) and the method of a recipe; a name of one's own is its own setup, without a method.

    >>> split_name("fashion_mnist_01-at-igr"), split_name("me/mine-2-trades"), split_name("custom")
    (('fashion_mnist_01', 'at-igr'), ('me/mine-2', 'trades'), ('custom', ''))
    """
    method = max((m for m in METHODS if name.endswith(f"-{m}")), key=len, default="")
    return name.removesuffix(f"-{method}") if method else name, method


def method_recipe(dataset: str, method: str, profile: str = "paper", seed: int = 0) -> TrainConfig:
    """The configuration of a method on a data set, of ours or of the user's.

    Raises:
        HoldfastError: for an unknown method or profile, with the nearest ones.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, "List them with: holdfast recipes.")
    s = apply_profile(profile, setup(dataset))
    return replace(
        s.base, recipe=f"{dataset}-{method}", objective=METHODS[method](s), validation=s.validation, seed=seed
    )


def evaluation(dataset: str, profile: str = "paper") -> EvalConfig:
    """How models of a data set are evaluated: the same for every row of a table."""
    return apply_profile(profile, setup(dataset)).evaluation


def title(method: str) -> str:
    """The name of a method in tables: that of its objective; a stranger's is its own.

    >>> title("trades-igr"), title("mine")
    ('TRADES+IGR', 'mine')
    """
    return METHODS[method](setup("digits")).title if method in METHODS else method


TITLES = {method: title(method) for method in METHODS}
"""The names of the methods in tables."""


def origin(dataset: str, field: str, method: str | None = None, profile: str = "paper") -> str:
    """Where a recipe's value comes from: "paper", "cited code" or "ours".

    A value that a reduced profile changes is ours, whoever stated the full one.

    >>> origin("mnist", "optim.lr"), origin("mnist", "objective.lam"), origin("digits", "optim.lr")
    ('paper', 'ours', 'ours')
    >>> origin("mnist", "optim.lr", profile="laptop"), origin("mnist", "objective.lam", "art")
    ('ours', 'cited code')
    """
    full, reduced = (_value(dataset, field, method or "trades-igr", name) for name in ("paper", profile))
    if full != reduced:
        return OURS
    short = field.removeprefix("objective.").removeprefix("base.")
    if method is not None and (method, short) in METHOD_ORIGINS:
        return METHOD_ORIGINS[method, short]
    return setup(dataset).origins.get(short, OURS)


def _value(dataset: str, field: str, method: str, profile: str) -> Any:
    everything = dict(settings(method_recipe(dataset, method, profile)))
    everything |= dict(settings(evaluation(dataset, profile), "evaluation."))
    return everything.get(field)
