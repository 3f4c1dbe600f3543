"""Do a tiny sweep in forked children that kill themselves at random writes to its folder, and go on.

Usage: python sweep_and_die.py ROOT SEED

One process imports torch once. ``ROOT/whole`` is a sweep that was left alone, ``ROOT/killed`` one that was killed
again and again, each time before a write (of training, of records, of a summary) that chance chose. Prints the
number of writes of the whole sweep and of kills.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from sweep_tiny import METHODS, tiny
from train_and_die import Clock


def sweep_in_child(folder: Path, last: int | None, report: Path) -> bool:
    """Whether the sweep came to its end."""
    from holdfast.sweep import load_plan
    from holdfast.sweep.drive import sweep_here

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            clock = Clock(folder, last)
            sys.addaudithook(clock)
            plan = load_plan("all", profile="smoke", methods=METHODS)
            statuses = {outcome.status for outcome in sweep_here(plan, folder)}
            report.write_text(str(clock.count))
            code = 0 if statuses <= {"finished", "skipped"} else 2
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    if os.WEXITSTATUS(status):
        sys.exit(f"the sweep in {folder} failed with {os.WEXITSTATUS(status)}")
    return True


def main() -> None:
    import torch
    import torch._dynamo  # every optimiser imports it: once here rather than in each child

    import holdfast.sweep.drive  # noqa: F401
    from holdfast.recipes.profiles import PROFILES

    PROFILES["smoke"] = tiny
    torch.set_num_threads(1)
    root, chance = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    report = root / "report"
    assert sweep_in_child(root / "whole", None, report)
    total, kills = int(report.read_text()), 0
    while not sweep_in_child(root / "killed", chance.randint(1, total // 3), report):
        kills += 1
    print(total, kills)


if __name__ == "__main__":
    main()
