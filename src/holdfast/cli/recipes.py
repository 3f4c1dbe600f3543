"""``holdfast recipes [NAME]``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from holdfast.cli.parse import take_name
from holdfast.errors import HoldfastError
from holdfast.recipes import METHODS, evaluation, origin, recipe, recipe_names, settings, training_cost


def run(argv: Sequence[str]) -> None:
    console = Console()
    if any(arg in ("-h", "--help") for arg in argv):
        print("usage: holdfast recipes [NAME]\n\nWithout a name: all recipes. With one: every setting and its origin.")
        return
    if argv:
        name, rest = take_name(argv, "the recipe", "recipes", "digits-trades-igr")
        if rest:
            raise HoldfastError(
                f"{rest[0]!r} is one word too many; show one recipe at a time: holdfast recipes {name}."
            )
        _show(name, console)
        return
    table = Table(title="Recipes (F: one forward pass of one image)", title_justify="left")
    for heading in ("recipe", "method", "epochs", "F an image and epoch"):
        table.add_column(heading, justify="left" if heading in ("recipe", "method") else "right")
    for name in recipe_names():
        config = recipe(name)
        about = (METHODS[name.partition("-")[2]].__doc__ or "").strip()
        table.add_row(name, about, str(config.optim.epochs), str(training_cost(config)))
    console.print(table)


def _show(name: str, console: Console) -> None:
    config = recipe(name)
    dataset = config.data.name
    table = Table(title=f"{name}: training and evaluation", title_justify="left")
    for heading in ("setting", "value", "origin"):
        table.add_column(heading)
    for field, value in settings(config):
        table.add_row(field, str(value), origin(dataset, field))
    for field, value in settings(evaluation(dataset), "evaluation."):
        table.add_row(field, str(value), origin(dataset, field))
    console.print(table)
