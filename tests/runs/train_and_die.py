"""Train in forked children that kill themselves at a chosen write to the run folder, and resume.

Usage: python train_and_die.py ROOT < job.json

One process imports torch once; every training run below is a child of it. ``ROOT/whole`` is a run that was
left alone. ``ROOT/event-N`` was killed before its N-th write (an open for writing, a rename, a removal, a new
folder, a lock) and then resumed once. ``ROOT/often`` was killed again and again. Prints what it did as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "fcntl.flock"}


class Clock:
    """Counts the writes under ``folder`` and kills the process before number ``last``."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder, self.last, self.count = str(folder), last, 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            inside = isinstance(path, str | os.PathLike) and str(path).startswith(self.folder)
            if not inside or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event == "fcntl.flock":
            pass
        elif event not in CHANGES or not str(args[0]).startswith((self.folder, "step-", "model", "state", ".part")):
            return
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def run_in_child(config: Any, folder: Path, last: int | None, report: Path) -> int | None:
    """Train or resume in ``folder``; the number of writes, or None when the child killed itself."""
    from holdfast.train import train

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            clock = Clock(folder, last)
            sys.addaudithook(clock)
            train(config, folder, resume=True, checkpoint_seconds=0)
            report.write_text(str(clock.count))
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    if os.WEXITSTATUS(status):
        sys.exit(f"the run in {folder} failed")
    return int(report.read_text())


def main() -> None:
    import torch
    import torch._dynamo  # every optimiser imports it: once here rather than in each child

    import holdfast.train  # noqa: F401
    from holdfast.part_json import from_json
    from holdfast.train import TrainConfig

    torch.set_num_threads(1)
    root, job = Path(sys.argv[1]), json.load(sys.stdin)
    config = from_json(TrainConfig, job["config"], "the job")
    report = root / "report"
    total = run_in_child(config, root / "whole", None, report)
    assert total is not None
    events = range(1, total + 1, job["stride"]) if job["stride"] else []
    for event in events:
        folder = root / f"event-{event:04d}"
        assert run_in_child(config, folder, event, report) is None
        assert run_in_child(config, folder, None, report) is not None
    kills, chance = 0, random.Random(job["seed"])
    while job["often"] and run_in_child(config, root / "often", chance.randint(*job["often"]), report) is None:
        kills += 1
    print(json.dumps({"events": len(events), "total": total, "kills": kills}))


if __name__ == "__main__":
    main()
