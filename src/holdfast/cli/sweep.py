"""``holdfast sweep PLAN [options]``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from holdfast.cli.estimate import Work, announce, estimated_seconds
from holdfast.cli.interrupt import Interrupt, that_goes_on
from holdfast.cli.parse import known_profile, parse, seconds_of, take_name, whole_numbers, words
from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError
from holdfast.report.words import counted, duration
from holdfast.sweep.plan import PLANS, Plan, Run, load_plan

if TYPE_CHECKING:
    from holdfast.sweep.execute import Outcome


@dataclass(frozen=True)
class SweepOptions:
    out: str | None = None
    """Folder of the sweep; runs/sweep-PROFILE by default. The same command goes on where it stopped."""
    profile: str | None = None
    """smoke, laptop, fast or paper (the default of a named plan)."""
    datasets: str | None = None
    """Comma-separated; smoke: digits, else mnist,fashion_mnist,cifar10."""
    methods: str | None = None
    """Comma-separated methods in place of the plan's; holdfast recipes lists them."""
    seeds: str | None = None
    """Comma-separated; 0 by default."""
    time_limit: str | None = None
    """Stop cleanly after so long, e.g. 90s, 30m, 2h, 1d."""
    executor: Literal["serial", "ray"] = "serial"
    """serial: on this machine without Ray; ray: tasks of Ray, here or on a cluster."""
    jobs: int | None = None
    """Runs at once, the cores shared out. serial: 1; ray: as many as its GPUs, else its cores, allow."""
    address: str | None = None
    """Ray: host:port of the head, or auto for one that runs here; without it (and RAY_ADDRESS) one is started."""
    gpus_per_run: float | None = None
    """Ray: GPUs of one run, e.g. 0.5 to run two on each; 1 where there are GPUs."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only list the runs, what each costs and how far it is."""
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start without a question, however long it takes."""


DESCRIPTION = (
    f"holdfast sweep PLAN [options]: train and evaluate many recipes. PLAN is {', '.join(PLANS)}, or a JSON file with "
    "methods, datasets, seeds and profile."
)


def run(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        parse(SweepOptions(), ["--help"], "sweep PLAN", DESCRIPTION)
    spec, rest = take_name(argv, "the plan", "sweep", "core --profile smoke")
    options = parse(SweepOptions(), rest, f"sweep {spec}", DESCRIPTION)
    _check(options)
    limit = seconds_of(options.time_limit)
    plan = load_plan(
        spec,
        profile=known_profile(options.profile),
        datasets=words(options.datasets),
        methods=words(options.methods),
        seeds=whole_numbers("--seeds", options.seeds),
    )
    root = Path(options.out or f"runs/sweep-{plan.profile}").expanduser()
    if options.dry_run:
        _list(plan, root)
        return 0
    with Interrupt() as interrupt:
        outcomes = _start(plan, root, options, None if limit is None else time.time() + limit, interrupt)
        _report(outcomes, len(plan.runs()), root, that_goes_on(["sweep", *argv]))
    return interrupt.code


def _start(plan: Plan, root: Path, options: SweepOptions, deadline: float | None, stop: Interrupt) -> Iterator[Outcome]:
    from holdfast.cli.progress import Display
    from holdfast.sweep.drive import sweep_here, sweep_on_ray
    from holdfast.validate import pick_device

    if options.executor == "ray":
        return sweep_on_ray(
            plan,
            root,
            address=options.address,
            jobs=options.jobs,
            gpus_per_run=options.gpus_per_run,
            device=options.device,
            data_dir=options.data_dir,
            deadline=deadline,
            stop=stop,
        )
    device = pick_device(options.device)

    def estimate(left: list[Run]) -> None:
        announce(
            f"this sweep ({counted(len(left), 'run')})", estimated_seconds(_work(left), device), device, yes=options.yes
        )

    return sweep_here(
        plan,
        root,
        jobs=options.jobs or 1,
        device=device,
        data_dir=options.data_dir,
        watch=Display,
        deadline=deadline,
        stop=stop,
        on_start=estimate,
    )


def _work(runs: Sequence[Run]) -> list[Work]:
    """What runs cost, as far as the sizes of their data are known in advance."""
    known = [(run, KNOWN[name]) for run in runs if (name := canonical_name(run.train.data.name)) in KNOWN]
    return [(run.train.model, data.shape, run.cost or 0) for run, data in known]


def _report(outcomes: Iterator[Outcome], total: int, root: Path, command: str) -> None:
    """A line a run as it ends, then what there is, what failed and how to go on; raises if runs failed."""
    counts: Counter[str] = Counter()
    failed = []
    for n, outcome in enumerate(outcomes, 1):
        counts[outcome.status] += 1
        took = f" in {duration(outcome.seconds)}" if outcome.seconds else ""
        why = f": {outcome.message}" if outcome.message else ""
        print(f"[{n}/{total}] {outcome.run.title}: {outcome.status}{took}{why}", flush=True)
        if outcome.status == "failed":
            failed.append(outcome)
    left = counts["stopped"]
    print(
        f"{counts['finished']} finished, {counts['skipped']} skipped (finished before), {counts['failed']} failed, "
        f"{left} left. Folder: {root}"
    )
    if left or failed:
        print(command)
    if failed:
        names = "; ".join(f"{outcome.run.title} ({outcome.message})" for outcome in failed)
        raise HoldfastError(f"{len(failed)} of {counted(total, 'run')} failed: {names}")


def _list(plan: Plan, root: Path) -> None:
    from rich.console import Console

    from holdfast.report.terminal import print_listing
    from holdfast.sweep.drive import check_settings
    from holdfast.sweep.execute import state_of

    check_settings(plan, root)
    runs = plan.runs()
    states = [state_of(run, root) for run in runs]
    rows = [(run.title, _cost([run]), state, run.name) for run, state in zip(runs, states, strict=True)]
    title = f"{root} (F: one forward pass of one image)"
    print_listing(title, ("run", "F", "state", "folder"), rows, Console())
    left = [run for run, state in zip(runs, states, strict=True) if state != "finished"]
    print(f"{counted(len(runs), 'run')}, {len(left)} of them not finished: {_cost(left)} F at most.")


def _cost(runs: Sequence[Run]) -> str:
    costs = [run.cost for run in runs]
    known = sum(cost for cost in costs if cost is not None)
    return f"{known:.2e}" if None not in costs else f"{known:.2e} + ?" if known else "?"


def _check(options: SweepOptions) -> None:
    """Raise on options that do not fit together."""
    for name, value in (
        ("--jobs", options.jobs),
        ("--gpus-per-run", options.gpus_per_run),
    ):
        if value is not None and not 0 < value < float("inf"):
            raise HoldfastError(f"{name} is {value}; it must be more than 0.")
    if options.executor == "serial":
        for name, given in (("--address", options.address), ("--gpus-per-run", options.gpus_per_run)):
            if given is not None:
                raise HoldfastError(f"{name} {given} is for Ray alone; add --executor ray, or drop {name}.")
    elif options.device not in ("auto", "cpu", "cuda"):
        raise HoldfastError(f"--device is {options.device}, but Ray hands out the GPUs; choose cpu, cuda or auto.")
