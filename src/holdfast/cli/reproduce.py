"""``holdfast reproduce WHAT [options]``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from holdfast.cli.estimate import ask
from holdfast.cli.parse import known_profile, parse, take_name, whole_numbers, words
from holdfast.paper.targets import TARGETS, parts_of


@dataclass(frozen=True)
class ReproduceOptions:
    profile: str | None = None
    """smoke, laptop, fast or paper (the default; with --results: theirs)."""
    datasets: str | None = None
    """Comma-separated; smoke: digits, laptop: mnist,fashion_mnist, else mnist,fashion_mnist,cifar10."""
    seeds: str | None = None
    """Comma-separated; 0 by default (with --results: all of theirs)."""
    out: str | None = None
    """Folder of the tables and figures; runs/reproduce-PROFILE by default. The same command goes on where it
    stopped."""
    results: str | None = None
    """Render from the results in this folder, e.g. results/laptop, and train nothing."""
    runs: str | None = None
    """Folder of the sweep with the runs and their weights; OUT/runs by default."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start runs of more than an hour without asking."""


DESCRIPTION = (
    "holdfast reproduce WHAT [options]: make the paper's tables, figures and statements again, with a verdict a claim. "
    f"WHAT is {', '.join(TARGETS)}, or several of these with commas."
)


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        parse(ReproduceOptions(), ["--help"], "reproduce WHAT", DESCRIPTION)
    target, rest = take_name(argv, "what to reproduce", "reproduce", "all --profile smoke")
    parts_of(target)
    options = parse(ReproduceOptions(), rest, f"reproduce {target}", DESCRIPTION)
    known_profile(options.profile)
    seeds = whole_numbers("--seeds", options.seeds)

    from holdfast.cli.progress import Display
    from holdfast.paper.make import Request, reproduce
    from holdfast.report.terminal import print_document
    from holdfast.validate import pick_device

    named = options.profile or ("results" if options.results else "paper")
    out = Path(options.out or f"runs/reproduce-{named}").expanduser()
    request = Request(
        target=target,
        out=out,
        profile=options.profile,
        datasets=words(options.datasets),
        seeds=seeds,
        results=Path(options.results).expanduser() if options.results else None,
        runs=Path(options.runs).expanduser() if options.runs else None,
        device=pick_device(options.device),
        data_dir=options.data_dir,
    )
    command = f"holdfast reproduce {shlex.join(argv)}"
    document = reproduce(
        request, watch=Display, command=command, on_start=lambda seconds: ask(seconds, yes=options.yes)
    )
    print_document(document)
    print(f"Tables, figures and verdicts: {out}" + (f"; all on one page: {out}/index.html" if target == "all" else ""))
