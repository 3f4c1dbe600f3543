"""Time and memory against the number of path points."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from bench.results import Row

COLOURS = ("#444444", "#0072B2", "#D55E00")


def cost_and_memory(rows: list[Row], path: Path) -> Path:
    """Two panels with one line a variant, from rows whose setting ends in ``N steps``."""
    lines: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row in rows:
        lines[row.variant].append((int(row.setting.split()[-2]), row))
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for colour, (variant, points) in zip(COLOURS, lines.items(), strict=False):
        points.sort(key=lambda point: point[0])
        steps = [n for n, _ in points]
        time.plot(steps, [row.seconds for _, row in points], "o-", color=colour, label=variant)
        memory.plot(steps, [row.peak_mib for _, row in points], "o-", color=colour, label=variant)
    for axes, title in ((time, "seconds a gradient"), (memory, "peak memory (MiB)")):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("path points n_steps")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    time.legend(frameon=False)
    figure.suptitle(rows[0].setting.rpartition(",")[0], x=0.01, ha="left", fontsize=10)
    figure.savefig(path, dpi=110)
    return path
