"""A loss that is not finite stops the run at once, with its terms, and spoils nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from holdfast import AT, HoldfastError, LossOutput
from holdfast.cli import main
from holdfast.train import RunFolder, read_metrics, train
from holdfast.train.config import TrainConfig


def test_a_rate_far_too_high(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--data.train-size 64 --val-size 20 --objective.attack.steps 2 --optim.batch-size 16 --optim.lr 1e30"
    out = tmp_path / "run"
    assert main(["train", "digits-trades", "--device", "cpu", "--out", str(out), *options.split()]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"holdfast: the loss is not finite at step \d+ of \d+ \(the gradient at image 0", error)
    assert "--optim.lr (now 1e+30)" in error
    assert not RunFolder(out).finished


class SpoiltFrom:
    """The loss of AT, ``value`` times as large from call ``start`` on."""

    def __init__(self, start: int, value: float) -> None:
        self.calls, self.start, self.value, self.real = 0, start, value, AT.__call__

    def __call__(self, at: AT, model: nn.Module, x: Tensor, y: Tensor, **options: Any) -> LossOutput:
        self.calls += 1
        self.model, self.before = model, {name: value.clone() for name, value in model.state_dict().items()}
        output = self.real(at, model, x, y, **options)
        if self.calls < self.start:
            return output
        return LossOutput(output.loss * self.value, {**output.parts, "extra": output.loss.detach() * self.value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_checkpoint_before_is_intact(
    value: float, tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("digits-at")
    whole = train(config, tmp_path / "whole", checkpoint_seconds=0)
    spoilt = SpoiltFrom(4, value)
    monkeypatch.setattr(AT, "__call__", lambda *args, **options: spoilt(*args, **options))
    seen: list[int] = []
    with pytest.raises(HoldfastError, match="not finite at step 4 of 4") as caught:
        train(config, tmp_path / "run", checkpoint_seconds=0, on_step=lambda report: seen.append(report.step))
    monkeypatch.undo()
    assert f"extra = {value:.4g}" in str(caught.value)
    after = spoilt.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in spoilt.before.items()), "no weights were changed"
    assert seen == [1, 2, 2, 3], "stopped before anything came of step 4"
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000003"]
    assert {line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")} == {1, 2, 3}
    resumed = train(config, tmp_path / "run", resume=True)
    for name, tensor in load_file(whole.last).items():
        assert torch.equal(load_file(resumed.last)[name], tensor), name
