"""The folder of a run: its settings, its log, its checkpoints, and who may write in it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.files import locked, refuse_if_held, writable, write_atomically
from holdfast.part_json import from_json, to_json
from holdfast.parts import differences
from holdfast.sealed import parsed, unsealed
from holdfast.train.config import TrainConfig


class RunFolder:
    """Paths of one run and the rules for starting, resuming and finishing in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"

    @property
    def finished(self) -> bool:
        return self.result.is_file()

    @property
    def begun(self) -> bool:
        """Whether starting anew would lose something: a checkpoint, or the log of a first epoch."""
        return self.last.is_file() or (self.metrics.is_file() and self.metrics.stat().st_size > 0)

    @contextmanager
    def writing(self, config: TrainConfig, *, resume: bool) -> Iterator[None]:
        """Hold the folder for one process, after checking that ``config`` may be written into it.

        Raises:
            HoldfastError: the folder is in use, finished, holds another run's settings, or holds an
                unfinished run and ``resume`` is not asked for. A run that failed in its first step left nothing to
                lose: it is started anew, with whatever settings.
        """
        self._refuse_strangers()
        with locked(self.path):
            self._admit(config, resume=resume)
            if not self.begun:
                write_atomically(self.config, to_json(config))
            yield

    def check(self, config: TrainConfig, *, resume: bool) -> None:
        """Raise as `writing` does; nothing is written."""
        self._refuse_strangers()
        refuse_if_held(self.path)
        self._admit(config, resume=resume)

    def _refuse_strangers(self) -> None:
        with writable(self.path):
            strangers = [p.name for p in self.path.iterdir() if p.name[0] != "."] if self.path.exists() else []
        if strangers and not self.config.is_file():
            raise HoldfastError(
                f"{self.path} is not empty ({', '.join(sorted(strangers)[:3])}) and holds no run; choose another --out."
            )

    def _admit(self, config: TrainConfig, *, resume: bool) -> None:
        changed = differences(load_config(self.config), config) if self.config.is_file() else []
        if self.finished:
            what = f" of other settings ({'; '.join(changed)})" if changed else ""
            raise HoldfastError(
                f"{self.path} holds a finished run{what}, which is never overwritten; "
                f"evaluate it (holdfast evaluate {self.path}), or choose another --out."
            )
        if not self.begun:
            return
        if not resume:
            raise HoldfastError(
                f"{self.path} holds an unfinished run; continue it with --resume, or choose another --out."
            )
        if changed:
            raise HoldfastError(
                f"{self.path} was started with other settings ({'; '.join(changed)}); "
                "resume with the same ones, or choose another --out."
            )


def load_config(path: Path) -> TrainConfig:
    """The stored settings of a run."""
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give a folder that holdfast train wrote.")
    return from_json(TrainConfig, path.read_bytes(), str(path))


@dataclass(frozen=True)
class Report:
    """What a progress display is told after each step and after each epoch."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    images: int
    """Images trained on so far, each as often as it was seen."""
    total_images: int
    losses: dict[str, float]
    validation: dict[str, float] | None = None


class MetricsLog:
    """One JSON object a line. Lines after the checkpoint that a run resumes from are dropped."""

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= resume_step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **line: Any) -> None:
        with writable(self.path), open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics log; a last line cut short by a kill is left out.

    Raises:
        HoldfastError: a line that is none of a log.
    """
    if not path.is_file():
        return []
    try:
        found = [parsed(line) for line in path.read_text().split("\n")[:-1] if line]
        if any(type(line.get("step")) is not int or not _numbers(line) for line in found):
            raise ValueError
        return found
    except (OSError, ValueError):
        raise HoldfastError(f"metrics log {path} is damaged; restore it, or start a new run.") from None


def _numbers(line: dict[str, Any]) -> bool:
    """Whether all but the kind of a line are finite numbers."""
    return all(type(v) in (int, float) and math.isfinite(v) for name, v in line.items() if name != "kind")


def read_training(run: RunFolder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a finished run says of its training (seconds, device, best epoch), and its log.

    Raises:
        HoldfastError: either is damaged, or they are not of one run.
    """
    try:
        training = unsealed(run.result.read_bytes())
    except (OSError, ValueError):
        raise HoldfastError(f"{run.result} is damaged; restore it, or train again.") from None
    log = read_metrics(run.metrics)
    whole = training.pop("log", None)
    if whole is not None and hashlib.sha256(run.metrics.read_bytes()).hexdigest() != whole:
        raise HoldfastError(f"metrics log {run.metrics} was cut short or edited; restore it, or train again.")
    return training, log
