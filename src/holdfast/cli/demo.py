"""``holdfast demo``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.cli.parse import parse
from holdfast.errors import HoldfastError


@dataclass(frozen=True)
class DemoOptions:
    zoo: Literal["mnist", "fashion_mnist"] | None = None
    """Attack the networks for this data set that come with the package, and train nothing."""
    out: str | None = None
    """Folder of the runs and of report.html; runs/demo by default (runs/demo-mnist with --zoo mnist)."""
    jobs: int = 2
    """Networks at once; 1 shows how each gets on. The numbers are the same."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    data_dir: str | None = None
    """Where the data of --zoo lies (before HOLDFAST_DATA and the Hub)."""


NEXT = (
    "holdfast evaluate {out}/digits-trades-igr --attribution saliency",
    "holdfast recipes mnist-trades-igr",
    "holdfast audit mnist/trades-igr mnist   # a network that comes with the package; or your own: file.py:factory",
)
DESCRIPTION = "Train an undefended network, TRADES and TRADES+IGR on the digits, attack all three, and report."


def run(argv: Sequence[str]) -> None:
    options = parse(DemoOptions(), argv, "demo", DESCRIPTION)
    if options.jobs < 1:
        raise HoldfastError(f"--jobs is {options.jobs}; it must be at least 1.")

    from holdfast.cli.progress import Display
    from holdfast.demo import DIGITS, compare, compare_zoo, demo_recipes
    from holdfast.report import print_document
    from holdfast.validate import pick_device

    out = Path(options.out or f"runs/demo{f'-{options.zoo}' if options.zoo else ''}").expanduser()
    commands = [shlex.join(["holdfast", "demo", *argv])]
    if options.zoo:
        document, page = compare_zoo(options.zoo, out, watch=Display, data_dir=options.data_dir, commands=commands)
    else:
        device = pick_device(options.device)
        jobs = options.jobs if device == "cpu" else 1
        if jobs > 1:
            print(f"holdfast: three networks, {jobs} at once: some minutes on two cores.", file=sys.stderr)
        document, page = compare(
            demo_recipes(), DIGITS, out, watch=Display, jobs=jobs, device=device, commands=["make demo", *commands]
        )
    print_document(document)
    print(f"\nReport: {page}; the picture: {out / 'attributions.png'}")
    if not options.zoo:
        print("\n".join(["\nNext:", *(f"  {command.format(out=out)}" for command in NEXT)]))
