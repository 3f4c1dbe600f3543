"""Who may write into a run's folder, and when."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import HoldfastError
from holdfast.files import write_atomically
from holdfast.part_json import to_json
from holdfast.train import RunFolder, train
from holdfast.train.config import DataConfig, OptimConfig, TrainConfig
from holdfast.train.folder import load_config

CONFIG = TrainConfig(data=DataConfig(train_size=64), optim=OptimConfig(epochs=2))


def begin(folder: Path, config: TrainConfig = CONFIG) -> None:
    run = RunFolder(folder)
    with run.writing(config, resume=False):
        run.metrics.write_text('{"step": 1}\n')


def refusal(folder: Path, config: TrainConfig = CONFIG, *, resume: bool = False) -> str:
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else {}
    with pytest.raises(HoldfastError) as caught, RunFolder(folder).writing(config, resume=resume):
        pass
    assert all(path.read_bytes() == content for path, content in files.items())
    return str(caught.value)


@pytest.mark.parametrize("resume", [False, True])
def test_a_new_folder_gets_the_configuration(tmp_path: Path, resume: bool) -> None:
    folder = RunFolder(tmp_path / "new" / "run")
    with folder.writing(CONFIG, resume=resume):
        assert load_config(folder.config) == CONFIG
    assert not folder.finished


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_run_is_never_overwritten(finished_run: RunFolder, resume: bool) -> None:
    config = load_config(finished_run.config)
    message = refusal(finished_run.path, config, resume=resume)
    assert "finished run" in message
    assert f"holdfast evaluate {finished_run.path}" in message


def test_train_refuses_a_finished_run(finished_run: RunFolder) -> None:
    weights = finished_run.last.read_bytes()
    with pytest.raises(HoldfastError, match="finished run, which is never overwritten"):
        train(load_config(finished_run.config), finished_run.path, resume=True)
    assert finished_run.last.read_bytes() == weights


def test_an_unfinished_run_needs_resume(tmp_path: Path) -> None:
    begin(tmp_path)
    assert "--resume" in refusal(tmp_path)
    with RunFolder(tmp_path).writing(CONFIG, resume=True):
        pass


def test_other_settings_are_named(tmp_path: Path) -> None:
    begin(tmp_path)
    other = replace(CONFIG, seed=5, optim=replace(CONFIG.optim, lr=0.5))
    message = refusal(tmp_path, other, resume=True)
    assert "optim.lr: 0.0001 -> 0.5" in message
    assert "seed: 0 -> 5" in message
    assert "epochs" not in message


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_failed_in_its_first_step_starts_anew(tmp_path: Path, resume: bool) -> None:
    run = RunFolder(tmp_path)
    with run.writing(CONFIG, resume=False):
        run.metrics.write_text("")
    other = replace(CONFIG, seed=5)
    run.check(other, resume=resume)
    with run.writing(other, resume=resume):
        assert load_config(run.config) == other


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    message = refusal(tmp_path)
    assert "thesis.tex" in message
    assert "thesis.tex" in refusal(tmp_path, resume=True)
    assert not (tmp_path / "config.json").exists()


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*")
    begin(tmp_path)


def test_killed_while_the_configuration_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever name the half-written file has, the folder can still be used."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path)
    monkeypatch.undo()
    assert [p for p in tmp_path.iterdir() if p.name != ".lock"], "a half-written file is there"
    with RunFolder(tmp_path).writing(CONFIG, resume=True):
        assert (tmp_path / "config.json").read_text() == to_json(CONFIG)


@pytest.mark.parametrize("content", ['{"lr": 1}', "[]", "{", "", b"\xff\xfe\x00"])
def test_a_configuration_that_is_none(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(file) in refusal(tmp_path, resume=True)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    for path in (tmp_path / "run", tmp_path / "run" / "below"):
        assert str(path) in refusal(path)
    assert (tmp_path / "run").read_text() == "mine"


HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_held_by_another_process(tmp_path: Path) -> None:
    begin(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert "in use by another holdfast process" in refusal(tmp_path, resume=True)
        other.kill()
    with RunFolder(tmp_path).writing(CONFIG, resume=True):
        pass


def test_the_folder_is_held_while_training(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    seen = []

    def try_to_lock(_: object) -> None:
        with open(tmp_path / ".lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(refusal(tmp_path, resume=True))

    train(tiny("digits-standard", optim_epochs=1), tmp_path, on_step=try_to_lock)
    assert seen
    assert all("in use" in message for message in seen)


def test_processes_that_write_one_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer that comes and goes between the first one's writing and renaming harms neither."""
    import os

    real, path = os.replace, tmp_path / "summary.json"

    def replace_late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", real)
        write_atomically(path, "second")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_late)
    write_atomically(path, "first")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]
