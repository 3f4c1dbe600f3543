"""Progress for people: a live bar with the time left on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from holdfast.train.loop import Report


class Display:
    """Shows a training run or an evaluation; used as a context manager around it."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, object] = {}

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def step(self, report: Report) -> None:
        """Told after every training step and every epoch."""
        losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        self._show(f"{self.title} epoch {report.epoch}", report.step, report.total_steps, losses)
        if report.validation is not None:
            measured = "  ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
            self.console.print(
                f"{self.title}  epoch {report.epoch}  {losses}  |  validation: {measured}",
                highlight=False,
                soft_wrap=True,
            )

    def batch(self, kind: str, done: int, total: int) -> None:
        """Told before every evaluation batch and after the last."""
        self._show(f"{self.title} {kind}", done, total, "")
        if done == total and not self.console.is_terminal:
            self.console.print(f"{self.title}  {kind}  {total} batches done", highlight=False)

    def _show(self, description: str, done: int, total: int, note: str) -> None:
        key = description.split(" epoch ")[0]
        if key not in self.tasks:
            self.tasks[key] = self.progress.add_task(description, total=total, note=note)
        self.progress.update(self.tasks[key], completed=done, total=total, description=description, note=note)  # type: ignore[arg-type]
