"""``holdfast recipes [NAME] [--profile P]``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from holdfast.cli.parse import take_name, take_profile
from holdfast.data.catalogue import KNOWN
from holdfast.errors import HoldfastError, unknown_name
from holdfast.parts import settings
from holdfast.recipes import (
    METHODS,
    SETUPS,
    data_of,
    evaluation,
    origin,
    recipe,
    split_name,
)
from holdfast.sweep.plan import Run

USAGE = """usage: holdfast recipes [NAME] [--profile smoke|laptop|fast|paper] [--dataset D]

Without a name: all recipes, their cost in forward passes (F) of one image, and the time they would take on this
machine, estimated from a few timed passes. With one: every setting and where it comes from.
"""


def run(argv: Sequence[str]) -> None:
    console = Console()
    if any(arg in ("-h", "--help") for arg in argv):
        print(USAGE, end="")
        return
    profile, rest = take_profile(argv)
    dataset, rest = _take_dataset(rest)
    if rest:
        name, extra = take_name(rest, "the recipe", "recipes", "digits-trades-igr")
        if extra:
            raise HoldfastError(
                f"{extra[0]!r} is one word too many; show one recipe at a time: holdfast recipes {name}."
            )
        _show(name, profile or "paper", console)
        return
    _list(profile or "paper", [dataset] if dataset else list(SETUPS), console)


def _take_dataset(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    rest = list(argv)
    if "--dataset" not in rest:
        return None, rest
    at = rest.index("--dataset")
    name = rest[at + 1] if at + 1 < len(rest) else ""
    if name not in SETUPS:
        raise unknown_name("data set", name, SETUPS)
    return name, rest[:at] + rest[at + 2 :]


def _list(profile: str, datasets: Sequence[str], console: Console) -> None:
    from holdfast.models.resolve import seconds_per_forward
    from holdfast.report.terminal import print_listing
    from holdfast.report.words import duration
    from holdfast.validate import pick_device

    device = pick_device("auto")
    rows = []
    for dataset in datasets:
        known = KNOWN[data_of(dataset)]
        one = seconds_per_forward(recipe(f"{dataset}-at", profile).model, known.shape, device, len(known.classes))
        for method, make in METHODS.items():
            config = recipe(f"{dataset}-{method}", profile)
            cost = Run(config, evaluation(dataset, profile)).cost
            assert cost is not None
            about = (make.__doc__ or "").strip()
            time = duration(cost * one)
            rows.append((config.recipe, about, str(config.optim.epochs), f"{config.objective.cost:g}", time))
    title = (
        f"Recipes under the profile {profile} (F: one forward pass of one image; time: training and evaluation on "
        f"{device}, estimated)"
    )
    print_listing(title, ("recipe", "method", "epochs", "F an image and epoch", "time"), rows, console)


def _show(name: str, profile: str, console: Console) -> None:
    from holdfast.report.terminal import print_listing

    dataset, method = split_name(name)
    every = [*settings(recipe(name, profile)), *settings(evaluation(dataset, profile), "evaluation.")]
    rows = [(field, str(value), origin(dataset, field, method, profile)) for field, value in every]
    title = f"{name}: training and evaluation, profile {profile}"
    print_listing(title, ("setting", "value", "origin"), rows, console)
