"""Ctrl-C and SIGTERM: what they end, and the command that goes on.

Training runs and sweeps end after the step at hand, once it is saved, and at once at a second signal. Other commands
end at once: they keep every batch or image that is done.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ended(KeyboardInterrupt):
    """SIGTERM, where nothing else caught it."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises `Ended`, as Ctrl-C raises KeyboardInterrupt; in the main thread alone."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def that_goes_on(argv: Sequence[str]) -> str:
    """The words that take an interrupted command up where it was left.

    >>> that_goes_on(["train", "digits-at", "--out", "my run"])
    "Go on with: holdfast train digits-at --out 'my run' --resume"
    """
    resumed = ["--resume"] if argv[0] == "train" and "--resume" not in argv else []
    return f"Go on with: holdfast {shlex.join([*argv, *resumed])}"


class Interrupt:
    """Used as a context manager around the work, and called by it: whether somebody asked for its end.

    Signals are caught in the main thread alone, where Python delivers them; elsewhere nothing ever asks.
    """

    def __init__(self) -> None:
        self.number = 0

    @property
    def code(self) -> int:
        """The exit code of a program that a signal ended: 130 or 143; 0 where none came."""
        return 128 + self.number if self.number else 0

    def __call__(self) -> bool:
        return self.number > 0

    def __enter__(self) -> Interrupt:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
        os.write(2, b"\nholdfast: saving after this step; once more ends it at once.\n")
