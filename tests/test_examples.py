"""The examples run; those that need a library are skipped without it."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def main_of(name: str):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_plain() -> None:
    assert math.isfinite(main_of("plain")(steps=2))


@pytest.mark.filterwarnings("ignore")
def test_lightning() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed", exc_type=ImportError)
    found = main_of("lightning_igr")(epochs=1, count=64)
    assert found["igr"] >= 0
    assert 0 <= found["topk_under_attack"] <= 1


@pytest.mark.filterwarnings("ignore")
def test_hugging_face() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed", exc_type=ImportError)
    losses = main_of("huggingface_igr")(steps=2, count=32)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed", exc_type=ImportError)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 0.5, "note": "x"}\n{"epoch": 2, "loss": 0.25}\n')
    assert main_of("to_tensorboard")(tmp_path) == 4
    assert list((tmp_path / "tensorboard").glob("events.*"))
