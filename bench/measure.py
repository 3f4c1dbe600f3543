"""Time, FLOPs and peak memory of a callable."""

from __future__ import annotations

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCount(TorchDispatchMode):
    """Counts FLOPs (two a multiply-add) of convolutions and matrix products, in every order of backward."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def flops(call: Callable[[], Any]) -> int:
    """FLOPs of one call."""
    with FlopCount() as counter:
        call()
    return counter.total


def peak_bytes(call: Callable[[], Any]) -> int:
    """Largest amount of tensor memory that one call holds beyond what was held before it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with (
        _silent_stderr(),
        warnings.catch_warnings(action="ignore"),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile,
    ):
        call()
    held = peak = 0
    events = profile.profiler.kineto_results.events()
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call over interleaved rounds, so that a noisy machine is unfair to none."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            _wait()
            start = time.perf_counter()
            call()
            _wait()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def timed(call: Callable[[], Any], times: int) -> float:
    """Seconds of ``times`` calls in a row."""
    _wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    _wait()
    return time.perf_counter() - start


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """The profiler's own chatter goes to the file descriptor, past ``sys.stderr``."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def environment(device: str) -> dict[str, str]:
    """What the numbers were made on."""
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device == "cuda" else _cpu(),
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
