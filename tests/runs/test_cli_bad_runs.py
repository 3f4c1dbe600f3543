"""Bad input about a run, finished or not: one line that names it and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from holdfast.cli import main
from holdfast.train import RunFolder, train
from holdfast.train.config import TrainConfig
from tests.runs.bad_lines import check_refused, error_of


@pytest.fixture
def run(place: Path, finished_run: RunFolder) -> Path:
    shutil.copytree(finished_run.path, place / "run")
    return place / "run"


@pytest.mark.parametrize(
    ("line", "value", "remedy"),
    [
        ("train digits-trades-igr --out run", "run holds a finished run", "holdfast evaluate run"),
        ("train digits-trades-igr --out run --resume", "run holds a finished run", "choose another --out"),
        ("evaluate run --weights shape.safetensors", "run is a run and brings its own weights", "drop --weights"),
        ("evaluate run --dataset mnist", "data set 'mnist' was not found", "HOLDFAST_DATA"),
        ("evaluate run --checkpoint first", "'first'", "'last', 'best'"),
        ("evaluate run --ifia.k 1000", "k is 1000", "from 1 to the 64 features"),
    ],
)
@pytest.mark.usefixtures("no_hub")
def test_a_finished_run(
    line: str, value: str, remedy: str, run: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_refused(line, value, remedy, place, capsys)


def test_a_run_with_damaged_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (run / "last.safetensors").read_bytes()
    (run / "last.safetensors").write_bytes(content[: len(content) // 2])
    assert "run/last.safetensors cannot be read" in error_of(["evaluate", "run"], capsys)
    tensors = load_file(run / "best.safetensors")
    save_file({name: value for name, value in tensors.items() if "fc3" not in name}, run / "last.safetensors")
    assert "missing fc3.bias, fc3.weight" in error_of(["evaluate", "run"], capsys)


def test_a_run_with_damaged_settings(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"val_size"', '"val_sizes"'))
    assert "run/config.json: val_sizes: TrainConfig has no such field" in error_of(["evaluate", "run"], capsys)
    (run / "config.json").write_text(text[:100])
    assert "run/config.json is no JSON" in error_of(["evaluate", "run"], capsys)


class Stop(Exception):
    pass


@pytest.fixture
def unfinished(place: Path, tiny: Callable[..., TrainConfig]) -> Path:
    def stop(report: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(tiny("digits-at"), place / "half", on_step=stop)
    return place / "half"


TINY_AT = (
    "train digits-at --device cpu --data.train-size 64 --objective.attack.steps 2 --validation.steps 2 "
    "--optim.epochs 2 --optim.batch-size 32 --val-size 20 --out half"
)


def test_an_unfinished_run(unfinished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(["evaluate", "half"], capsys)
    assert "not finished; finish it with holdfast train digits-at --out half --resume" in message
    assert "half holds an unfinished run; continue it with --resume" in error_of(TINY_AT.split(), capsys)
    other = error_of([*TINY_AT.split(), "--resume", "--optim.lr", "0.5"], capsys)
    assert "optim.lr: 0.002 -> 0.5" in other
    assert main([*TINY_AT.split(), "--resume"]) == 0
    assert RunFolder(unfinished).finished
