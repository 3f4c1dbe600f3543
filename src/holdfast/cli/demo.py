"""``holdfast demo``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cli.parse import parse


@dataclass(frozen=True)
class DemoOptions:
    out: str = "runs/demo"
    """Folder of the two runs and of report.html."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""


NEXT = (
    "holdfast evaluate {out}/digits-trades-igr --ifia.objective mass_center",
    "holdfast recipes mnist-trades-igr",
    "holdfast train mnist-trades-igr --data.train-size 2000 --optim.epochs 2 --optim.lr 1e-3 --optim.batch-size 32 "
    "--attack.steps 10 --attack.alpha 0.05   # the same on MNIST, in small; HOLDFAST_DATA names your data folder",
)


def run(argv: Sequence[str]) -> None:
    options = parse(DemoOptions(), argv, "demo", "Train TRADES and TRADES+IGR on the digits, attack both, and report.")

    from holdfast.cli.progress import Display
    from holdfast.cli.where import pick_device
    from holdfast.demo import compare, demo_evaluation, demo_recipes
    from holdfast.report import print_document

    out = Path(options.out)
    document, page = compare(
        demo_recipes(),
        demo_evaluation(),
        out,
        watch=Display,
        device=pick_device(options.device),
        commands=["make demo", "holdfast demo"],
    )
    print_document(document)
    print(f"\nReport: {page}\n\nNext:")
    for command in NEXT:
        print(f"  {command.format(out=out)}")
