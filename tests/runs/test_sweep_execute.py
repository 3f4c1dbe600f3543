"""One run of a sweep: done once, stopped and taken up again, failed without harm."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast import find_model
from holdfast.data.image_data import ImageData
from holdfast.evaluate import evaluate, protocol_of
from holdfast.evaluate.standard import EvalConfig
from holdfast.sealed import sealed, unsealed
from holdfast.sweep import Run
from holdfast.sweep import execute as execute_module
from holdfast.sweep.execute import Outcome, execute, state_of
from holdfast.sweep.processes import in_processes
from holdfast.train import train
from holdfast.train.config import TrainConfig

MakeTrain = Callable[..., TrainConfig]
MODULE = "holdfast.sweep.execute"


@pytest.fixture
def run(tiny: MakeTrain, tiny_eval: EvalConfig) -> Run:
    return Run(tiny("digits-at", optim_epochs=1, optim_batch_size=8), tiny_eval)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(root: Path, run: Run) -> dict[str, bytes]:
    """What two ways to one result must share: the log, the records and the numbers."""
    found = contents(root / run.name)
    return {name: value for name, value in found.items() if name.endswith(".jsonl") or name.startswith("eval-")}


def assert_same_result(root: Path, other: Path, run: Run) -> None:
    assert results(root, run) == results(other, run)
    assert any(name.endswith("summary.json") for name in results(root, run))
    for name in ("last.safetensors", "best.safetensors"):
        found, wanted = (load_file(folder / run.name / name) for folder in (root, other))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: MakeTrain, tiny_eval: EvalConfig) -> tuple[Path, Run]:
    """A run that was left alone. Treat as read-only."""
    run = Run(tiny("digits-at", optim_epochs=1, optim_batch_size=8), tiny_eval)
    root = tmp_path_factory.mktemp("whole")
    assert execute(run, root).status == "finished"
    return root, run


def test_it_is_training_and_evaluation(whole: tuple[Path, Run], test_images: ImageData, tmp_path: Path) -> None:
    root, run = whole
    train(run.train, tmp_path / run.name)
    model = find_model(str(tmp_path / run.name)).model
    evaluate(model, test_images, protocol_of(run.evaluation), tmp_path / run.name / run.evaluation_name)
    assert_same_result(root, tmp_path, run)
    assert state_of(run, root) == "finished"
    assert json.loads((root / run.name / run.evaluation_name / "summary.json").read_text())["metrics"]["natural"]


def test_a_finished_run_is_skipped(whole: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    root, run = whole
    before = contents(root)
    monkeypatch.setattr(f"{MODULE}.train", None)
    monkeypatch.setattr(f"{MODULE}.evaluate", None)
    assert execute(run, root) == Outcome(run, "skipped")
    assert contents(root) == before


def test_a_second_evaluation_keeps_the_training(
    whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = whole
    shutil.copytree(root / run.name, tmp_path / run.name)
    other = replace(run, evaluation=replace(run.evaluation, n_examples=10, n_attribution=2))
    assert state_of(other, tmp_path) == "trained"
    monkeypatch.setattr(f"{MODULE}.train", None)
    assert execute(other, tmp_path).status == "finished"
    assert state_of(other, tmp_path) == state_of(run, tmp_path) == "finished"


def test_the_time_was_up_before(run: Run, tmp_path: Path) -> None:
    assert execute(run, tmp_path / "root", deadline=1.0) == Outcome(run, "stopped")
    assert not (tmp_path / "root").exists()


class Countdown:
    """The time is up at the n-th time of asking."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, deadline: float | None) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize(
    "patience", [pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow), 7]
)
def test_stopped_again_and_again(
    patience: int, whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops at every step or so and between any two batches; in the end nothing is different."""
    root, run = whole
    stops, states = 0, {state_of(run, tmp_path)}
    while True:
        monkeypatch.setattr(execute_module, "_is_past", Countdown(patience))
        outcome = execute(run, tmp_path)
        states.add(state_of(run, tmp_path))
        if outcome.status == "finished":
            break
        assert outcome.status == "stopped"
        stops += 1
        patience = max(patience, 3) if state_of(run, tmp_path) == "trained" else patience
    assert stops >= 2
    assert states >= {"new", "begun", "finished"}
    assert_same_result(tmp_path, root, run)


def test_the_evaluation_stops_between_batches(
    whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = whole
    train(run.train, tmp_path / run.name)
    records = tmp_path / run.name / run.evaluation_name / "records"
    monkeypatch.setattr(execute_module, "_is_past", Countdown(5))
    assert execute(run, tmp_path).status == "stopped"
    assert sorted(path.name for path in records.iterdir()) == [f"accuracy-{b:05d}.parquet" for b in range(3)]
    monkeypatch.undo()
    assert execute(run, tmp_path).status == "finished"
    assert_same_result(tmp_path, root, run)


def test_a_loss_that_is_not_finite_stops_only_its_own_run(run: Run, tmp_path: Path) -> None:
    bad = replace(run, train=replace(run.train, optim=replace(run.train.optim, lr=1e30)))
    outcomes = [execute(each, tmp_path) for each in (bad, run)]
    assert [outcome.status for outcome in outcomes] == ["failed", "finished"]
    message = outcomes[0].message
    assert message.startswith("the loss is not finite at step ")
    assert (tmp_path / "failures" / f"{bad.name}.txt").read_text() == f"{message}\n"
    assert [state_of(each, tmp_path) for each in (bad, run)] == ["failed", "finished"]
    assert execute(bad, tmp_path).message == message


def test_an_unforeseen_error_is_recorded_until_the_run_succeeds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("missing")

    monkeypatch.setattr(f"{MODULE}.evaluate", broken)
    outcome = execute(run, tmp_path)
    file = tmp_path / "failures" / f"{run.name}.txt"
    assert outcome.status == "failed"
    assert outcome.message == f"KeyError: 'missing' (unforeseen; the traceback is in {file})"
    assert "in broken" in file.read_text()
    monkeypatch.undo()
    assert execute(run, tmp_path).status == "finished"
    assert not file.exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory(error: Exception, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"{MODULE}.train", broken)
    assert "out of memory; run fewer at once (--jobs" in execute(run, tmp_path).message


def test_a_folder_in_use_fails_its_run_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / run.name).mkdir()
    with open(tmp_path / run.name / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use by another holdfast process" in execute(run, tmp_path).message
    assert execute(run, tmp_path).status == "finished"


def test_what_is_finished_with_other_settings_is_not_touched(whole: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = whole
    other = replace(run, train=replace(run.train, seed=9))
    shutil.copytree(root / run.name, tmp_path / other.name)
    before = contents(tmp_path / other.name)
    assert state_of(other, tmp_path) == "begun"
    message = execute(other, tmp_path).message
    assert "holds a finished run of other settings (seed: 0 -> 9), which is never overwritten" in message
    assert contents(tmp_path / other.name) == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_default_that_changed_is_seen_behind_one_hash(
    whole: tuple[Path, Run], tmp_path: Path, finished: bool
) -> None:
    """The folder has the run's own name, but an older version wrote another value of a default into it."""
    root, run = whole
    shutil.copytree(root / run.name, tmp_path / run.name)
    stored = tmp_path / run.name / "config.json"
    text = json.dumps(unsealed(stored.read_bytes()))
    assert '"weight_decay": 0.0' in text
    stored.write_text(sealed(json.loads(text.replace('"weight_decay": 0.0', '"weight_decay": 0.25'))))
    if not finished:
        (tmp_path / run.name / "result.json").unlink()
    before = contents(tmp_path / run.name)
    assert state_of(run, tmp_path) == "begun"
    assert "(optim.weight_decay: 0.25 -> 0.0)" in execute(run, tmp_path).message
    assert contents(tmp_path / run.name) == before


def test_an_evaluation_of_another_default_is_not_continued(whole: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = whole
    shutil.copytree(root / run.name, tmp_path / run.name)
    stored = tmp_path / run.name / run.evaluation_name / "protocol.json"
    text = json.dumps(unsealed(stored.read_bytes()))
    assert text.count('"random_start": true') > 0
    stored.write_text(sealed(json.loads(text.replace('"random_start": true', '"random_start": false'))))
    before = contents(tmp_path / run.name)
    assert state_of(run, tmp_path) == "trained"
    outcome = execute(run, tmp_path)
    assert outcome.status == "failed"
    assert "made with other settings" in outcome.message
    assert "random_start: False -> True" in outcome.message
    assert contents(tmp_path / run.name) == before


@pytest.mark.slow
def test_in_processes(whole: tuple[Path, Run], tmp_path: Path) -> None:
    """Two at once; one has been done before, one fails, and the files are those of a single process."""
    root, run = whole
    bad = replace(run, train=replace(run.train, optim=replace(run.train.optim, lr=1e30)))
    outcomes = {o.run: o for o in in_processes(partial(execute, root=tmp_path), [run, bad], jobs=2)}
    assert outcomes[run].status == "finished"
    assert outcomes[bad].message.startswith("the loss is not finite")
    assert_same_result(tmp_path, root, run)


@pytest.mark.slow
def test_asked_to_stop_in_processes(run: Run, tmp_path: Path) -> None:
    """The run at work is saved and left, the one that waits never begins; both go on later."""
    other = replace(run, train=replace(run.train, seed=9))
    long = replace(run, train=replace(run.train, optim=replace(run.train.optim, epochs=1000)))

    def begun() -> bool:
        return (tmp_path / long.name / "metrics.jsonl").is_file()

    outcomes = {o.run: o.status for o in in_processes(partial(execute, root=tmp_path), [long, other], 1, begun)}
    assert outcomes == {long: "stopped", other: "stopped"}
    assert list((tmp_path / long.name / "checkpoints").glob("step-*"))
    assert not (tmp_path / other.name).exists()
