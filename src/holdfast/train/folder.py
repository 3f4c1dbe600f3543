"""The folder of a run: its settings, its log, its checkpoints, and who may write in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.config import TrainConfig, differences, load_config, to_json
from holdfast.errors import HoldfastError


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

    @contextmanager
    def writing(self, config: TrainConfig, *, resume: bool) -> Iterator[None]:
        """Hold the folder for one process, after checking that ``config`` may be written into it.

        Raises:
            HoldfastError: the folder is in use, finished, holds another run's settings, or holds an
                unfinished run and ``resume`` is not asked for.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise HoldfastError(
                    f"{self.path} is in use by another holdfast process; wait for it, or choose another --out."
                ) from None
            self._admit(config, resume=resume)
            yield

    def _admit(self, config: TrainConfig, *, resume: bool) -> None:
        if self.finished:
            raise HoldfastError(
                f"{self.path} holds a finished run, which is never overwritten; "
                f"evaluate it (holdfast evaluate {self.path}), or choose another --out."
            )
        if not self.config.is_file():
            strangers = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if strangers:
                raise HoldfastError(
                    f"{self.path} is not empty ({', '.join(sorted(strangers)[:3])}) and holds no run; "
                    "choose another --out."
                )
            write_atomically(self.config, to_json(config))
            return
        if not resume:
            raise HoldfastError(
                f"{self.path} holds an unfinished run; continue it with --resume, or choose another --out."
            )
        changed = differences(load_config(TrainConfig, self.config), config)
        if changed:
            raise HoldfastError(
                f"{self.path} was started with other settings ({'; '.join(changed)}); "
                "resume with the same ones, or choose another --out."
            )


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` holds either its old content or all of the new one."""
    unfinished = path.with_name(path.name + ".part")
    with space_needed(path), open(unfinished, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


@contextmanager
def space_needed(path: Path) -> Iterator[None]:
    """Turn a full disk into a message that says what survives."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) != 28 and "No space left" not in str(error):
            raise
        raise HoldfastError(
            f"no space left on the disk while writing {path}; the checkpoint before it is intact: "
            "free some space and continue with --resume."
        ) from None


class MetricsLog:
    """One JSON object a line. Lines after the checkpoint that a run resumes from are dropped."""

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] <= resume_step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **line: Any) -> None:
        with space_needed(self.path), open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics log; a last line cut short by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
