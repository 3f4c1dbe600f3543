"""Results by the path of whatever holds them: a run, an evaluation, an exported file, or a folder of those files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.results.result import RunResult
from holdfast.results.store import load_result, read_evaluation, read_run
from holdfast.train.folder import RunFolder

SUMMARY = "summary.json"


def results_at(path: Path) -> list[RunResult]:
    """The results at a path; those of a folder of exported files in the order of their names.

    Raises:
        HoldfastError: nothing there, a run without an evaluation or with several, or a damaged file.
    """
    if path.is_file():
        return [load_result(path)]
    if not path.is_dir():
        raise HoldfastError(f"{path} does not exist; give a run, its evaluation, or a file that --export wrote.")
    if (path / SUMMARY).is_file():
        return [_evaluation(path)]
    if RunFolder(path).config.is_file():
        evaluations = sorted(file.parent for file in path.glob(f"*/{SUMMARY}"))
        if not evaluations:
            raise HoldfastError(f"{path} is not evaluated; first: holdfast evaluate {path}")
        if len(evaluations) > 1:
            names = ", ".join(map(str, evaluations))
            raise HoldfastError(f"{path} has {len(evaluations)} evaluations; name one of them: {names}.")
        return [read_run(path, evaluations[0])]
    found = [load_result(file) for file in sorted(path.glob("*.json")) if file.with_suffix(".parquet").is_file()]
    if not found:
        raise HoldfastError(
            f"{path} is no run and holds no exported results; make one: holdfast evaluate RUN --export."
        )
    return found


def _evaluation(folder: Path) -> RunResult:
    if RunFolder(folder.parent).config.is_file():
        return read_run(folder.parent, folder)
    found = read_evaluation(folder)
    return replace(found, label=str(found.subject.get("model", folder.name)))


def titled(results: Iterable[RunResult]) -> dict[str, RunResult]:
    """Results by a title of each: the method, with its seed and then a number where others are called so too."""
    found = list(results)
    names = [run.title for run in found]
    names = [f"{n}, seed {r.seed}" if names.count(n) > 1 else n for n, r in zip(names, found, strict=True)]
    numbered = [f"{n} ({i})" if names.count(n) > 1 else n for i, n in enumerate(names, 1)]
    return dict(zip(numbered, found, strict=True))
