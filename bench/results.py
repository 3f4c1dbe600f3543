"""One row of any benchmark, and a round of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bench.measure import flops, peak_bytes, seconds
from holdfast.report.document import Document, Section
from holdfast.report.table import MISSING, Column, Table
from holdfast.report.table import Row as Line


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


HEADINGS = ("seconds", "times faster", "cost (F)", "peak MiB", "error", "note")


def table_of(rows: Sequence[Row]) -> Table:
    """The variants of one setting."""
    lines = tuple(Line(row.variant, cells(row)) for row in rows)
    columns = tuple(Column(heading, heading) for heading in HEADINGS)
    return Table("", f"{rows[0].group}: {rows[0].setting}", columns, lines, first="variant")


def document_of(rows: Sequence[Row], where: Mapping[str, str]) -> Document:
    """All tables, with what they were made on."""
    made = f"Measured on {where['device']}; torch {where['torch']}, Python {where['python']}, {where['date']}."
    parts = groupby(rows, key=lambda row: (row.group, row.setting))
    tables = tuple(table_of(list(part)) for _, part in parts)
    return Document("Time, cost and memory", made, (Section("", tables),))


def cells(row: Row) -> tuple[str, ...]:
    """A row as printed: seconds, times faster, cost, peak memory, error, note."""
    return (
        f"{row.seconds:.4f}" if row.seconds < 0.1 else f"{row.seconds:.2f}",
        f"{row.ratio:.2f}",
        MISSING if row.cost is None else f"{row.cost:.2f}",
        MISSING if row.peak_mib is None else f"{row.peak_mib:.0f}",
        MISSING if row.error is None else f"{row.error:.0e}",
        row.note,
    )
