"""``python -m bench``: print the comparison and store it as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import date
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.igr_step import Row, compare

SETTINGS = (("SmallCNN", 64, 10), ("SmallCNN", 16, 10), ("SmallCNN", 16, 50), ("ResNet18", 8, 5))


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    console = Console(width=120)
    rows: list[Row] = []
    for name, batch, n_steps in SETTINGS:
        console.print(f"{name}, batch {batch}, {n_steps} steps …", style="dim")
        rows += compare(name, batch, n_steps, device=device)
    console.print(_table(rows))
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench-igr-step.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({"environment": environment(device), "rows": [r.to_dict() for r in rows]}, indent=1) + "\n"
    )
    console.print(f"Stored in {out}")


def environment(device: str) -> dict[str, str]:
    """What the numbers were made on."""
    return {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device == "cuda" else _cpu(),
    }


def _cpu() -> str:
    models = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def _table(rows: list[Row]) -> Table:
    table = Table(
        title="Gradient of the IGR penalty (F: one forward pass of one path point)",
        title_justify="left",
        caption="times faster: against plain double backward in the same run. error: relative, against float64.",
    )
    for heading in ("network", "batch", "steps", "variant"):
        table.add_column(heading)
    for heading in ("seconds", "times faster", "F a point", "peak MiB", "error"):
        table.add_column(heading, justify="right")
    for i, row in enumerate(rows):
        table.add_row(
            row.network,
            str(row.batch),
            str(row.n_steps),
            row.variant,
            f"{row.seconds:.3f}",
            f"{row.ratio:.2f}",
            f"{row.flops_per_point:.2f}",
            f"{row.peak_mib:.0f}",
            f"{row.error:.0e}",
            end_section=i % 3 == 2,
        )
    return table


if __name__ == "__main__":
    main()
