"""What a sweep tells its progress to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from holdfast.train import Report


class Watcher(Protocol):
    """Told after every training step, before every evaluation batch and after the last."""

    def step(self, report: Report) -> None: ...

    def batch(self, kind: str, done: int, total: int) -> None: ...


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

    def batch(self, kind: str, done: int, total: int) -> None:
        pass
