"""``holdfast sweep``: what it lists, does, goes on with, refuses, and how it ends."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.cli.parse import seconds_of
from holdfast.errors import HoldfastError
from holdfast.objectives import Standard
from holdfast.recipes.profiles import PROFILES
from holdfast.report.words import duration
from holdfast.sweep import load_plan

SCRIPT = Path(__file__).with_name("sweep_tiny.py")
SMOKE = ["--profile", "smoke", "--device", "cpu", "--methods"]


@pytest.fixture(autouse=True)
def _tiny_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder, and a profile smoke of a second a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(PROFILES, "smoke", runpy.run_path(str(SCRIPT))["tiny"])


def sweep(*argv: str, code: int = 0, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """Lines of standard output, and the last line of standard error."""
    capsys.readouterr()
    assert main(["sweep", *argv]) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), (captured.err.splitlines() or [""])[-1]


def cells(lines: list[str], title: str) -> list[str]:
    (row,) = (line for line in lines if f" {title} " in line)
    return [cell.strip() for cell in row.strip("│ ").split("│")]


def test_from_the_list_to_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["core", *SMOKE, "standard,trades-igr", "--seeds", "0,1"]
    runs = load_plan("all", profile="smoke", methods=["standard", "trades-igr"], seeds=[0, 1]).runs()
    listed, _ = sweep(*line, "--dry-run", capsys=capsys)
    assert not (tmp_path / "runs").exists()
    for run in runs:
        assert cells(listed, run.title) == [run.title, f"{run.cost:.2e}", "new", run.name]
    assert f"4 runs, 4 of them not finished: {sum(run.cost or 0 for run in runs):.2e} F" in listed[-1]

    first, _ = sweep(*line, "--seeds", "0", capsys=capsys)
    assert [text.split(" in ")[0] for text in first[:2]] == [
        "[1/2] digits-standard seed 0: finished",
        "[2/2] digits-trades-igr seed 0: finished",
    ]
    assert first[2:] == ["2 finished, 0 skipped (finished before), 0 failed, 0 left. Folder: runs/sweep-smoke"]

    listed, _ = sweep(*line, "--dry-run", capsys=capsys)
    assert [cells(listed, run.title)[2] for run in runs] == ["finished", "finished", "new", "new"]
    second, _ = sweep(*line, capsys=capsys)
    assert second[:2] == ["[1/4] digits-standard seed 0: skipped", "[2/4] digits-trades-igr seed 0: skipped"]
    assert second[-1].startswith("2 finished, 2 skipped (finished before), 0 failed, 0 left.")
    summaries = [tmp_path / "runs/sweep-smoke" / run.name / run.evaluation_name / "summary.json" for run in runs]
    assert all(json.loads(path.read_text())["metrics"]["natural"]["n"] == 30 for path in summaries)


def test_a_time_limit_and_the_command_that_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["core", *SMOKE, "standard", "--out", "my sweep", "--time-limit"]
    stopped, _ = sweep(*line, "0.001s", capsys=capsys)
    assert stopped == [
        "[1/1] digits-standard seed 0: stopped",
        "0 finished, 0 skipped (finished before), 0 failed, 1 left. Folder: my sweep",
        "Go on with: holdfast sweep core --profile smoke --device cpu --methods standard --out 'my sweep' "
        "--time-limit 0.001s",
    ]
    finished, _ = sweep(*line, "1h", capsys=capsys)
    assert finished[-1].startswith("1 finished")


def test_a_run_that_fails_is_reported_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoilt(*_: object, **__: object) -> None:
        raise HoldfastError("spoilt for the test; mend it.")

    monkeypatch.setattr(Standard, "__call__", spoilt)
    lines, error = sweep("core", *SMOKE, "standard,at", "--out", "s", code=2, capsys=capsys)
    assert lines[0].startswith("[1/2] digits-standard seed 0: failed in ")
    assert lines[1].startswith("[2/2] digits-at seed 0: finished")
    assert lines[2] == "1 finished, 0 skipped (finished before), 1 failed, 0 left. Folder: s"
    assert lines[3].startswith("Go on with: holdfast sweep core ")
    assert error == "holdfast: 1 of 2 runs failed: digits-standard seed 0 (spoilt for the test; mend it.)"
    listed, _ = sweep("core", *SMOKE, "standard,at", "--out", "s", "--dry-run", capsys=capsys)
    assert cells(listed, "digits-standard seed 0")[2] == "failed"


@pytest.mark.filterwarnings("default:there are no settings")
def test_a_plan_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text('{"methods": ["ssr", "at"], "datasets": ["mnist"], "profile": "laptop"}')
    listed, _ = sweep("mine.json", "--dry-run", capsys=capsys)
    assert "runs/sweep-laptop" in listed[0]
    assert cells(listed, "mnist-ssr seed 0")[2] == "new"
    listed, said = sweep("mine.json", "--datasets", "me/mine", "--profile", "fast", "--dry-run", capsys=capsys)
    assert "no settings for data set 'me/mine'" in said
    assert cells(listed, "me/mine-at seed 0")[1] == "?"


@pytest.mark.slow
def test_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes at once do what one does."""
    line = ["core", *SMOKE, "standard,mart-igr", "--out"]
    command = [sys.executable, str(SCRIPT), "sweep", *line, "two", "--jobs", "2"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 finished")
    sweep(*line, "one", capsys=capsys)
    found, wanted = (
        {
            str(p.relative_to(tmp_path / out)): p.read_bytes()
            for p in (tmp_path / out).rglob("*.*")
            if p.suffix in (".json", ".jsonl", ".parquet")
        }
        for out in ("two", "one")
    )
    assert found.keys() == wanted.keys()
    assert {name for name in wanted if found[name] != wanted[name] and not name.endswith("result.json")} == set()
    assert sum("records" in name for name in wanted) == 2 * (3 + 1 + 1)


BAD = [
    ("", "the plan is missing", "holdfast sweep core"),
    ("cores", "unknown plan 'cores'", "did you mean core?"),
    ("gone.json", "gone.json does not exist", "or one of core"),
    ("core --profile=", "--profile is empty", "choose smoke, laptop"),
    ("core --profile laptops", "unknown profile 'laptops'", "did you mean laptop?"),
    ("core --methods tardes", "unknown method 'tardes'", "did you mean trades"),
    ("core --datasets mnits", "unknown data set 'mnits'", "did you mean mnist or"),
    ("core --seeds 0,one", "--seeds is '0,one'", "e.g. 0,1,2"),
    ("core --seeds ,", "no seeds", "--seeds"),
    ("core --time-limit 30", "--time-limit is '30'", "e.g. 90s, 30m"),
    ("core --jobs 0", "--jobs is 0", "more than 0"),
    ("core --job 2", "unknown option '--job'", "did you mean --jobs"),
    ("core --executor ray --gpus-per-run -1", "--gpus-per-run is -1", "more than 0"),
    ("core --gpus-per-run 0.5", "--gpus-per-run 0.5 is for Ray alone", "--executor ray"),
    ("core --address here:1", "--address here:1 is for Ray alone", "--executor ray"),
    ("core --executor ray --device cuda:1", "--device is cuda:1", "cpu, cuda or auto"),
    ("core --executor slurm", "'slurm'", "'serial', 'ray'"),
    ("core --device warp", "device 'warp'", "choose cpu or auto"),
    ("core --profile laptop --datasets mnist --out full", "full is not empty (thesis.tex)", "another --out"),
    ("core --profile laptop --datasets mnist", "data set 'mnist' was not found", "HOLDFAST_DATA"),
]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(("line", "value", "remedy"), BAD, ids=lambda text: text[:60])
def test_bad_input(line: str, value: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    lines, error = sweep(*line.split(), code=2, capsys=capsys)
    assert lines == []
    assert error.startswith("holdfast: ")
    assert value in error
    assert remedy in error
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "thesis.tex"]


def test_units() -> None:
    assert [seconds_of(text) for text in ("90s", "30m", "2h", "1.5d", None)] == [90, 1800, 7200, 129_600, None]
    assert [duration(s) for s in (3.21, 99.9, 100, 5400, 36_000)] == ["3.2 s", "100 s", "2 min", "90 min", "10.0 h"]
