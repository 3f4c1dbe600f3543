"""Files that are whole or absent, folders held by one process, and disks that are full."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from holdfast.errors import HoldfastError

LEFT_BEHIND_SECONDS = 3600.0
"""No write takes this long: an older unfinished file has nobody who writes it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold it for one process; a process that is killed holds nothing.

    Raises:
        HoldfastError: another process holds it.
    """
    make_folder(folder)
    with _locked_file(folder, ".lock", fcntl.LOCK_EX):
        yield


@contextmanager
def locked_share(folder: Path, rank: int, of: int) -> Iterator[None]:
    """Hold share ``rank`` of the work in a folder, which ``of`` processes divide; the folder itself where ``of`` is 1.

    Raises:
        HoldfastError: another process holds that share, or the whole folder.
    """
    if of == 1:
        with locked(folder):
            yield
        return
    make_folder(folder)
    with _locked_file(folder, ".lock", fcntl.LOCK_SH), _locked_file(folder, f".lock-{rank}", fcntl.LOCK_EX):
        yield


def refuse_if_held(folder: Path) -> None:
    """Raise as `locked` does where another process holds ``folder``; nothing is made."""
    if (folder / ".lock").is_file():
        with locked(folder):
            pass


def refuse_to_replace(folder: Path, own: str, written: Iterable[str]) -> None:
    """Raise where ``folder`` has no file ``own``, which says whose it is, but something that would be replaced."""
    found = [name for name in written if (folder / name).exists()]
    if found and not (folder / own).is_file():
        raise HoldfastError(
            f"{folder} holds something else ({', '.join(found)}), which would be written over; choose another --out."
        )


@contextmanager
def _locked_file(folder: Path, name: str, kind: int) -> Iterator[None]:
    with writable(folder):
        lock = open(folder / name, "w")  # noqa: SIM115
    with lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except OSError:
            raise HoldfastError(
                f"{folder} is in use by another holdfast process; wait for it, or choose another --out."
            ) from None
        yield


def make_folder(path: Path) -> None:
    """Make ``path`` and the folders above it."""
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` so that ``path`` holds either its old content or all of the new one.

    Processes that write the same path at once do not disturb each other: the last one stays.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with writable(path):
        _remove_leftovers(path)
        try:
            with open(unfinished, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _remove_leftovers(path: Path) -> None:
    """Remove unfinished copies of ``path`` that a kill left behind; younger ones may be another process's at work."""
    for leftover in path.parent.glob(f".{escape(path.name)}.????????.part"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFT_BEHIND_SECONDS:
                leftover.unlink()


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
