"""``holdfast leaderboard [RESULTS...]``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from holdfast.cli.parse import parse
from holdfast.cli.report import take_paths

COMMITTED = Path("results/laptop")


@dataclass(frozen=True)
class LeaderboardOptions:
    out: str = "runs/leaderboard.html"
    """The page."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the answer alone."""


DESCRIPTION = (
    "holdfast leaderboard [RESULTS ...]: one sortable page of every network, by data set, explanation and attack. "
    f"RESULTS are folders of exported results ({COMMITTED} by default), single files, or runs."
)


def run(argv: Sequence[str]) -> None:
    paths, rest = take_paths(argv)
    options = parse(LeaderboardOptions(), rest, "leaderboard [RESULTS...]", DESCRIPTION)

    from holdfast.report.leaderboard import leaderboard
    from holdfast.results.store import results_at

    results = [result for path in paths or [COMMITTED] for result in results_at(path)]
    document = leaderboard(results, [shlex.join(["holdfast", "leaderboard", *argv])])
    document.to_html(options.out)
    print(document.answer if options.quiet else f"{document.answer}\nPage: {options.out}")
