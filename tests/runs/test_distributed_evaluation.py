"""Evaluation on several processes: the records of one process, and what is refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from holdfast import HoldfastError
from holdfast.data.image_data import ImageData
from holdfast.evaluate import evaluate
from holdfast.evaluate.protocol import read_protocol
from holdfast.models.weights import save_weights
from holdfast.train.distributed import ALONE, World, joined
from tests.runs.torchrun import ENV, HERE, NOT_FINITE, PATIENCE, TORCHRUN


def evaluate_on_two(folder: Path, weights: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = (
        f"evaluate {HERE / 'conftest.py'}:ToyNet --weights {weights} --dataset digits --device cpu --n-examples 13 "
        "--n-attribution 6 --cw-steps 3 --score-n-steps 4 --random-draws 2 --ifia.steps 2 --ifia.n-steps 4 "
        "--batch-size 2 --out records"
    )
    return subprocess.run(
        [*TORCHRUN, "-m", "holdfast", *line.split(), *options],
        cwd=folder, env=ENV, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_records_are_those_of_one_process(tmp_path: Path, toy: nn.Module, test_images: ImageData) -> None:
    save_weights(toy, tmp_path / "toy.safetensors", {})
    shown = evaluate_on_two(tmp_path, tmp_path / "toy.safetensors")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("Records and summary: records") == 1
    assert shown.stdout.count("natural") == 1
    whole, shared = tmp_path / "whole", tmp_path / "records"
    config = read_protocol(shared)
    assert evaluate(toy, test_images, config, whole) is not None
    names = sorted(str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file())
    told = {str(p.relative_to(shared)) for p in shared.rglob("*") if p.is_file()}
    assert sorted(told - {"report.html", ".lock-0", ".lock-1"}) == names
    assert sum("attribution" in name for name in names) == 3
    for name in names:
        assert (shared / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_one_message_for_all_processes(tmp_path: Path, toy: nn.Module) -> None:
    save_weights(toy, tmp_path / "toy.safetensors", {})
    missing = evaluate_on_two(tmp_path, tmp_path / "nowhere.safetensors")
    bad = evaluate_on_two(tmp_path, tmp_path / "toy.safetensors", "--ifia.k", "65")
    line = (
        "train digits-trades --device cpu --data.train-size 64 --val-size 20 --objective.attack.steps 2 --optim.lr 1e30"
    )
    wild = subprocess.run(
        [*TORCHRUN, "-m", "holdfast", *line.split()],
        cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    for done, message in ((missing, "do not exist"), (bad, "k is 65"), (wild, NOT_FINITE)):
        assert done.returncode != 0
        told = [text for text in done.stderr.splitlines() if text.startswith("holdfast: ")]
        assert len(told) == 1
        assert re.search(message, told[0])
        assert "terminate called" not in done.stderr


def test_an_incomplete_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(HoldfastError, match="WORLD_SIZE is 2, but MASTER_ADDR, MASTER_PORT is not set"):
        with joined():
            pass


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert World(3, 4).device_of("cuda") == "cuda:1"
    assert chosen == [1]
    assert World(3, 4).device_of("cpu") == "cpu"
    assert ALONE.device_of("cuda:1") == "cuda:1"
    with pytest.raises(HoldfastError, match="device cuda:1 is one GPU for 4 processes"):
        World(3, 4).device_of("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(HoldfastError, match="2 GPUs and at least 3 processes"):
        World(2, 4).device_of("cuda")
