"""A folder of files that are not what they seem, and what a command says to bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from holdfast.cli import main

NETS = """
import torch
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def probabilities():
    return nn.Sequential(linear(), nn.Softmax(1))

def colour():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))

def big():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))

def maps():
    return nn.Conv2d(1, 10, 3)

def number():
    return 7
"""
PARTS = """
from dataclasses import dataclass

from holdfast.objectives.base import LossOutput, Objective

@dataclass(frozen=True)
class Mine(Objective):
    pass

class Loose:
    pass

class Thawed(Objective):
    def __call__(self, model, x, y, *, generator=None):
        return LossOutput(model(x).sum())

@dataclass(frozen=True)
class Needy(Objective):
    weight: float

    def __call__(self, model, x, y, *, generator=None):
        return LossOutput(self.weight * model(x).sum())
"""


def spoil(folder: Path) -> None:
    """Fill a folder with factories, parts, weights and data, most of them broken."""
    (folder / "nets.py").write_text(NETS)
    (folder / "parts.py").write_text(PARTS)
    (folder / "broken.py").write_text("def net(:\n")
    (folder / "needs.py").write_text("import a_module_that_nobody_has\n")
    (folder / "wordy.py").write_text('raise RuntimeError("first line\\nsecond line")\n')
    (folder / "junk.safetensors").write_bytes(b"junk")
    (folder / "junk.pt").write_bytes(b"junk")
    torch.save([1, 2, 3], folder / "list.pt")
    save_file({"1.weight": torch.zeros(10, 63), "1.bias": torch.zeros(10)}, folder / "shape.safetensors")
    save_file({"fc.weight": torch.zeros(2)}, folder / "foreign.safetensors")
    (folder / "data" / "mnist").mkdir(parents=True)
    for split in ("train", "test"):
        (folder / "data" / "mnist" / f"{split}-00000-of-00001.parquet").write_bytes(b"PAR1 not really")
    (folder / "empty").mkdir()


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("holdfast: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return captured.err.strip()


def check_refused(line: str, value: str, remedy: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the value and the remedy, and a folder as it was."""
    before = contents(place)
    message = error_of(line.split(), capsys)
    assert value in message
    assert remedy in message
    assert contents(place) == before, "bad input leaves everything as it was"
