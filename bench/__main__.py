"""``python -m bench [--out FILE.json] [--only GROUP]``: the suite, a table, a plot, and JSON; ``bench contest``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from bench import attacks, contest_page, gpu, igr_step, kendall, training_step
from bench.measure import environment
from bench.plot import cost_and_memory
from bench.results import Row, document_of, table_of
from holdfast.models.arithmetic import float32_products
from holdfast.report.terminal import numbers_grid

Part = Callable[[], list[Row]]
SWEEP = (2, 5, 10, 20, 50)


def parts(device: str, *, full: bool = False) -> Iterator[tuple[str, Part]]:
    """The suite in order, each part some seconds on two cores; ``full`` adds what takes minutes."""
    step = partial(igr_step.compare, device=device)
    yield "igr", partial(step, "SmallCNN", 64, 10, jvp=True, points=(64, 19), rounds=2)
    yield "igr", partial(step, "ResNet18", 4, 10, jvp=True, points=(64, 19), rounds=1)
    yield "igr", partial(step, "ViT", 8, 10, rounds=2)
    yield "igr", partial(step, "ImageNet", 1, 5, points=(4,), rounds=1)
    for n_steps in SWEEP:
        yield "sweep", partial(step, "SmallCNN", 8, n_steps, rounds=2)
    if full:
        yield "sweep", partial(step, "SmallCNN", 64, 50, rounds=1)
        yield "large", partial(step, "ResNet18", 64, 10, points=(19,), rounds=1)
    yield "values", partial(igr_step.values, "SmallCNN", 32, 50, device=device)
    yield "attacks", partial(attacks.pgd, device=device)
    yield "attacks", partial(attacks.ifia, "SmallCNN", 100, device=device)
    yield "attacks", partial(attacks.ifia, "ResNet18", 16, steps=2, k=1000, rounds=1, device=device)
    yield "attacks", partial(attacks.softplus_cost, device=device)
    for features in (784, 3072):
        yield "kendall", partial(kendall.kendall, features, device=device)
    if device != "cpu":
        yield "kendall", partial(kendall.kendall, 3072, pairs=1000, device=device, peers=False)
    yield "training", partial(training_step.training_step, "SmallCNN", 16, device=device)
    for steps in (5, 10):
        yield "share", partial(training_step.share_of_batch, "SmallCNN", 64, steps, device=device)
    if full:
        yield "training", partial(training_step.training_step, "ResNet18", 4, steps=2, device=device)
    if device != "cpu":
        for name in ("SmallCNN", "ResNet18"):
            yield "blocks", partial(gpu.block_sizes, name, device)
            yield "epoch", partial(gpu.epoch, name, device)
            yield "long-ifia", partial(gpu.long_ifia, name, device)


def main() -> None:
    arguments = argparse.ArgumentParser(
        prog="python -m bench", description="Benchmarks beside the usual ways and peers."
    )
    arguments.add_argument("--out", default="runs/bench/bench.json", help="JSON file; bench.png lands beside it")
    arguments.add_argument("--full", action="store_true", help="also what takes minutes a row")
    arguments.add_argument(
        "--only", choices=sorted({name for name, _ in parts("cuda", full=True)}), help="one group alone"
    )
    options = arguments.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    console = Console(width=140)
    rows: list[Row] = []
    for name, part in parts(device, full=options.full):
        if options.only in (None, name):
            with float32_products(tf32=False):
                done = part()
            console.print(numbers_grid(table_of(done)))
            rows += done
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    where = environment(device)
    found = {"environment": where, "rows": [asdict(row) for row in rows]}
    out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    document = document_of(rows, where)
    out.with_suffix(".md").write_text(document.to_markdown())
    document.to_html(out.with_suffix(".html"))
    console.print(f"Stored in {out}, beside it as .md and .html")
    swept = [row for row in rows if row.setting.startswith("SmallCNN, B = 8,")]
    if swept:
        console.print(f"Plot: {cost_and_memory(swept, out.with_suffix('.png'))}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["contest"]:
        contest_page.main(sys.argv[2:])
    else:
        main()
