"""Results on disk: the same bytes again, and nothing cut short, edited or mixed gets through."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import HoldfastError
from holdfast.results import RunResult, export_run, load_result, load_results
from holdfast.results.store import read_run

COMMITTED = Path(__file__).parents[2] / "results" / "laptop"
NAME = "mnist-at-0"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    for suffix in (".json", ".records.gz"):
        shutil.copy(COMMITTED / f"{NAME}{suffix}", tmp_path)
    return tmp_path / f"{NAME}.json"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_written_again_it_is_the_same(stored: Path, tmp_path: Path) -> None:
    again = export_run(load_result(stored), tmp_path / "again")
    for suffix in (".json", ".records.gz"):
        assert again.with_suffix(suffix).read_bytes() == stored.with_suffix(suffix).read_bytes()


def test_every_committed_result_is_whole() -> None:
    found = load_results(COMMITTED)
    assert {(r.dataset, r.method) for r in found} >= {("mnist", "trades-igr"), ("fashion_mnist", "ssr")}
    assert all(len(r.column("kendall")) == r.summary["metrics"]["kendall"]["n"] for r in found)


def test_records_cut_short(stored: Path) -> None:
    records = stored.with_suffix(".records.gz")
    records.write_bytes(records.read_bytes()[:-40])
    with pytest.raises(HoldfastError, match=r"does not match the checksum .* cut short or edited"):
        load_result(stored)


def test_records_edited(stored: Path) -> None:
    records = stored.with_suffix(".records.gz")
    text = gzip.decompress(records.read_bytes()).replace(b'"succeeded": true', b'"succeeded": 1.0', 1)
    records.write_bytes(gzip.compress(text, mtime=0))
    with pytest.raises(HoldfastError, match="does not match the checksum"):
        load_result(stored)


def test_numbers_edited(stored: Path) -> None:
    edit(stored, lambda d: d["summary"]["metrics"]["kendall"].update(mean=0.9))
    with pytest.raises(HoldfastError, match="holds numbers that its records do not give"):
        load_result(stored)


def test_missing_damaged_and_foreign_files(stored: Path) -> None:
    stored.with_suffix(".records.gz").unlink()
    with pytest.raises(HoldfastError, match=r"records.gz cannot be read .*restore it, or run it again"):
        load_result(stored)
    stored.write_text('{"hello": 1}')
    with pytest.raises(HoldfastError, match="is not a result of holdfast"):
        load_result(stored)
    stored.write_text("{")
    with pytest.raises(HoldfastError, match="is not a result of holdfast"):
        load_result(stored)


def test_other_settings_are_not_written_over(stored: Path) -> None:
    result = load_result(stored)
    other = replace(result, train=replace(result.train, val_size=7))
    with pytest.raises(HoldfastError, match=r"other settings \(val_size: 200 -> 7\)"):
        export_run(other, stored.parent)
    assert load_result(stored) == result


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda r: replace(r, evaluation=replace(r.evaluation, seed=3)), "seed: 0 -> 3"),
        (lambda r: replace(r, train=replace(r.train, profile="fast")), "profile: laptop -> fast"),
    ],
)
def test_a_table_of_two_budgets_is_refused(stored: Path, changed: Callable[[RunResult], RunResult], words: str) -> None:
    result = load_result(stored)
    other = changed(result)
    export_run(replace(other, train=replace(other.train, recipe="mnist-trades")), stored.parent)
    with pytest.raises(HoldfastError, match=rf"other settings .*{words}.*one budget only"):
        load_results(stored.parent)


def test_an_unfinished_run_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="the run is not finished"):
        read_run(tmp_path, tmp_path / "eval")
