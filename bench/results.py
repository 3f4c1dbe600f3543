"""One row of any benchmark, and a round of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.measure import flops, peak_bytes, seconds


@dataclass(frozen=True)
class Row:
    """One variant of one setting.

    ``ratio`` is the time of the setting's first variant over its own. ``cost`` counts forward passes of one
    image (or path point, as ``unit`` says); it, ``peak_mib`` and ``error`` are None where not measured.
    """

    group: str
    setting: str
    variant: str
    seconds: float
    ratio: float
    cost: float | None = None
    peak_mib: float | None = None
    error: float | None = None
    note: str = ""


def race(
    group: str,
    setting: str,
    calls: dict[str, Callable[[], Any]],
    *,
    rounds: int = 3,
    forward: int | None = None,
    memory: bool = False,
    errors: dict[str, float] | None = None,
    notes: dict[str, str] | None = None,
) -> list[Row]:
    """Time the calls side by side; count FLOPs in units of ``forward`` and peak memory where asked."""
    times = seconds(calls, rounds)
    first = next(iter(times.values()))
    return [
        Row(
            group,
            setting,
            name,
            times[name],
            first / times[name],
            None if forward is None else flops(call) / forward,
            peak_bytes(call) / 2**20 if memory else None,
            (errors or {}).get(name),
            (notes or {}).get(name, ""),
        )
        for name, call in calls.items()
    ]
