"""How many files of the package a training step crosses, so that a reader can follow it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import holdfast
from holdfast.train import TrainConfig, train
from holdfast.train.step import Stepper

PACKAGE = Path(holdfast.__file__).parent
MOST_FILES = 16
ASIDE = {"models/built_in.py", "gradient/cpu_operators.py"}
"""The network itself and what stands in for two operators of it on a CPU."""


def test_trades_with_igr_on_the_digits(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(PACKAGE)):
            crossed.add(str(Path(path).relative_to(PACKAGE)))

    real = Stepper.step

    def watched(self: Any, step: int) -> dict[str, float]:
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return real(self, step)
        finally:
            sys.setprofile(before)

    monkeypatch.setattr(Stepper, "step", watched)
    train(tiny("digits-trades-igr", optim_epochs=1), tmp_path)
    assert {"train/step.py", *ASIDE} <= crossed
    assert len(crossed - ASIDE) <= MOST_FILES, " ".join(sorted(crossed))
