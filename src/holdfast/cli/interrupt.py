"""Ctrl-C and SIGTERM end the work after the step at hand, once it is saved; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
