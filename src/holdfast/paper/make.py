"""``holdfast reproduce``: run what is missing, keep the results as small files, and make the parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError, unknown_name
from holdfast.files import locked, refuse_if_held
from holdfast.models.resolve import seconds_per_forward
from holdfast.paper.overview import overview
from holdfast.paper.study import Study
from holdfast.paper.targets import default_datasets, parts_of, plans_of
from holdfast.recipes import METHODS, PROFILES, data_of
from holdfast.report.document import Document
from holdfast.report.words import duration, listed
from holdfast.report.write import write_files
from holdfast.results import RunResult, export_run, load_results
from holdfast.results.store import read_run
from holdfast.sweep.drive import sweep_here
from holdfast.sweep.execute import Silent, Watch, is_finished
from holdfast.sweep.plan import Plan, Run

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to reproduce, and where; None stands for the default of the profile, or of the results.

    ``results`` renders from the results there and trains nothing. ``runs`` is the folder of the sweep.
    """

    target: str
    out: Path
    profile: str | None = None
    datasets: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    results: Path | None = None
    runs: Path | None = None
    device: str = "cpu"
    data_dir: str | None = None


def reproduce(
    request: Request,
    *,
    watch: Watch = Silent,
    say: Say = print,
    command: str = "",
    on_start: Callable[[float], None] | None = None,
) -> Document:
    """Make one target, several or all, and write their tables and figures under ``request.out``.

    Runs that are finished are not done again; all of them are kept as small files in ``out/results``. The
    target "all" also writes ``index.html``.

    Args:
        watch: opens a progress display for a run.
        say: told what is to be done and how long it will take, and how each run ended.
        on_start: told the estimated seconds of the runs that are to be done, infinite where they cannot be told.

    Raises:
        HoldfastError: an unknown target, profile or data set; results of other settings; a run that failed; a folder
            that another process works in.
    """
    parts = parts_of(request.target)
    if request.profile is not None and request.profile not in PROFILES:
        raise unknown_name("profile", request.profile, PROFILES)
    refuse_if_held(request.out)
    known = _from_results(request) if request.results else None
    wanted = _Wanted() if known else _wanted(request, parts, say, on_start)
    with locked(request.out):
        study = known or _from_runs(request, wanted, watch, say)
        document = overview(study, parts, [command] if command else [])
        write_files(document, request.out)
        if request.target == "all":
            document.to_html(request.out / "index.html")
    return document


def _from_results(request: Request) -> Study:
    assert request.results is not None
    if not request.results.is_dir():
        raise HoldfastError(f"{request.results} does not exist; give a folder of results, or drop --results to run.")
    found = load_results(request.results)
    if not found:
        raise HoldfastError(f"{request.results} holds no results; give another folder, or drop --results to run.")
    profiles = {result.train.profile for result in found}
    profile = request.profile or found[0].train.profile
    if profiles != {profile}:
        others = listed(sorted(profiles - {profile}))
        raise HoldfastError(
            f"{request.results} holds results under the profile {others}, not {profile} alone; tables do not mix "
            "profiles: choose another --profile, or keep them in folders of their own."
        )
    known = list(dict.fromkeys(result.dataset for result in found))
    datasets = tuple(map(canonical_name, request.datasets)) if request.datasets else _in_order(known, profile)
    for dataset in datasets:
        if dataset not in known:
            raise unknown_name(f"data set in {request.results}", dataset, known)
    seeds = request.seeds or tuple(sorted({result.seed for result in found}))
    chosen = tuple(r for r in found if r.dataset in datasets and r.seed in seeds)
    if not chosen:
        have = listed(sorted({result.seed for result in found}))
        raise HoldfastError(f"{request.results} holds no results of seed {listed(seeds)}; it has {have}.")
    return Study(
        profile, datasets, seeds, chosen, request.out, request.runs or request.out / "runs", request.device,
        request.data_dir,
    )  # fmt: skip


def _in_order(datasets: Sequence[str], profile: str) -> tuple[str, ...]:
    """Data sets in the order of the profile's own, a setup of one in its place, others after them."""
    own = default_datasets(profile)

    def place(name: str) -> int:
        return own.index(data_of(name)) if data_of(name) in own else len(own)

    return tuple(sorted(datasets, key=place))


@dataclass(frozen=True)
class _Wanted:
    """What is to be run, and whatever stands beside it."""

    plans: tuple[Plan, ...] = ()
    left: tuple[Run, ...] = ()
    runs: int = 0


def _settings(request: Request) -> tuple[str, tuple[str, ...], tuple[int, ...], Path]:
    """Profile, data sets, seeds and folder of the runs."""
    profile = request.profile or "paper"
    datasets = tuple(map(canonical_name, request.datasets or default_datasets(profile)))
    return profile, datasets, request.seeds or (0,), request.runs or request.out / "runs"


def _wanted(request: Request, parts: Sequence[str], say: Say, on_start: Callable[[float], None] | None) -> _Wanted:
    profile, datasets, seeds, root = _settings(request)
    Plan(tuple(METHODS)[:1], datasets, seeds, profile)  # raises on a name that no plan could have
    plans = plans_of(parts, profile, datasets, seeds)
    runs = list(dict.fromkeys(run for plan in plans for run in plan.runs()))
    left = [run for run in runs if not is_finished(run, root)]
    if runs:
        seconds, words = estimate(left, request.device)
        say(f"{len(runs)} runs, {len(left)} of them to do{words}")
        if on_start is not None:
            on_start(seconds)
    return _Wanted(tuple(plans), tuple(left), len(runs))


def _from_runs(request: Request, wanted: _Wanted, watch: Watch, say: Say) -> Study:
    profile, datasets, seeds, root = _settings(request)
    results = request.out / "results"
    if wanted.left:
        _do(wanted.plans, wanted.runs, root, results, request, watch, say)
    beside = Plan(tuple(METHODS), datasets, seeds, profile).runs() if wanted.runs else []
    found = [_export(run, root, results) for run in beside if is_finished(run, root)]
    return Study(profile, datasets, seeds, tuple(found), request.out, root, request.device, request.data_dir)


def _do(plans: Sequence[Plan], runs: int, root: Path, results: Path, request: Request, watch: Watch, say: Say) -> None:
    """Run what is not finished, and keep each result as soon as it is there."""
    failed = []
    for plan in plans:
        for outcome in sweep_here(plan, root, device=request.device, data_dir=request.data_dir, watch=watch):
            if outcome.status == "finished":
                _export(outcome.run, root, results)
                say(f"{outcome.run.title}: finished in {duration(outcome.seconds)}")
            elif outcome.status == "failed":
                failed.append(f"{outcome.run.title} ({outcome.message})")
    if failed:
        raise HoldfastError(
            f"{len(failed)} of {runs} runs failed: {'; '.join(failed)} What is finished is kept: run the same "
            "command again to go on."
        )


def _export(run: Run, root: Path, results: Path) -> RunResult:
    folder = root / run.name
    result = read_run(folder, folder / run.evaluation_name)
    export_run(result, results)
    return result


def estimate(runs: Sequence[Run], device: str) -> tuple[float, str]:
    """About how long some runs take here, in seconds and in words: their forward passes times the measured time of one.

    Infinite where it cannot be told.
    """
    if not runs:
        return 0.0, "."
    known = [KNOWN.get(canonical_name(run.train.data.name)) for run in runs]
    seconds: dict[str, float] = {}
    passes = total = 0.0
    for run, data in zip(runs, known, strict=True):
        if data is None or run.cost is None:
            return math.inf, "; how long they take cannot be told for a data set of unknown size."
        if data.name not in seconds:
            seconds[data.name] = seconds_per_forward(run.train.model, data.shape, device, len(data.classes))
        passes += run.cost
        total += run.cost * seconds[data.name]
    timed = ", ".join(f"{1e3 * value:.2g} ms an image of {name}" for name, value in seconds.items())
    return total, f": about {duration(total)} here ({passes:.1e} forward passes, {timed})."
