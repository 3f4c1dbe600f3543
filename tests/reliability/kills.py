"""Kill ``holdfast train``, ``evaluate``, ``sweep`` and ``audit`` with SIGKILL at random moments, again and again.

Usage: python -m tests.reliability.kills [--kills 200] [--seed 0] [--minutes M] [--root FOLDER]

One process imports what the commands import; each command runs in a child forked from it, by the program's own
``main``, on the embedded digits with tiny settings. A round starts a command, kills it after a random part of the
time that an undisturbed run takes, gives the same command again and kills it within half of that time, up to eight
times in all, and then lets it come to its end. Every file that it leaves is compared, byte for byte, with that of the
undisturbed run; of JSON files and of the optimiser's state, read back, the fields in ``TIMES`` are left out,
and the checksums that cover them. Prints what was done as JSON; the exit code is 1 if any file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from holdfast.recipes.profiles import PROFILES
from holdfast.recipes.setups import Setup
from holdfast.sealed import SEAL
from tests.runs.sweep_tiny import tiny as smaller

TIMES = {"seconds"}
IN_A_ROW = 8
NETWORK = """from holdfast.models import SmallCNN

def digits():
    return SmallCNN(image_size=8)
"""
TRAINING = (
    "train digits-trades-igr --device cpu --data.train-size 64 --objective.base.attack.steps 2 "
    "--objective.attribution.n-steps 2 --optim.epochs {epochs} --optim.batch-size 16 --val-size 10 "
    "--validation.steps 2 --resume --out out"
)
IMPORTED = (
    *(f"holdfast.cli.{command}" for command in ("train", "evaluate", "sweep", "audit", "estimate", "progress")),
    *("holdfast.train", "holdfast.sweep.drive", "holdfast.evaluate.result", "holdfast.audit.page"),
    *("holdfast.models.find", "holdfast.models.resolve", "torch._dynamo", "torch.testing"),
    *("jinja2", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    *("pandas", "pyarrow.parquet", "pydantic", "rich.progress", "typeguard"),
)
COMMANDS = {
    "train": TRAINING.format(epochs=4),
    "evaluate": "evaluate run --device cpu --n-examples 20 --n-attribution 4 --batch-size 5 --cw-steps 3 "
    "--score-n-steps 4 --random-draws 2 --ifia.steps 2 --ifia.n-steps 4 --auto None --out out",
    "sweep": "sweep core --profile smoke --device cpu --methods standard --seeds 0,1 --out out",
    "audit": "audit net.py:digits digits --weights run/last.safetensors --images 2 --eps 0.05 "
    "--attribution saliency --certify False --device cpu --out out",
}


def load() -> None:
    """Import what every command needs; no thread may be started before a fork."""
    for module in IMPORTED:
        import_module(module)
    torch.set_num_threads(1)
    PROFILES["smoke"] = tiny


def tiny(s: Setup) -> Setup:
    """8 training steps at 2 validations, 2 batches of each kind of records."""
    s = smaller(s)
    optim, ev = replace(s.base.optim, epochs=2, batch_size=16), replace(s.evaluation, n_examples=10, batch_size=5)
    return replace(s, base=replace(s.base, optim=optim, val_size=10), evaluation=replace(ev, n_attribution=4))


def start(line: str, folder: Path, errors: Path | None = None) -> int:
    """The process id of a child that runs the command in ``folder``.

    What it prints goes to FOLDER.log, or what it prints to standard error alone to ``errors``.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        log = os.open(errors or f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_WRONLY) if errors else log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        from holdfast.cli import main

        code = main(line.split())
        sys.stdout.flush()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def wait(pid: int, seconds: float | None) -> bool:
    """Whether the child ended by itself; after ``seconds`` it is killed.

    Raises:
        RuntimeError: it failed.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, 0 if deadline is None else os.WNOHANG)
        if ended:
            break
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"a command failed with {os.WEXITSTATUS(status)}")
    return True


def prepare(folder: Path, run: Path | None) -> None:
    folder.mkdir()
    (folder / "net.py").write_text(NETWORK)
    if run is not None:
        shutil.copytree(run, folder / "run")


def finish(line: str, folder: Path) -> None:
    """Give the command once more, to its end; a training that was killed after its last write says it is finished."""
    try:
        wait(start(line, folder), None)
    except RuntimeError as error:
        log = Path(f"{folder}.log").read_text()
        if "holds a finished run" not in log:
            raise RuntimeError(f"{error}: holdfast {line}\n{log}") from None


def files_of(folder: Path) -> dict[str, bytes]:
    """What every file holds, by its path, without ``TIMES``; what a killed write left unfinished is not a result."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_unfinished(path) and "__pycache__" not in path.parts:
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps(timeless(json.loads(content))).encode()
            elif path.suffix == ".pt":
                content = repr(timeless(torch.load(path, weights_only=True))).encode()
            found[str(path.relative_to(folder))] = content
    return found


def is_unfinished(path: Path) -> bool:
    return path.name.startswith(".") and path.name != ".lock"


def timeless(plain: Any) -> Any:
    """``plain`` without ``TIMES`` and the checksums that cover them; tensors as their hashes."""
    if isinstance(plain, dict):
        left_out = TIMES | {SEAL} if tells_times(plain) else set()
        return {key: timeless(value) for key, value in plain.items() if key not in left_out}
    if isinstance(plain, torch.Tensor):
        return plain.dtype, tuple(plain.shape), hashlib.sha256(plain.numpy().tobytes()).hexdigest()
    return [timeless(value) for value in plain] if isinstance(plain, list) else plain


def tells_times(plain: Any) -> bool:
    """Whether any of ``TIMES`` is in ``plain``, however deep."""
    if isinstance(plain, dict):
        return bool(TIMES & plain.keys()) or any(map(tells_times, plain.values()))
    return isinstance(plain, list) and any(map(tells_times, plain))


def differing(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """Paths that only one of the two has, or whose bytes are not the same."""
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def one_round(line: str, folder: Path, span: float, most: int, chance: random.Random) -> Counter[str]:
    """Kill the command up to ``most`` times in a row, then let it end; how often what happened."""
    count: Counter[str] = Counter(rounds=1)
    for kill in range(most):
        pid = start(line, folder)
        try:
            ended = wait(pid, chance.uniform(0, span if kill == 0 else span / 2))
        except RuntimeError:
            break  # finish() tells why
        if ended:
            count["ended before the kill"] += 1
            break
        count["kills"] += 1
        count["kills before the first file"] += not (folder / "out").exists()
    finish(line, folder)
    count["unfinished files left"] += sum(is_unfinished(path) for path in folder.rglob("*"))
    return count


def campaign(root: Path, kills: int, seed: int, minutes: float | None = None) -> dict[str, Any]:
    """Rounds of the command with the fewest kills until there were so many kills or minutes; what was done.

    A span shrinks where a run ended before its kill: it was measured when the machine was busier.
    """
    began = time.monotonic()
    load()
    chance = random.Random(seed)
    prepare(root / "first", None)
    finish(TRAINING.format(epochs=12), root / "first")
    run, spans, wanted = root / "first" / "out", {}, {}
    for command, line in COMMANDS.items():
        whole = root / f"{command}-whole"
        prepare(whole, None if command in ("train", "sweep") else run)
        started = time.monotonic()
        finish(line, whole)
        spans[command], wanted[command] = time.monotonic() - started, files_of(whole)
    did: dict[str, Counter[str]] = {command: Counter() for command in COMMANDS}
    names: list[str] = []
    undisturbed, number = dict(spans), 0
    while (left := kills - sum(count["kills"] for count in did.values())) > 0:
        command = min(COMMANDS, key=lambda name: did[name]["kills"])
        folder = root / f"{command}-{number:04d}"
        prepare(folder, None if command in ("train", "sweep") else run)
        most = min(left, chance.randint(1, IN_A_ROW))
        count = one_round(COMMANDS[command], folder, spans[command], most, chance)
        did[command] += count
        spans[command] *= 0.8 if count["ended before the kill"] else 1.0
        found = differing(files_of(folder), wanted[command])
        did[command]["files compared"] += len(wanted[command])
        did[command]["differing files"] += len(found)
        names += [f"{folder.name}/{name}" for name in found]
        if not found:
            shutil.rmtree(folder)
        number += 1
        passed = time.monotonic() - began
        print(f"{passed:.0f} s", number, command, dict(did[command]), *found, file=sys.stderr, flush=True)
        if minutes is not None and passed > 60 * minutes:
            break
    return {
        "seed": seed,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "seconds undisturbed": {command: round(span, 2) for command, span in undisturbed.items()},
        "commands": {command: dict(count) for command, count in did.items()},
        "all": {what: sum(count[what] for count in did.values()) for what in sorted(set().union(*did.values()))},
        "differing": names,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever the number of kills")
    parser.add_argument("--root", type=Path, help="an empty folder, kept; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.root or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        os.environ.update(HOLDFAST_CACHE=str(root / "cache"), HF_HUB_OFFLINE="1")
        done = campaign(root, options.kills, options.seed, options.minutes)
    print(json.dumps(done, indent=1))
    return 1 if done["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
