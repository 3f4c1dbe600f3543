"""What a sweep tells its progress to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from holdfast.train import Report


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
