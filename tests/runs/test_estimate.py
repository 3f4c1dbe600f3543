"""How long work will take: said before a minute of it, asked of people before an hour; and lines of 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import HoldfastError
from holdfast.cli.estimate import announce, estimated_seconds
from holdfast.cli.progress import line_of
from holdfast.imports import imported
from holdfast.train import Report, TrainConfig, train
from holdfast.train.validation import training_cost

WORK = [("small_cnn", (1, 8, 8), 1e6), ("small_cnn", (1, 8, 8), 2e6), ("resnet18", (3, 32, 32), 4999.0)]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A forward pass takes a millisecond; the networks that were timed."""
    asked: list[tuple[object, ...]] = []

    def seconds(*network: object) -> float:
        asked.append(network)
        return 1e-3

    monkeypatch.setattr("holdfast.models.resolve.seconds_per_forward", seconds)
    return asked


def test_each_network_is_timed_once_and_trifles_are_not(timed: list[tuple[object, ...]]) -> None:
    assert estimated_seconds(WORK, "cpu") == pytest.approx(3000)
    assert timed == [("small_cnn", (1, 8, 8), "cpu")]


@pytest.mark.parametrize(
    ("passes", "terminal", "yes", "answer", "said", "asked"),
    [
        (59_000, True, False, "n", False, False),
        (61_000, True, False, "n", True, False),
        (3_700_000, False, False, "n", True, False),
        (3_700_000, True, True, "n", True, False),
        (3_700_000, True, False, "y", True, True),
        (3_700_000, True, False, "", True, True),
    ],
)
def test_said_and_asked(
    passes: float, terminal: bool, yes: bool, answer: str, said: bool, asked: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("builtins.input", ask)
    if asked and answer != "y":
        with pytest.raises(HoldfastError, match=r"not started; choose a smaller --profile, .* fewer images, or --yes"):
            announce("it", passes / 1000, "cpu", yes=yes)
    else:
        announce("it", passes / 1000, "cpu", yes=yes)
    assert ("it will take about" in capsys.readouterr().err) == said
    assert (questions == ["Go on? [y/N] "]) == asked


COUNTING = """
from torch import nn
seen = 0
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    def forward(self, x):
        global seen
        seen += len(x)
        return self.net(x)
"""


@pytest.mark.parametrize("method", ["standard", "at", "trades", "trades-igr"])
def test_a_training_run_costs_about_what_is_counted(
    method: str, tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """A pass that is differentiated counts for two or three, one that is not for one."""
    path = tmp_path / "counting.py"
    path.write_text(COUNTING)
    config = tiny(f"digits-{method}", model=f"{path}:Net")
    train(config, tmp_path / "run")
    counted = 2 * imported(f"{path}:Net", "model").forward.__globals__["seen"]
    assert 0.5 <= training_cost(config, 64) / counted <= 2.0


def test_the_longest_line_of_an_epoch_fits() -> None:
    measured = {"natural": 1.0, "adversarial": 1.0, "cosine": -0.004}
    report = Report(1, 2, 120, 120, 10, 45_000 * 120, {"loss": 1234567.8}, measured)
    assert len(line_of(report, 12345.6)) <= 80
    assert line_of(report, None) == "epoch 120/120  loss 1.235e+06  acc 100/100  cos -0.00"
