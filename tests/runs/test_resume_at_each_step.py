"""Stopping in process after any step, and what must be carried over besides weights and optimiser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import holdfast.train.loop as loop
from holdfast import HoldfastError
from holdfast.data.loader import DeviceLoader
from holdfast.train import Report, RunFolder, train
from holdfast.train.config import TrainConfig

Scores = Iterator[float]


class Stop(Exception):
    pass


def stop_after(step: int) -> Callable[[Report], None]:
    def stop(report: Report) -> None:
        if report.step == step and report.validation is None:
            raise Stop

    return stop


def metrics(folder: RunFolder) -> bytes:
    return folder.metrics.read_bytes()


def assert_same_tensors(a: Path, b: Path) -> None:
    found, wanted = load_file(a), load_file(b)
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(found[name], wanted[name]), name


@pytest.mark.parametrize("name", ["digits-at-igr", "digits-mart", "digits-standard"])
def test_stopped_after_each_step(name: str, tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(name, data_train_size=48, optim_batch_size=20)
    whole = train(config, tmp_path / "whole", checkpoint_seconds=0)
    stopped = tmp_path / "stopped"
    for step in range(1, 7):
        with pytest.raises(Stop):
            train(config, stopped, resume=True, on_step=stop_after(step), checkpoint_seconds=0)
    resumed = train(config, stopped, resume=True, checkpoint_seconds=0)
    assert metrics(resumed) == metrics(whole)
    assert_same_tensors(resumed.last, whole.last)
    assert_same_tensors(resumed.best, whole.best)


def test_stopped_inside_a_window(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    """40 steps an epoch write a line every second step; a stop between the two must not lose the first."""
    config = tiny("digits-at", data_train_size=80, optim_batch_size=2, optim_epochs=1)
    whole = train(config, tmp_path / "whole", checkpoint_seconds=0)
    for step in (6, 20):
        with pytest.raises(Stop):
            train(config, tmp_path / "stopped", resume=True, on_step=stop_after(step), checkpoint_seconds=0)
    assert metrics(train(config, tmp_path / "stopped", resume=True)) == metrics(whole)


def test_without_a_checkpoint_the_run_begins_again(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny()
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", on_step=stop_after(2))
    assert not (tmp_path / "stopped" / "checkpoints").exists()
    assert metrics(RunFolder(tmp_path / "stopped"))
    assert metrics(train(config, tmp_path / "stopped", resume=True)) == metrics(whole)


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make validation return given scores, one an epoch."""

    def use(*values: float) -> None:
        given = iter(values)

        def validate(model: nn.Module, loader: DeviceLoader, config: TrainConfig) -> dict[str, float]:
            score = next(given)
            return {"natural": 1 - score, "adversarial": score, "cosine": 0.0}

        monkeypatch.setattr(loop, "validate", validate)

    return use


def result(folder: RunFolder) -> dict[str, float]:
    return json.loads(folder.result.read_text())


def test_best_is_the_first_of_the_highest_adversarial_scores(
    tmp_path: Path, tiny: Callable[..., TrainConfig], scores: Callable[..., None]
) -> None:
    after: dict[int, dict[str, torch.Tensor]] = {}
    folder = RunFolder(tmp_path)

    def keep(report: Report) -> None:
        if report.validation is not None:
            after[report.epoch] = load_file(folder.best)

    scores(0.2, 0.6, 0.6, 0.1)
    train(tiny("digits-at", optim_epochs=4), tmp_path, on_step=keep)
    assert result(folder)["best_epoch"] == 2
    assert result(folder)["best_validation"] == 0.6
    assert result(folder)["images"] is None  # the digits were never image files
    assert not torch.equal(after[1]["fc3.weight"], after[2]["fc3.weight"])
    assert torch.equal(load_file(folder.best)["fc3.weight"], after[2]["fc3.weight"])
    assert not torch.equal(load_file(folder.last)["fc3.weight"], after[2]["fc3.weight"])


def test_standard_training_chooses_by_natural_accuracy(
    tmp_path: Path, tiny: Callable[..., TrainConfig], scores: Callable[..., None]
) -> None:
    scores(0.2, 0.6)
    assert result(train(tiny("digits-standard"), tmp_path))["best_epoch"] == 1


def test_the_best_score_survives_a_stop(
    tmp_path: Path, tiny: Callable[..., TrainConfig], scores: Callable[..., None]
) -> None:
    config = tiny("digits-at", optim_epochs=3)
    scores(0.3, 0.7, 0.5)
    whole = train(config, tmp_path / "whole")
    scores(0.3, 0.7)
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", on_step=stop_after(5))
    scores(0.5)
    resumed = train(config, tmp_path / "stopped", resume=True)
    assert result(resumed)["best_epoch"] == result(whole)["best_epoch"] == 2
    assert_same_tensors(resumed.best, whole.best)


def test_leftovers_of_a_checkpoint_cut_short(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny()
    whole = train(config, tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(Stop):
        train(config, folder, on_step=stop_after(3), checkpoint_seconds=0)
    for leftover in (".part-000000003", ".part-000000777"):
        (folder / "checkpoints" / leftover).mkdir()
        (folder / "checkpoints" / leftover / "model.safetensors.part").write_bytes(b"half a file")
    (folder / "best.safetensors.part").write_bytes(b"half a file")
    (folder / "metrics.jsonl.part").write_text('{"kind": "tr')
    resumed = train(config, folder, resume=True)
    assert metrics(resumed) == metrics(whole)
    assert_same_tensors(resumed.last, whole.last)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-000000004"]


def _stopped(folder: Path, config: TrainConfig) -> Path:
    with pytest.raises(Stop):
        train(config, folder, on_step=stop_after(3), checkpoint_seconds=0)
    return folder / "checkpoints" / "step-000000002"


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _foreign(path: Path) -> None:
    torch.save({"epoch": 3}, path)


def _list(path: Path) -> None:
    torch.save([1, 2], path)


def _text(path: Path) -> None:
    path.write_text("nothing of the kind")


def _other_shape(path: Path) -> None:
    from safetensors.torch import save_file

    tensors = load_file(path)
    tensors["fc3.weight"] = torch.zeros(7, 200)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("state.pt", _torn),
        ("state.pt", _foreign),
        ("state.pt", _list),
        ("state.pt", _text),
        ("state.pt", Path.unlink),
        ("model.safetensors", _torn),
        ("model.safetensors", _text),
        ("model.safetensors", _other_shape),
        ("model.safetensors", Path.unlink),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_a_damaged_or_foreign_checkpoint_is_named(
    file: str, spoil: Callable[[Path], None], tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    config = tiny("digits-standard")
    newest = _stopped(tmp_path, config)
    spoil(newest / file)
    before = metrics(RunFolder(tmp_path))
    with pytest.raises(HoldfastError) as caught:
        train(config, tmp_path, resume=True)
    assert str(newest) in str(caught.value)
    assert metrics(RunFolder(tmp_path)) == before
