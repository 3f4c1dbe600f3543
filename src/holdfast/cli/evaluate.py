"""``holdfast evaluate RUN_OR_MODEL [options]``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from holdfast.cli.estimate import announce
from holdfast.cli.parse import parse, take_name, take_profile
from holdfast.errors import HoldfastError
from holdfast.evaluate import EvaluationResult, Protocol, protocol_of
from holdfast.evaluate.standard import EvalConfig, usual_k
from holdfast.part_json import config_hash
from holdfast.recipes import SETUPS, data_of, evaluation, split_name

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
    rank: int | None = None
    """Which share of the batches this process does, of world_size; under torchrun that is its rank."""
    world_size: int | None = None
    """Number of processes that share one --out folder; any number gives the same records."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""
    attribution: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """What is explained by and attacked, in place of integrated gradients. Parts are named
    saliency, 'IntegratedGradients(n_steps=20)', module:Class or file.py:Class."""
    attack: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """One more attack, on predictions or on attributions."""
    metric: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """One more metric."""
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start without a question, however long it will take."""
    export: str | None = None
    """Folder that receives the result as NAME.json and NAME.parquet."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the numbers and the warnings as JSON to standard output and nothing else."""


DESCRIPTION = (
    "holdfast evaluate RUN_OR_MODEL [--profile smoke|laptop|fast|paper] [options]: a folder that holdfast train "
    "wrote or a network of the zoo (mnist/trades-igr), whose own profile sets the defaults, small_cnn, resnet18, "
    "module:factory or file.py:factory (with --dataset and --weights), timm:NAME, hf:ID, a .pt2 or TorchScript file. "
    "On several GPUs: "
    "torchrun --nproc-per-node 4 -m holdfast evaluate RUN_OR_MODEL [options]."
)


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        parse(EvaluateOptions(evaluation("digits")), ["--help"], "evaluate RUN_OR_MODEL", DESCRIPTION)
    spec, rest = take_name(argv, "the run or model", "evaluate", "runs/digits-trades-igr")
    profile, rest = take_profile(rest)

    from rich.console import Console

    from holdfast.cli.progress import Display
    from holdfast.evaluate import evaluate
    from holdfast.train.distributed import ALONE, joined

    named, rest = take_named(rest)
    first = parse(EvaluateOptions(EvalConfig()), rest, f"evaluate {spec}", DESCRIPTION)
    by_hand = first.rank is not None or first.world_size is not None
    with nullcontext(ALONE) if by_hand else joined() as world:
        with world.together():
            job = _prepare(spec, rest, first, profile, world, named)

        def estimate(seconds: float) -> None:
            if world.leads:
                announce(f"the evaluation of {job.name}", seconds, job.device, yes=first.yes)

        with Display(job.name, Console(stderr=True, quiet=not world.leads)) as display:
            result = evaluate(
                job.model,
                job.data,
                job.protocol,
                job.out,
                name=job.name,
                device=job.device,
                on_images=display.images,
                on_start=estimate,
                rank=first.rank,
                world_size=first.world_size,
            )
        if result is None:
            print(f"This shard is done; others have batches left. Records: {job.out}")
        elif world.leads:
            page = result.to_html(job.out / "report.html")
            exported = None if first.export is None else _exported(result, job, Path(first.export).expanduser())
            if first.json:
                print(json.dumps(result.to_dict(), indent=1))
                return
            print(result)
            print(f"Records and summary: {job.out}\nPage: {page}")
            if exported is not None:
                print(f"Result: {exported}")


@dataclass(frozen=True)
class _Job:
    name: str
    model: nn.Module
    data: ImageData
    protocol: Protocol
    out: Path
    device: str
    run: Path | None


def _prepare(
    spec: str,
    rest: Sequence[str],
    first: EvaluateOptions,
    profile: str | None,
    world: World,
    named: Mapping[str, Sequence[str]],
) -> _Job:
    from holdfast.data import load_dataset
    from holdfast.models.find import check_spec, dataset_of, find_model
    from holdfast.validate import pick_device

    kind = check_spec(spec, first.weights)
    run = Path(spec) if kind == "run" else None
    own, own_profile = origin_of(spec, kind)
    given = "--dataset" in rest or any(arg.startswith("--dataset=") for arg in rest)
    dataset = first.config.dataset if given else dataset_of(spec)
    if dataset is None:
        raise HoldfastError(
            f"{spec} is a model without a data set of its own; name one with --dataset, e.g. --dataset mnist."
        )
    data = load_dataset(dataset, first.config.split, data_dir=first.data_dir)
    source = own if own is not None and data_of(own) == dataset else dataset
    defaults = evaluation(source, profile or own_profile)
    if source not in SETUPS and prod(data.shape) < 3 * defaults.ifia.k:
        defaults = replace(defaults, ifia=replace(defaults.ifia, k=usual_k(data.shape)))
    options = parse(EvaluateOptions(defaults), rest, f"evaluate {spec}", DESCRIPTION)
    config = replace(options.config, dataset=dataset)
    device = world.device_of(pick_device(options.device))
    found = find_model(
        spec,
        shape=data.shape,
        num_classes=data.num_classes,
        weights=options.weights,
        checkpoint=options.checkpoint,
    )
    model = found.model.to(device)
    protocol = with_parts(protocol_of(config), named)
    key = config_hash({"protocol": protocol, "checkpoint": options.checkpoint, "weights": options.weights})
    out = Path(options.out).expanduser() if options.out else (run or Path("runs") / found.name) / f"eval-{key}"
    return _Job(found.name, model, data, protocol, out, device, run)


def origin_of(spec: str, kind: str) -> tuple[str | None, str]:
    """The setup and profile that a run or a network of the zoo was trained under; no setup and "paper" of others."""
    from holdfast.models.find import card_of
    from holdfast.train.folder import RunFolder, load_config

    if kind == "run":
        trained = load_config(RunFolder(Path(spec)).config)
        return split_name(trained.recipe)[0], trained.profile
    if kind == "zoo":
        card = card_of(spec)
        return split_name(card["train"]["recipe"])[0], card["profile"]
    return None, "paper"


def take_named(argv: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The parts that ``--attribution``, ``--attack`` and ``--metric`` name, each any number of times, and other words.

    >>> take_named(["--metric", "TopK(k=3)", "--seed", "1", "--metric=file.py:Mine"])
    ({'metric': ['TopK(k=3)', 'file.py:Mine']}, ['--seed', '1'])
    """
    found: dict[str, list[str]] = {}
    rest, words = [], iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        kind = option.removeprefix("--")
        if option not in ("--attribution", "--attack", "--metric"):
            rest.append(word)
            continue
        spec = value if equals else next(words, "")
        if not spec:
            raise HoldfastError(f"{option} is the last word; name a part after it, or file.py:Class.")
        found.setdefault(kind, []).append(spec)
    return found, rest


def with_parts(protocol: Protocol, named: Mapping[str, Sequence[str]]) -> Protocol:
    """A protocol with the attributions that were named in place of its own, and more attacks and metrics.

    A radius or k that is not given is that of the protocol.
    """
    from holdfast.attacks import Attack
    from holdfast.attribution.base import Attribution
    from holdfast.evaluate.protocol import attacks_attributions, by_name, usual_settings
    from holdfast.metrics import Metric

    usual = usual_settings(protocol)
    attacks = by_name(Attack, named.get("attack", ()), usual)
    metrics = by_name(Metric, named.get("metric", ()), usual)
    attributions = by_name(Attribution, named.get("attribution", ()))
    on_maps = {name: attack for name, attack in attacks.items() if attacks_attributions(attack)}
    on_predictions = {name: attack for name, attack in attacks.items() if name not in on_maps}
    return replace(
        protocol,
        predictions={**protocol.predictions, **on_predictions},
        attributions=tuple(attributions.values()) or protocol.attributions,
        attacks={**protocol.attacks, **on_maps},
        metrics=(*protocol.metrics, *(m for m in metrics.values() if m not in protocol.metrics)),
    )


def _exported(result: EvaluationResult, job: _Job, out: Path) -> Path:
    from holdfast.results import export_run, result_of
    from holdfast.results.store import read_run

    return export_run(result_of(result) if job.run is None else read_run(job.run, job.out), out)
