"""The runs of a sweep as tasks of Ray, on this machine or on a cluster (``pip install 'holdfast[ray]'``)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from holdfast.errors import HoldfastError, first_line
from holdfast.sweep.execute import Job, Outcome, Stop, never
from holdfast.sweep.plan import Run

RETRIES = 3
"""How often a run is taken up again after its worker was lost."""
CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.5
PASSED_ON = ("HOLDFAST_DATA", "HOLDFAST_CACHE")


@dataclass(frozen=True)
class Share:
    """What one task takes of a machine: cores (or a fraction of one) and GPUs."""

    cpus: float
    gpus: float
    at_once: int


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[ModuleType]:
    """Ray, connected: to ``address`` (or ``RAY_ADDRESS``), else to a Ray of our own on this machine, ended afterwards.

    Args:
        address: ``host:port`` of the head, ``ray://host:port``, or ``auto`` for one that runs on this machine.

    Raises:
        HoldfastError: Ray is not installed, or nothing answers at ``address``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    try:
        import ray
    except ImportError:
        raise HoldfastError(
            "--executor ray needs Ray, which is not installed: pip install 'holdfast[ray]', or use --executor serial."
        ) from None
    chosen = address or os.environ.get("RAY_ADDRESS")
    try:
        if chosen:
            _knock(chosen)
        ray.init(
            address=chosen or "local",
            include_dashboard=None if chosen else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"the Ray at {chosen} cannot be used" if chosen else "Ray did not start on this machine"
        remedy = "give the head's host:port as --address, or drop --address to run on this machine alone"
        raise HoldfastError(
            f"{where} ({first_line(error)}); {remedy if chosen else 'use --executor serial'}."
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def share_of(
    ray: ModuleType,
    *,
    jobs: int | None = None,
    gpus_per_run: float | None = None,
    device: str = "auto",
) -> Share:
    """How the machines that Ray has are divided: ``jobs`` tasks at once, or as many as GPUs (else cores) allow.

    Raises:
        HoldfastError: no machine has what one task asks for.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(m.get(what, 0.0) for m in machines) for what in ("CPU", "GPU"))
    most_cpus, most_gpus = (max(m.get(what, 0.0) for m in machines) for what in ("CPU", "GPU"))
    if device == "cuda" and not gpus:
        raise HoldfastError("Ray has no GPU; start it where there is one, or choose --device cpu.")
    gpus_each = (1.0 if gpus_per_run is None else gpus_per_run) if gpus and device != "cpu" else 0.0
    if gpus_each > most_gpus:
        raise HoldfastError(f"--gpus-per-run is {gpus_each:g}, but no machine of Ray has more than {most_gpus:g}.")
    at_once = jobs or int(gpus / gpus_each if gpus_each else cpus) or 1
    each = min(cpus / at_once, most_cpus)
    return Share(float(int(each)) if each >= 1 else each, gpus_each, at_once)


def on_ray(ray: ModuleType, job: Job, runs: Sequence[Run], share: Share, stop: Stop = never) -> Iterator[Outcome]:
    """Do ``job`` on each run as a task of Ray; outcomes come as the runs end.

    A task whose worker is lost starts again, up to `RETRIES` times, and goes on from the last checkpoint. The
    folders of the sweep and the data must be the same on every machine. When ``stop`` says so tasks are left with what
    they had saved.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_retries": RETRIES}
    task = ray.remote(_work).options(**options)
    waiting = list(reversed(runs))
    active: dict[Any, Run] = {}
    while waiting or active:
        while waiting and len(active) < share.at_once:
            run = waiting.pop()
            active[task.remote(job, run, max(1, int(share.cpus)), environment)] = run
        ready, _ = ray.wait(list(active), timeout=POLL_SECONDS)
        if stop():
            yield from (Outcome(run, "stopped") for run in (*active.values(), *reversed(waiting)))
            return
        if not ready:
            continue
        done = ready[0]
        run = active.pop(done)
        try:
            yield ray.get(done)
        except ray.exceptions.RayError as error:
            yield Outcome(
                run,
                "failed",
                message=f"its worker was lost {RETRIES + 1} times ({type(error).__name__}: {first_line(error)}); "
                "what it had done is kept: run the same command again, with fewer --jobs if the memory ran out.",
            )


def _work(job: Job, run: Run, threads: int, environment: dict[str, str]) -> Outcome:
    os.environ.update(environment)
    torch.set_num_threads(threads)
    return job(run)
