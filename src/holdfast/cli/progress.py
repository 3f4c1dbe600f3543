"""Progress for people: a live bar with the time left on a terminal, a line an epoch elsewhere; 80 columns."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from holdfast.report.words import counted, duration
from holdfast.train.folder import Report

LEGEND = "acc: held-out accuracy in %, clean/attacked; cos: of their attributions"


class Display:
    """Shows a training run or an evaluation; used as a context manager around it."""

    def __init__(self, title: str, console: Console | None = None, note: str = "") -> None:
        self.title, self.note = title, note
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, object] = {}
        self.first: tuple[int, float] | None = None

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def step(self, report: Report) -> None:
        """Told after every training step and every epoch."""
        if self.first is None:
            self.first = report.images, time.monotonic()
            self._say(f"{self.title}: {self.note}" if self.note else self.title)
            self._say(LEGEND)
        rate = self._rate(report)
        epoch = f"epoch {report.epoch}/{report.epochs}"
        note = f"images {rate:.0f} img/s " if rate else "images "
        self._show("train", epoch, report.images, report.total_images, note)
        if report.validation is not None:
            self._say(line_of(report, rate))

    def _rate(self, report: Report) -> float | None:
        """Images a second since the first step; None before the second one."""
        assert self.first is not None
        images, started = self.first
        return (report.images - images) / (time.monotonic() - started) if report.images > images else None

    def images(self, kind: str, done: float, total: int) -> None:
        """Told how many images of an evaluation are done, a batch in work by its share."""
        self._show(kind, kind, int(done), total, "images ")
        if done == total and not self.console.is_terminal:
            self._say(f"{self.title}  {kind}  {counted(total, 'image')} done")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _show(self, key: str, description: str, done: int, total: int, note: str) -> None:
        if key not in self.tasks:
            self.tasks[key] = self.progress.add_task(description, total=total, note=note)
        self.progress.update(self.tasks[key], completed=done, total=total, description=description, note=note)  # type: ignore[arg-type]


def line_of(report: Report, rate: float | None) -> str:
    """The line of an epoch, at most 80 columns.

    >>> measured = {"natural": 0.965, "adversarial": 0.88, "cosine": 0.934}
    >>> line_of(Report(40, 80, 1, 2, 500, 1000, {"loss": 1.234, "ce": 1.0}, measured), 50.0)
    'epoch 1/2  loss 1.234  acc 96.5/88  cos 0.93  50 img/s  left 10 s'
    """
    assert report.validation is not None
    natural, adversarial, cosine = (report.validation[name] for name in ("natural", "adversarial", "cosine"))
    parts = [
        f"epoch {report.epoch}/{report.epochs}",
        f"loss {report.losses['loss']:.4g}",
        f"acc {100 * natural:.3g}/{100 * adversarial:.3g}",
        f"cos {cosine:.2f}",
    ]
    if rate:
        parts += [f"{rate:.0f} img/s", f"left {duration((report.total_images - report.images) / rate)}"]
    return "  ".join(parts)
