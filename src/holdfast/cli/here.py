"""Where a command runs, how long it takes there (said above a minute, asked above an hour), and how it is ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterable
from types import FrameType

from holdfast.errors import HoldfastError, HoldfastWarning


def pick_device(name: str) -> str:
    """ "auto" is cuda when there is one, else cpu; anything else must exist."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # "meta" is a device, but holds no numbers
    except (RuntimeError, AssertionError):
        raise HoldfastError(f"device {name!r} is not available here; choose cpu or auto.") from None
    return name


WORTH_TIMING = 5000
"""Forward passes below which nothing takes a minute."""
SAY_SECONDS, ASK_SECONDS = 60, 3600

Work = tuple[str, tuple[int, int, int], float]
"""A network's name, the shape of its images, and forward passes of one of them."""


def announce(what: str, seconds: float, device: str, *, yes: bool) -> None:
    """Print an estimate of more than a minute; ask whether to go on where it is more than an hour.

    Asks only people: when standard input is a terminal, and not with ``yes``.

    Raises:
        HoldfastError: the answer was no.
    """
    from holdfast.report.words import duration

    if seconds < SAY_SECONDS:
        return
    print(f"holdfast: {what} will take about {duration(seconds)} on {device} (estimated).", file=sys.stderr)
    if seconds < ASK_SECONDS or yes or not sys.stdin.isatty():
        return
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise HoldfastError("not started; choose a smaller --profile or fewer images, or --yes to start unasked.")


def estimated_seconds(work: Iterable[Work], device: str) -> float:
    """The sum over the work; each network is timed once, for a fraction of a second."""
    from holdfast.models.resolve import seconds_per_forward

    passes: dict[tuple[str, tuple[int, int, int]], float] = {}
    for model, shape, count in work:
        passes[model, shape] = passes.get((model, shape), 0.0) + count
    seconds = 0.0
    for (model, shape), count in passes.items():
        if count >= WORTH_TIMING:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HoldfastWarning)
                seconds += count * seconds_per_forward(model, shape, device)
    return seconds


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
