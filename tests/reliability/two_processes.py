"""Two ``holdfast`` processes on one folder: the second is refused, the first leaves the files of one left alone.

Usage: python -m tests.reliability.two_processes [--at-once 3] [--commands train,evaluate,...] [--root FOLDER]

Children are forked and files compared as `tests.reliability.kills` does. For each command, on folders of their own: a
second process begins while the first, which has written its first file, is stopped by SIGSTOP; the first is killed by
SIGKILL instead and the command given again; and two begin at the same instant, ``--at-once`` times. Prints what was
done as JSON; the exit code is 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.reliability.kills import COMMANDS, TRAINING, differing, files_of, finish, load, prepare, start, wait

REFUSAL = "holdfast: {out} is in use by another holdfast process; wait for it, or choose another --out.\n"
LINES = {**COMMANDS, "reproduce": "reproduce figure7 --profile smoke --device cpu --out out"}
SECONDS = 300.0


def begun(line: str, folder: Path) -> int:
    """A child that has written its first file, and so holds the folder."""
    pid, out = start(line, folder), folder / "out"
    deadline = time.monotonic() + SECONDS
    while not any(path.is_file() and path.name[0] != "." for path in out.rglob("*")):
        if time.monotonic() > deadline or os.waitpid(pid, os.WNOHANG)[0]:
            raise RuntimeError(f"holdfast {line} wrote nothing: {Path(f'{folder}.log').read_text()}")
        time.sleep(0.002)
    return pid


def beside(line: str, folder: Path, log: str) -> Callable[[], tuple[bool, str]]:
    """Start another child in ``folder``; what waits for it: whether it succeeded, and what it said on stderr."""
    held = Path(f"{folder}.{log}")
    pid = start(line, folder, held)

    def end() -> tuple[bool, str]:
        try:
            return wait(pid, None), held.read_text()
        except RuntimeError:
            return False, held.read_text()

    return end


def refused_while_at_work(line: str, folder: Path) -> bool:
    first = begun(line, folder)
    os.kill(first, signal.SIGSTOP)
    succeeded, said = beside(line, folder, "second")()
    os.kill(first, signal.SIGCONT)
    wait(first, None)
    return not succeeded and said == REFUSAL.format(out="out")


def free_after_a_kill(line: str, folder: Path) -> bool:
    first = begun(line, folder)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    succeeded, _ = beside(line, folder, "again")()
    return succeeded


def one_of_two_at_once(line: str, folder: Path) -> bool:
    """One at least succeeds; the other is refused, or came so late that it found everything done."""
    ends = [beside(line, folder, log) for log in ("one", "two")]
    found = [end() for end in ends]
    late = "holds a finished run"
    return any(done for done, _ in found) and all(
        done or (said.count("\n") == 1 and (said == REFUSAL.format(out="out") or late in said)) for done, said in found
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--commands", default=",".join(LINES))
    parser.add_argument("--root", type=Path, help="an empty folder, kept; a temporary one by default")
    options = parser.parse_args()
    did: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.root or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        os.environ.update(HOLDFAST_CACHE=str(root / "cache"), HF_HUB_OFFLINE="1")
        load()
        prepare(root / "first", None)
        finish(TRAINING.format(epochs=12), root / "first")
        for command in options.commands.split(","):
            line, run = LINES[command], root / "first" / "out" if command in ("evaluate", "audit") else None
            whole = root / f"{command}-whole"
            prepare(whole, run)
            finish(line, whole)
            wanted, did[command] = files_of(whole), Counter()
            for trial in (refused_while_at_work, free_after_a_kill, *[one_of_two_at_once] * options.at_once):
                name = f"{command}-{trial.__name__}-{did[command][trial.__name__]}"
                prepare(root / name, run)
                if not trial(line, root / name):
                    wrong.append(name)
                found = differing(files_of(root / name), wanted)
                did[command][trial.__name__] += 1
                did[command]["files compared"] += len(wanted)
                did[command]["files that differ"] += len(found)
                wrong += [f"{name}/{path}" for path in found]
            print(command, dict(did[command]), wrong, file=sys.stderr, flush=True)
    print(json.dumps({"commands": did, "wrong": wrong}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
