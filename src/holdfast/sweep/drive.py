"""A whole plan, from the checks to the last run. Skipped runs come first, the others as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.data import load_dataset
from holdfast.data.catalogue import SPLITS
from holdfast.errors import HoldfastError
from holdfast.evaluate.standard import EvalConfig
from holdfast.files import locked, make_folder, refuse_if_held, write_atomically
from holdfast.part_json import from_json, to_json
from holdfast.parts import differences
from holdfast.recipes import split_name
from holdfast.sweep.execute import Outcome, Silent, Stop, Watch, execute, is_finished, never
from holdfast.sweep.plan import Plan, Run
from holdfast.sweep.processes import in_processes
from holdfast.sweep.ray import on_ray, ray_cluster, share_of


def sweep_here(
    plan: Plan,
    root: Path,
    *,
    jobs: int = 1,
    device: str = "cpu",
    data_dir: str | None = None,
    watch: Watch = Silent,
    deadline: float | None = None,
    stop: Stop = never,
    on_start: Callable[[list[Run]], None] | None = None,
) -> Iterator[Outcome]:
    """Do every run of ``plan`` in ``root`` on this machine.

    Results are bit-identical whatever was killed, skipped or run at once, on a CPU with as many threads a run.

    Args:
        jobs: runs at once; above 1 each has a process of its own and a share of the threads.
        watch: opens a progress display for a title (with one job).
        deadline: seconds since 1970 after which every run is saved and left.
        stop: asked after every step; when it says so every run is saved and left.
        on_start: told what is left to do when all is checked and nothing is written yet; may refuse.

    Raises:
        HoldfastError: at the first step, before anything is written: another sweep's folder, one that another process
            works in, or missing data. A run that fails later is an outcome.
    """
    if jobs < 1:
        raise HoldfastError(f"jobs is {jobs}; it must be at least 1.")
    done, left = _prepare(plan, root, data_dir)
    if on_start is not None:
        on_start(left)
    with locked(root):
        claim(plan, root)
        yield from done
        job = partial(execute, root=root, device=device, data_dir=data_dir, deadline=deadline)
        yield from map(partial(job, watch=watch, stop=stop), left) if jobs == 1 else in_processes(job, left, jobs, stop)


def sweep_on_ray(
    plan: Plan,
    root: Path,
    *,
    address: str | None = None,
    jobs: int | None = None,
    gpus_per_run: float | None = None,
    device: str = "auto",
    data_dir: str | None = None,
    deadline: float | None = None,
    stop: Stop = never,
) -> Iterator[Outcome]:
    """The same as tasks of Ray: of one at ``address``, else of one started here and ended afterwards.

    Args:
        jobs: runs at once; by default as many as the GPUs, else the cores, allow.
        gpus_per_run: a fraction shares a GPU between runs; 1 by default where there are GPUs.
        device: cpu, cuda, or auto for cuda where Ray has GPUs.
        stop: when it says so, tasks are left with what they had saved.

    Raises:
        HoldfastError: as `sweep_here`; Ray is missing, unreachable, or has no machine for such a run.
    """
    done, left = _prepare(plan, root, data_dir)
    if not left:
        yield from done
        return
    with ray_cluster(address) as ray, locked(root):
        share = share_of(ray, jobs=jobs, gpus_per_run=gpus_per_run, device=device)
        claim(plan, root)
        yield from done
        where = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
        place = "cuda" if share.gpus else "cpu"
        job = partial(execute, root=root.resolve(), device=place, data_dir=where, deadline=deadline)
        yield from on_ray(ray, job, left, share, stop)


def _prepare(plan: Plan, root: Path, data_dir: str | None) -> tuple[list[Outcome], list[Run]]:
    """What is done and what is left; its data is loaded once, so that a missing set is found now and decoded once."""
    refuse_if_held(root)
    check_settings(plan, root)
    runs = plan.runs()
    finished = {run.name for run in runs if is_finished(run, root)}
    left = [run for run in runs if run.name not in finished]
    for name in {run.train.data.name: None for run in left}:
        for split in SPLITS:
            load_dataset(name, split, data_dir=data_dir)
    return [Outcome(run, "skipped") for run in runs if run.name in finished], left


FILE = "sweep.json"


@dataclass(frozen=True)
class SweepSettings:
    """What every run of a folder shares."""

    profile: str
    evaluations: dict[str, EvalConfig]
    """How the models of each data set (or other setup) are evaluated."""


def check_settings(plan: Plan, root: Path) -> SweepSettings:
    """The settings of ``root`` once ``plan`` is in it; nothing is written.

    Raises:
        HoldfastError: ``root`` holds something else, or runs whose numbers must not stand beside these.
    """
    wanted = {split_name(run.train.recipe)[0]: run.evaluation for run in plan.runs()}
    stored = root / FILE
    if not stored.is_file():
        strangers = sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) if root.is_dir() else []
        if strangers:
            raise HoldfastError(
                f"{root} is not empty ({', '.join(strangers[:3])}) and holds no sweep; choose another --out."
            )
        return SweepSettings(plan.profile, wanted)
    before = from_json(SweepSettings, stored.read_bytes(), str(stored))
    if before.profile != plan.profile:
        raise HoldfastError(
            f"{root} holds a sweep under the profile {before.profile}, and tables do not mix profiles "
            f"({before.profile} -> {plan.profile}); choose another --out, or --profile {before.profile}."
        )
    for dataset, config in wanted.items():
        changed = differences(before.evaluations.get(dataset, config), config)
        if changed:
            raise HoldfastError(
                f"{root} holds runs that were evaluated on {dataset} with other settings ({'; '.join(changed)}); "
                "numbers made with different attacks do not stand in one table: choose another --out."
            )
    return SweepSettings(plan.profile, before.evaluations | wanted)


def claim(plan: Plan, root: Path) -> None:
    """Check as `check_settings` does, and note in ``root`` what it now holds."""
    settings = check_settings(plan, root)
    make_folder(root)
    write_atomically(root / FILE, to_json(settings))
