"""``holdfast train RECIPE [options]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from holdfast.cli.parse import parse, take_name, take_profile
from holdfast.cli.part_options import take_parts
from holdfast.recipes import recipe, recipe_names
from holdfast.train.config import TrainConfig


@dataclass(frozen=True)
class TrainOptions:
    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    out: str | None = None
    """Folder of the run; runs/RECIPE by default."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue an unfinished run in that folder."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""


DESCRIPTION = (
    f"holdfast train RECIPE [--profile smoke|laptop|fast|paper] [options]: train one of {', '.join(recipe_names())}. "
    "The profile sets the defaults of the other options. --objective NAME, --objective.attack NAME, "
    "--objective.attribution NAME put another part in place (file.py:Class is one of your own); its fields are "
    "options too. On several GPUs: torchrun --nproc-per-node 4 -m holdfast train RECIPE [options]; batch_size stays "
    "that of all together."
)


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        parse(TrainOptions(recipe("digits-trades-igr")), ["--help"], "train RECIPE", DESCRIPTION)
    name, rest = take_name(argv, "the recipe", "train", "digits-trades-igr (holdfast recipes lists them all)")
    profile, rest = take_profile(rest)
    config, rest = take_parts(recipe(name, profile or "paper"), rest)
    options = parse(TrainOptions(config), rest, f"train {name}", DESCRIPTION)

    from rich.console import Console

    from holdfast.cli.progress import Display
    from holdfast.cli.where import pick_device
    from holdfast.train import train
    from holdfast.train.distributed import joined

    out = Path(options.out or f"runs/{name}")
    with joined() as world:
        with world.together():
            device = world.device_of(pick_device(options.device))
        with Display(name, Console(stderr=True, quiet=not world.leads)) as display:
            train(
                options.config,
                out,
                device=device,
                data_dir=options.data_dir,
                resume=options.resume,
                on_step=display.step,
            )
        if world.leads:
            print(f"Trained {name}: {out}\nNext: holdfast evaluate {out}")
