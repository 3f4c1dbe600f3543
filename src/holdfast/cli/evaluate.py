"""``holdfast evaluate RUN_OR_MODEL [options]``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from holdfast.cli.parse import parse, take_name, take_profile
from holdfast.config import PLAIN, Acceleration, EvalConfig, config_hash
from holdfast.errors import HoldfastError
from holdfast.recipes import evaluation

if TYPE_CHECKING:
    from torch import nn

    from holdfast.data.image_data import ImageData
    from holdfast.train.distributed import World


@dataclass(frozen=True)
class EvaluateOptions:
    config: Annotated[EvalConfig, tyro.conf.arg(name="")]
    weights: str | None = None
    """State dict (.safetensors or .pt) for a model given by name or factory."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights of a run: after the last epoch, or best on validation."""
    out: str | None = None
    """Folder of the records; RUN/eval-HASH by default."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    acceleration: Annotated[Acceleration, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff] = PLAIN
    rank: int | None = None
    """Which share of the batches this process does, of world_size; under torchrun that is its rank."""
    world_size: int | None = None
    """Number of processes that share one --out folder; any number gives the same records."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""


DESCRIPTION = (
    "holdfast evaluate RUN_OR_MODEL [--profile smoke|laptop|fast|paper] [options]: a folder that holdfast train "
    "wrote (its own profile sets the defaults), small_cnn, resnet18, "
    "module:factory or file.py:factory (with --dataset and --weights). On several GPUs: "
    "torchrun --nproc-per-node 4 -m holdfast evaluate RUN_OR_MODEL [options]."
)


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        parse(EvaluateOptions(evaluation("digits")), ["--help"], "evaluate RUN_OR_MODEL", DESCRIPTION)
    spec, rest = take_name(argv, "the run or model", "evaluate", "runs/digits-trades-igr")
    profile, rest = take_profile(rest)

    from rich.console import Console

    from holdfast.cli.progress import Display
    from holdfast.cli.where import acceleration
    from holdfast.evaluate import evaluate
    from holdfast.train.distributed import ALONE, joined

    first = parse(EvaluateOptions(EvalConfig()), rest, f"evaluate {spec}", DESCRIPTION)
    by_hand = first.rank is not None or first.world_size is not None
    with nullcontext(ALONE) if by_hand else joined() as world:
        with world.together():
            job = _prepare(spec, rest, first, profile, world)
            faster = acceleration(first.acceleration, job.device)
        with faster, Display(job.name, Console(stderr=True, quiet=not world.leads)) as display:
            summary = evaluate(
                job.model,
                job.data,
                job.config,
                job.out,
                device=job.device,
                on_batch=display.batch,
                rank=first.rank,
                world_size=first.world_size,
            )
        if summary is None:
            print(f"This shard is done; others have batches left. Records: {job.out}")
        elif world.leads:
            _show(job.name, job.config.dataset, summary.to_dict(), job.out)
            print(f"Records, summary and page: {job.out}")


@dataclass(frozen=True)
class _Job:
    name: str
    model: nn.Module
    data: ImageData
    config: EvalConfig
    out: Path
    device: str


def _prepare(spec: str, rest: Sequence[str], first: EvaluateOptions, profile: str | None, world: World) -> _Job:
    from holdfast.cli.where import pick_device
    from holdfast.data import load_dataset
    from holdfast.evaluate.target import resolve_target

    target = resolve_target(spec, checkpoint=first.checkpoint, weights=first.weights)
    named = "--dataset" in rest or any(arg.startswith("--dataset=") for arg in rest)
    dataset = first.config.dataset if named else target.dataset
    if dataset is None:
        raise HoldfastError(
            f"{spec} is a model without a data set of its own; name one with --dataset, e.g. --dataset mnist."
        )
    options = parse(
        EvaluateOptions(evaluation(dataset, profile or target.profile)), rest, f"evaluate {spec}", DESCRIPTION
    )
    config = replace(options.config, dataset=dataset)
    device = world.device_of(pick_device(options.device))
    data = load_dataset(dataset, config.split, data_dir=options.data_dir)
    model = target.load(data, device)
    key = config_hash({"config": config_hash(config), "checkpoint": options.checkpoint, "weights": options.weights})
    out = Path(options.out) if options.out else target.folder / f"eval-{key}"
    return _Job(target.name, model, data, config, out, device)


def _show(name: str, dataset: str, summary: dict, out: Path) -> None:
    from holdfast.report import Document, Section, print_document, results_table

    table = results_table({name: summary}, dataset)
    document = Document(f"{name} on {dataset}", "", (Section("", (table,)),), warnings=tuple(summary["warnings"]))
    print_document(document)
    document.to_html(out / "report.html")
