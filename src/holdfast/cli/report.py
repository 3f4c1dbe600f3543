"""``holdfast report RUN...``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from holdfast.cli.parse import parse
from holdfast.errors import HoldfastError


@dataclass(frozen=True)
class ReportOptions:
    out: str = "runs/report"
    """Folder that receives report.html and table.md."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the numbers, and the paired differences to the first, as JSON and nothing else."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the answer alone."""


DESCRIPTION = (
    "holdfast report RUN [RUN ...]: compare evaluated runs in one table and on one page, each with the first, image by "
    "image. RUN is a folder of holdfast train, one of holdfast evaluate, or a file that --export wrote."
)


def take_paths(argv: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The words before the first option, and the rest.

    >>> take_paths(["runs/a", "runs/b", "--quiet"])
    ([PosixPath('runs/a'), PosixPath('runs/b')], ['--quiet'])
    """
    count = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    return [Path(word) for word in argv[:count]], list(argv[count:])


def run(argv: Sequence[str]) -> None:
    paths, rest = take_paths(argv)
    options = parse(ReportOptions(), rest, "report RUN...", DESCRIPTION)
    if not paths:
        raise HoldfastError("the runs are missing; for example: holdfast report runs/digits-at runs/digits-at-igr.")

    from holdfast.report import compare_results, print_document
    from holdfast.report.words import dataset_title
    from holdfast.report.write import write_report
    from holdfast.results.store import refuse_unlike, results_at, titled

    results = titled((path.name, result) for path in paths for result in results_at(path))
    refuse_unlike(results.values())
    dataset = dataset_title(next(iter(results.values())).dataset)
    document = compare_results(results, dataset=dataset, commands=[f"holdfast report {shlex.join(argv)}"])
    page = write_report(document, Path(options.out).expanduser())
    if options.json:
        tables = {
            table.key: json.loads(table.to_frame().to_json(orient="records")) for table in document.tables if table.key
        }
        print(json.dumps({"answer": document.answer, **tables}, indent=1, ensure_ascii=False))
    elif options.quiet:
        print(document.answer)
    else:
        print_document(document)
        print(f"\nPage: {page}")
