"""One run of a sweep: train unless trained, evaluate unless evaluated, go on where it was broken off."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from holdfast.data import load_dataset
from holdfast.errors import HoldfastError, first_line
from holdfast.evaluate import evaluate, protocol_of
from holdfast.evaluate.protocol import protocol_differences, read_protocol
from holdfast.evaluate.standard import EvalConfig
from holdfast.files import make_folder, write_atomically
from holdfast.models.find import find_model
from holdfast.part_json import from_json
from holdfast.sweep.plan import Run
from holdfast.train import Report, RunFolder, train
from holdfast.train.config import TrainConfig


class Watcher(Protocol):
    """Told after every training step, and how many images of an evaluation are done."""

    def step(self, report: Report) -> None: ...

    def images(self, kind: str, done: float, total: int) -> None: ...


Watch = Callable[[str], AbstractContextManager[Watcher]]
"""Opens a display for a run, given its title."""


class Silent:
    """Shows nothing: for runs in processes of their own."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def step(self, report: Report) -> None:
        pass

    def images(self, kind: str, done: float, total: int) -> None:
        pass


Status = Literal["finished", "skipped", "stopped", "failed"]
State = Literal["finished", "trained", "begun", "failed", "new"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. stopped: the time was up or somebody asked, perhaps before it began; message: why it failed."""

    run: Run
    status: Status
    seconds: float = 0.0
    message: str = ""


Stop = Callable[[], bool]


class Job(Protocol):
    """`execute` with all but the run and ``stop`` filled in."""

    def __call__(self, run: Run, /, *, stop: Stop = ...) -> Outcome: ...


def never() -> bool:
    return False


class _Stopped(Exception):
    """The time was up between two batches of an evaluation."""


def execute(
    run: Run,
    root: Path,
    *,
    device: str = "cpu",
    data_dir: str | None = None,
    watch: Watch = Silent,
    deadline: float | None = None,
    stop: Stop = never,
) -> Outcome:
    """Train in ``root/NAME`` and evaluate in ``root/NAME/eval-HASH``, as far as that is not done yet.

    Killed or stopped at any moment, the run goes on from its last checkpoint and its last whole batch of
    records; on a CPU with as many threads it ends with the very files of a run left alone. No failure leaves
    this function: the message is in the outcome and in ``root/failures/NAME.txt`` until the run succeeds.

    Args:
        watch: opens a progress display for a title.
        deadline: seconds since 1970 (``time.time()``); after it the state is saved, and the rest is left.
        stop: asked after each step and before each batch; when it says so the state is saved as well.
    """

    def is_over() -> bool:
        return _is_past(deadline) or stop()

    started = time.monotonic()
    failure = failure_file(run, root)
    try:
        if is_finished(run, root):
            return Outcome(run, "skipped")
        if is_over():
            return Outcome(run, "stopped")
        with watch(run.title) as display:
            whole = _train(run, root, device, data_dir, display, is_over)
            if whole:
                _evaluate(run, root, device, data_dir, display, is_over)
    except _Stopped:
        whole = False
    except Exception as error:
        message = _message(error, failure)
        details = "" if isinstance(error, HoldfastError) else "".join(traceback.format_exception(error))
        with suppress(HoldfastError):  # a full disk is in the message already
            make_folder(failure.parent)
            write_atomically(failure, f"{message}\n{details}")
        return Outcome(run, "failed", time.monotonic() - started, message)
    failure.unlink(missing_ok=True)
    return Outcome(run, "finished" if whole else "stopped", time.monotonic() - started)


def is_finished(run: Run, root: Path) -> bool:
    """Whether training and evaluation with these settings are complete."""
    folder = root / run.name / run.evaluation_name
    return _is_trained(run, root) and _is_evaluated(folder, run.evaluation)


def state_of(run: Run, root: Path) -> State:
    """How far a run has come, without opening weights or records."""
    if is_finished(run, root):
        return "finished"
    if failure_file(run, root).is_file():
        return "failed"
    if _is_trained(run, root):
        return "trained"
    return "begun" if (root / run.name).is_dir() else "new"


def failure_file(run: Run, root: Path) -> Path:
    """Why the last attempt at a run failed, and the traceback where the error was not foreseen."""
    return root / "failures" / f"{run.name}.txt"


def _train(run: Run, root: Path, device: str, data_dir: str | None, display: Watcher, is_over: Stop) -> bool:
    """Whether training is complete."""
    if _is_trained(run, root):
        return True
    folder = train(
        run.train,
        root / run.name,
        device=device,
        data_dir=data_dir,
        resume=True,
        on_step=display.step,
        stop=is_over,
    )
    return folder.finished


def _evaluate(run: Run, root: Path, device: str, data_dir: str | None, display: Watcher, is_over: Stop) -> None:
    def on_images(kind: str, done: float, total: int) -> None:
        if done < total and done % config.batch_size == 0 and is_over():
            raise _Stopped
        display.images(kind, done, total)

    config, folder = run.evaluation, root / run.name
    data = load_dataset(config.dataset, config.split, data_dir=data_dir)
    model = find_model(str(folder), shape=data.shape, num_classes=data.num_classes).model.to(device)
    evaluate(model, data, protocol_of(config), folder / run.evaluation_name, device=device, on_images=on_images)


def _is_trained(run: Run, root: Path) -> bool:
    folder = RunFolder(root / run.name)
    if not folder.finished:
        return False
    try:
        return from_json(TrainConfig, folder.config.read_bytes(), str(folder.config)) == run.train
    except (OSError, HoldfastError):
        return False


def _is_evaluated(folder: Path, config: EvalConfig) -> bool:
    """Whether a finished evaluation lies there; a metric or an attack more than it has takes nothing from it."""
    if not (folder / "summary.json").is_file():
        return False
    try:
        return not protocol_differences(read_protocol(folder), protocol_of(config), shared=True)
    except HoldfastError:
        return False


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.time() >= deadline


def _message(error: Exception, failure: Path) -> str:
    if isinstance(error, HoldfastError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "out of memory; run fewer at once (--jobs, --gpus-per-run), or choose a profile with smaller batches."
    return f"{type(error).__name__}: {first_line(error)} (unforeseen; the traceback is in {failure})"
