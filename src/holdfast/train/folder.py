"""The folder of a run: its settings, its log, its checkpoints, and who may write in it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
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
        make_folder(self.path)
        self._refuse_strangers()
        with writable(self.path):
            lock = open(self.path / ".lock", "w")  # noqa: SIM115
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise HoldfastError(
                    f"{self.path} is in use by another holdfast process; wait for it, or choose another --out."
                ) from None
            self._admit(config, resume=resume)
            yield

    def _refuse_strangers(self) -> None:
        strangers = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if strangers and not self.config.is_file():
            raise HoldfastError(
                f"{self.path} is not empty ({', '.join(strangers[:3])}) and holds no run; choose another --out."
            )

    def _admit(self, config: TrainConfig, *, resume: bool) -> None:
        if self.finished:
            raise HoldfastError(
                f"{self.path} holds a finished run, which is never overwritten; "
                f"evaluate it (holdfast evaluate {self.path}), or choose another --out."
            )
        if not self.config.is_file():
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


def make_folder(path: Path) -> None:
    """Make ``path`` and the folders above it."""
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` holds either its old content or all of the new one.

    Processes that write the same path at once do not disturb each other: the last one stays.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with writable(path):
        try:
            with open(unfinished, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn a full disk, or a place that cannot be written, into a message that says what survives."""
    try:
        yield
    except HoldfastError:
        raise
    except Exception as error:
        chain = list(_chain(error))
        if any(getattr(e, "errno", None) == errno.ENOSPC or "No space left" in str(e) for e in chain):
            raise HoldfastError(
                f"no space left on the disk while writing {path}; what was written before is intact: "
                "free some space and run the same command again (a training run: with --resume)."
            ) from None
        if isinstance(error, OSError):
            raise HoldfastError(
                f"cannot write {path} ({error.strerror or error}); what was written before is intact: "
                "make it writable, or choose another --out."
            ) from None
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


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
    """The lines of a metrics log; a last line cut short by a kill is left out."""
    if not path.is_file():
        return []
    try:
        lines = path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]
    except ValueError:
        raise HoldfastError(f"metrics log {path} is damaged; restore it, or start a new run.") from None
