"""How many files of the package a training step crosses, so that a reader can follow it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import holdfast
import holdfast.train.loop as loop
from holdfast.train import TrainConfig, train

PACKAGE = Path(holdfast.__file__).parent
MOST_FILES = 23


def test_trades_with_igr_on_the_digits(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(PACKAGE)):
            crossed.add(str(Path(path).relative_to(PACKAGE)))

    real = loop._Run.step

    def watched(self: Any) -> dict[str, float]:
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return real(self)
        finally:
            sys.setprofile(before)

    monkeypatch.setattr(loop._Run, "step", watched)
    train(tiny("digits-trades-igr", optim_epochs=1), tmp_path)
    assert "train/loop.py" in crossed
    assert len(crossed) <= MOST_FILES, " ".join(sorted(crossed))
