"""Several runs at once on this machine, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import torch

from holdfast.sweep.execute import Job, Outcome, Stop, never
from holdfast.sweep.plan import Run

POLL_SECONDS = 0.2


def in_processes(job: Job, runs: Sequence[Run], jobs: int, stop: Stop = never) -> Iterator[Outcome]:
    """Do ``job`` on each run, ``jobs`` of them at a time, in new processes that share out the threads of this one.

    Outcomes come as the runs end. A process that is killed fails its own run alone; when this process ends,
    even by SIGKILL, its children do too. When ``stop`` says so they save what they have and end. Starting a process
    costs some seconds.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // max(1, min(jobs, len(runs))))
    asked = context.Event()
    waiting = list(reversed(runs))
    active: dict[Connection, tuple[SpawnProcess, Run]] = {}
    try:
        while waiting or active:
            if stop() and not asked.is_set():
                asked.set()
                yield from (Outcome(waiting.pop(), "stopped") for _ in range(len(waiting)))
            while waiting and len(active) < jobs:
                run = waiting.pop()
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, run, threads, asked, theirs), daemon=True)
                process.start()
                theirs.close()
                active[mine] = process, run
            for pipe in wait(list(active), timeout=POLL_SECONDS):
                assert isinstance(pipe, Connection)
                process, run = active.pop(pipe)
                yield _outcome(pipe, process, run)
    finally:
        for process, _ in active.values():
            process.kill()
            process.join()


def _outcome(pipe: Connection, process: SpawnProcess, run: Run) -> Outcome:
    with pipe:
        try:
            outcome: Outcome | None = pipe.recv()
        except EOFError:
            outcome = None
    process.join()
    if outcome is not None:
        return outcome
    message = (
        f"its process died ({_cause(process.exitcode)}); what it had done is kept: run the same command again, "
        "with fewer --jobs if the memory ran out."
    )
    return Outcome(run, "failed", message=message)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit code {exitcode}"


def _work(job: Job, run: Run, threads: int, asked: Event, pipe: Connection) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent asks its children to end
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    pipe.send(job(run, stop=asked.is_set))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
