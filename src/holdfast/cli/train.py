"""``holdfast train RECIPE [options]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from holdfast.cli.estimate import announce, estimated_seconds
from holdfast.cli.parse import parse, take_name, take_parts, take_profile
from holdfast.data.loader import DeviceLoader
from holdfast.recipes import METHODS, SETUPS, recipe
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
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start without a question, however long it takes."""


DESCRIPTION = (
    f"holdfast train RECIPE [--profile smoke|laptop|fast|paper] [options]: train a recipe, DATASET-METHOD: "
    f"{', '.join(SETUPS)} with {', '.join(METHODS)} (holdfast recipes tells what each is and costs). "
    "The profile sets the defaults of the other options. --objective NAME, --objective.attack NAME, "
    "--objective.attribution NAME put another part in place (file.py:Class is one of your own); its fields are "
    "options too. On several GPUs: torchrun --nproc-per-node 4 -m holdfast train RECIPE [options]; batch_size stays "
    "that of all together."
)


def run(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        parse(TrainOptions(recipe("digits-trades-igr")), ["--help"], "train RECIPE", DESCRIPTION)
    name, rest = take_name(argv, "the recipe", "train", "digits-trades-igr (holdfast recipes lists them all)")
    profile, rest = take_profile(rest)
    base = recipe(name, profile or "paper")
    config, rest = take_parts(base, rest)
    options = parse(TrainOptions(config), rest, f"train {name}", DESCRIPTION)
    config = options.config
    note = ""
    if config.data.name != base.data.name:
        note = (
            f"{name} is made for {base.data.name}; on {config.data.name} the model {config.model} and attacks of eps "
            f"{config.validation.eps:.4g} are kept unless you override them."
        )

    from rich.console import Console

    from holdfast.cli.interrupt import Interrupt, that_goes_on
    from holdfast.cli.progress import Display
    from holdfast.train import train
    from holdfast.train.distributed import joined
    from holdfast.train.validation import training_cost
    from holdfast.validate import pick_device

    out = Path(options.out or f"runs/{name}").expanduser()
    with joined() as world, Interrupt() as interrupt:
        with world.together():
            device = world.device_of(pick_device(options.device))

        def estimate(loader: DeviceLoader) -> None:
            _, channels, height, width = loader.batch(0, 0)[0].shape
            cost = training_cost(config, len(loader) * config.optim.batch_size) / world.size
            work = config.model, (channels, height, width), cost
            announce(name, estimated_seconds([work], device), device, yes=options.yes)

        with Display(name, Console(stderr=True, quiet=not world.leads), note) as display:
            folder = train(
                config,
                out,
                device=device,
                data_dir=options.data_dir,
                resume=options.resume,
                on_start=estimate,
                on_step=display.step,
                stop=interrupt,
            )
        if world.leads and folder.finished:
            print(f"Trained {name}: {out}\nNext: holdfast evaluate {out}")
        elif world.leads:
            print(f"Stopped and saved: {out}\n{that_goes_on(['train', *argv])}")
    return 0 if folder.finished else interrupt.code
