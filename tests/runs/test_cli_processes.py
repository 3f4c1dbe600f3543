"""The program as a process: what it imports, kills at any moment, and the way from training to numbers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
RESULT = Path(__file__).parents[2] / "results" / "laptop" / "mnist-at-0.json"
TRAIN = (
    "train digits-trades-igr --device cpu --data.train-size 64 --objective.base.attack.steps 2 "
    "--objective.attribution.n-steps 2 --optim.epochs 12 --optim.batch-size 32 --val-size 20 --out"
)
EVALUATE = (
    "--device cpu --n-examples 20 --n-attribution 4 --cw-steps 3 --score-n-steps 4 --random-draws 2 --ifia.steps 2 "
    "--ifia.n-steps 4"
)


def holdfast(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *line.split()],
        cwd=folder,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )


def imported_by(line: str) -> set[str]:
    code = f"import sys; from holdfast.cli import main; main({line.split()!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "scipy", "datasets", "matplotlib", "pydantic", "tyro", "rich"}
    assert not heavy & imported_by("--help")
    assert not heavy & imported_by("--version")


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_a_console_without_unicode(encoding: str, tmp_path: Path) -> None:
    """Neither encoding knows the letter of Kendall's coefficient."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "report", str(RESULT)],
        cwd=tmp_path,
        env={**ENV, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"Kendall ?" in done.stdout


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Real processes, killed between and inside epochs; checkpoints as often as the program makes them."""
    chance = random.Random(1)
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast", *TRAIN.split(), "killed", "--resume"],
            cwd=tmp_path,
            env=ENV,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        if kills < 2 and first:
            time.sleep(chance.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            kills += 1
        rest = process.stderr.read()
        process.stderr.close()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL, first + rest
    whole = holdfast(f"{TRAIN} whole", tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert kills == 2
    for name in ("metrics.jsonl", "config.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for name in ("last.safetensors", "best.safetensors"):
        found, wanted = (load_file(tmp_path / run / name) for run in ("killed", "whole"))
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)

    shown = holdfast(f"evaluate whole {EVALUATE}", tmp_path)
    assert shown.returncode == 0, shown.stderr
    (summary,) = (tmp_path / "whole").rglob("summary.json")
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["natural"]["n"] == 20
    assert "Traceback" not in shown.stderr
    again = holdfast(f"{TRAIN} whole --resume", tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("holdfast: whole holds a finished run")
    assert again.stderr.count("\n") == 1
