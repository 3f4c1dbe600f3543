"""A full disk stops a run with one line; the checkpoint before is intact and the run goes on later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

import holdfast.models.weights as weights
from holdfast import HoldfastError
from holdfast.data.image_data import ImageData
from holdfast.evaluate import Protocol, evaluate
from holdfast.files import writable
from holdfast.train import RunFolder, train
from holdfast.train.config import TrainConfig

Fail = Callable[[pytest.MonkeyPatch], None]


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(real: Callable[..., Any], matches: Callable[..., bool], error: Callable[[], Exception]) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        if matches(*args):
            raise error()
        return real(*args, **options)

    return call


def in_safetensors(patch: pytest.MonkeyPatch) -> None:
    def fail(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        Path(path).write_bytes(b"the first half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    patch.setattr(weights, "save_file", fail)


def in_torch_save(patch: pytest.MonkeyPatch) -> None:
    """What torch raises hides the cause in its context."""

    def fail(state: object, file: Any) -> None:
        file.write(b"the first half")
        try:
            raise no_space()
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")  # noqa: B904

    patch.setattr(torch, "save", fail)


def in_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "replace", failing(os.replace, lambda source, _: ".part" in str(source), no_space))


def in_fsync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", failing(os.fsync, lambda _: True, no_space))


def in_mkdir(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "mkdir", failing(Path.mkdir, lambda path: ".part-" in path.name, no_space))


def in_log(patch: pytest.MonkeyPatch) -> None:
    real = open
    fails = failing(real, lambda file, mode="r": mode == "a", no_space)
    patch.setattr("builtins.open", fails)


@pytest.mark.parametrize("fail", [in_safetensors, in_torch_save, in_rename, in_fsync, in_mkdir, in_log])
def test_a_run_survives_a_full_disk(
    fail: Fail, tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("digits-at")
    whole = train(config, tmp_path / "whole", checkpoint_seconds=0)
    folder = tmp_path / "full"
    checkpoint = folder / "checkpoints" / "step-000000002"

    def fill_after_two(report: Any) -> None:
        if report.step == 3 and report.validation is None:
            before.update({path.name: path.read_bytes() for path in checkpoint.iterdir()})
            fail(monkeypatch)

    before: dict[str, bytes] = {}
    with pytest.raises(HoldfastError, match="no space left on the disk while writing") as caught:
        train(config, folder, checkpoint_seconds=0, on_step=fill_after_two)
    monkeypatch.undo()
    assert str(folder) in str(caught.value)
    assert "--resume" in str(caught.value)
    assert before.keys() == {"model.safetensors", "state.pt"}
    newest = max((folder / "checkpoints").glob("step-*"))
    if fail is not in_log:
        assert newest == checkpoint
        assert {path.name: path.read_bytes() for path in newest.iterdir()} == before
        assert not list((folder / "checkpoints").glob(".part-*")), "what was half-written takes no space"
    resumed = train(config, folder, resume=True)
    assert resumed.metrics.read_bytes() == whole.metrics.read_bytes()
    for found, wanted in ((resumed.last, whole.last), (resumed.best, whole.best)):
        for name, tensor in load_file(wanted).items():
            assert torch.equal(load_file(found)[name], tensor), name


@contextmanager
def full_device() -> Iterator[Path]:
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full here")
    yield device


def test_a_full_device() -> None:
    """The real thing: torch and plain writes to a device without space."""
    with full_device() as device:
        for write in (
            lambda file: torch.save({"a": torch.zeros(100_000)}, file),
            lambda file: file.write(b"x" * 100_000),
        ):
            with pytest.raises(HoldfastError, match="no space left"), writable(Path("run")):
                with open(device, "wb") as file:
                    write(file)


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    with pytest.raises(ZeroDivisionError), writable(Path("run")):
        1 / 0  # noqa: B018
    with pytest.raises(HoldfastError, match="cannot write run") as caught, writable(Path("run")):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert "Permission denied" in str(caught.value)


def test_an_evaluation_survives_a_full_disk(
    tmp_path: Path,
    toy: torch.nn.Module,
    tiny_protocol: Protocol,
    test_images: ImageData,
    finished_evaluation: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill(kind: str, done: float, total: int) -> None:
        if (kind, done) == ("accuracy", 3 * tiny_protocol.batch_size):
            in_fsync(monkeypatch)

    with pytest.raises(HoldfastError, match="no space left"):
        evaluate(toy, test_images, tiny_protocol, tmp_path, on_images=fill)
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == [
        f"accuracy-0000{batch}.parquet" for batch in range(3)
    ]
    evaluate(toy, test_images, tiny_protocol, tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


def test_a_run_that_cannot_finish_is_not_finished(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("digits-standard", optim_epochs=1)

    def fill_at_the_end(report: Any) -> None:
        if report.validation is not None:
            real = weights.save_file
            fails = failing(real, lambda _, path: "last" in str(path), no_space)
            monkeypatch.setattr(weights, "save_file", fails)

    with pytest.raises(HoldfastError, match=r"last\.safetensors"):
        train(config, tmp_path, on_step=fill_at_the_end)
    monkeypatch.undo()
    assert not RunFolder(tmp_path).finished
    assert train(config, tmp_path, resume=True).finished
