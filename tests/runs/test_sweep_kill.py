"""A sweep killed by SIGKILL, at random writes or as a program with child processes, ends as one left alone."""

from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast.recipes.profiles import PROFILES
from holdfast.sweep import Plan, load_plan
from holdfast.sweep.drive import sweep_here

HERE = Path(__file__).parent
TINY = HERE / "sweep_tiny.py"
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _tiny_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", runpy.run_path(str(TINY))["tiny"])


def statuses(plan: Plan, root: Path) -> list[str]:
    return [outcome.status for outcome in sweep_here(plan, root)]


def assert_same_sweep(root: Path, other: Path, runs: int) -> None:
    """Logs, records, numbers and weights; result.json tells seconds, and a kill may leave an unfinished file."""

    def files(folder: Path) -> dict[str, bytes]:
        kept = (".json", ".jsonl", ".parquet")
        there = [p for p in folder.rglob("*.*") if p.suffix in kept and not p.name.startswith(".")]
        found = [p for p in there if p.name != "result.json"]
        return {str(p.relative_to(folder)): p.read_bytes() for p in found}

    found, wanted = files(root), files(other)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert sum("records" in name for name in wanted) == runs * (3 + 1 + 1)
    weights = list(other.rglob("last.safetensors"))
    for path in weights:
        a, b = load_file(root / path.relative_to(other)), load_file(path)
        assert all(torch.equal(a[name], b[name]) for name in b)
    assert len(weights) == runs


@pytest.mark.slow
def test_killed_at_random_writes(tmp_path: Path) -> None:
    script = [sys.executable, str(HERE / "sweep_and_die.py"), str(tmp_path), "7"]
    done = subprocess.run(script, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    total, kills = map(int, done.stdout.split())
    assert total > 100
    assert kills >= 5
    assert_same_sweep(tmp_path / "killed", tmp_path / "whole", runs=4)


@pytest.mark.slow
def test_the_program_is_killed_with_two_processes_at_work(tmp_path: Path) -> None:
    """Its children end with it, and their locks with them; one process goes on with what they left."""
    plan = load_plan("core", profile="smoke", methods=["mart-igr", "trades-igr"])
    options = ["--profile", "smoke", "--device", "cpu", "--jobs", "2", "--methods", ",".join(plan.methods)]
    command = [sys.executable, str(TINY), "sweep", "core", "--out", "killed", *options]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while not list((tmp_path / "killed").glob("*/metrics.jsonl")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    time.sleep(random.Random(3).uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.read()  # ends when no child holds it any more
    process.stderr.close()
    assert not list((tmp_path / "killed").rglob("summary.json"))
    assert statuses(plan, tmp_path / "killed") == statuses(plan, tmp_path / "whole") == ["finished"] * 2
    assert_same_sweep(tmp_path / "killed", tmp_path / "whole", runs=2)


@pytest.mark.slow
def test_a_process_that_dies_fails_its_own_run_alone(tmp_path: Path) -> None:
    command = [sys.executable, str(TINY), "--die", "processes", str(tmp_path), "training"]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("digits-at seed 0 failed its process died (SIGKILL); what it had done is kept: run the")
    assert lines[1] == "digits-standard seed 0 finished"
    plan = load_plan("core", profile="smoke", methods=["standard", "at"])
    assert statuses(plan, tmp_path / "whole") == ["finished"] * 2
    assert statuses(plan, tmp_path / "training") == ["skipped", "finished"]
    assert_same_sweep(tmp_path / "training", tmp_path / "whole", runs=2)
