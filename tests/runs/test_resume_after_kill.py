"""A run killed by SIGKILL at any write, once or often, resumes to the very files of a run left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from holdfast.part_json import to_json
from holdfast.sealed import unsealed
from holdfast.train.config import TrainConfig

SCRIPT = Path(__file__).with_name("train_and_die.py")
Job = dict[str, int]


def kill_and_resume(
    root: Path, config: TrainConfig, *, stride: int, often: tuple[int, int] | None = None, seed: int = 0
) -> Job:
    job = {"config": to_json(config), "stride": stride, "often": often, "seed": seed}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(root)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_same_run(folder: Path, whole: Path) -> None:
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes(), folder.name
    assert (folder / "config.json").read_bytes() == (whole / "config.json").read_bytes(), folder.name
    for name in ("last.safetensors", "best.safetensors"):
        found, wanted = load_file(folder / name), load_file(whole / name)
        assert found.keys() == wanted.keys()
        for key, tensor in wanted.items():
            assert torch.equal(found[key], tensor), f"{folder.name}: {name}: {key}"
        with safe_open(folder / name, "pt") as a, safe_open(whole / name, "pt") as b:
            assert a.metadata() == b.metadata(), f"{folder.name}: {name}"
    results = [unsealed((path / "result.json").read_bytes()) for path in (folder, whole)]
    assert {**results[0], "seconds": 0} == {**results[1], "seconds": 0}, folder.name
    newest = [max((path / "checkpoints").iterdir()).name for path in (folder, whole)]
    assert newest[0] == newest[1], folder.name


@pytest.mark.slow
def test_killed_before_each_write(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(data_train_size=32)
    did = kill_and_resume(tmp_path, config, stride=1)
    assert did["total"] == did["events"] > 20
    for event in range(1, did["total"] + 1):
        assert_same_run(tmp_path / f"event-{event:04d}", tmp_path / "whole")


def test_killed_often_with_windows_of_several_steps(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    """40 steps an epoch: lines are means over two steps, so that kills fall inside a window too."""
    config = tiny("digits-mart-igr", data_train_size=80, optim_batch_size=2, optim_epochs=1)
    did = kill_and_resume(tmp_path, config, stride=0, often=(30, 90))
    assert did["kills"] >= 4
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [*range(2, 41, 2), 40]
    assert_same_run(tmp_path / "often", tmp_path / "whole")
