"""Ctrl-C and SIGTERM: the state is saved, the command that goes on is printed, and the exit code tells the signal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast.cli import main
from holdfast.cli.interrupt import Interrupt

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
TINY = Path(__file__).with_name("sweep_tiny.py")
PATIENCE = 120
TRAIN = (
    "train digits-at --device cpu --data.train-size 64 --objective.attack.steps 2 --optim.epochs {epochs} "
    "--optim.batch-size 8 --val-size 20 --out"
)


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Ctrl-C is heard here and by children, where a shell started the tests in the background too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(
    command: list[str], number: int, folder: Path, begun: Callable[[], bool]
) -> subprocess.CompletedProcess[str]:
    """The program, sent a signal once it has begun."""
    process = subprocess.Popen(command, cwd=folder, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while not begun():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_run(number: int, code: int, tmp_path: Path) -> None:
    holdfast = [sys.executable, "-m", "holdfast"]
    run = tmp_path / "my run"
    command = [*TRAIN.format(epochs=20).split(), "my run"]
    done = interrupted([*holdfast, *command], number, tmp_path, lambda: (run / "checkpoints").exists())
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "saving after this step" in done.stderr
    saved, again = done.stdout.splitlines()
    assert saved == "Stopped and saved: my run"
    assert again == f"Go on with: holdfast {shlex.join(command)} --resume"
    assert list((run / "checkpoints").glob("step-*"))
    assert not (run / "result.json").exists()
    second = subprocess.run(
        [*holdfast, *shlex.split(again)[4:]], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    assert (run / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep(jobs: int, tmp_path: Path) -> None:
    """Stopped in the middle; the printed command ends it with the weights of a sweep that was left alone."""
    line = f"sweep core --profile smoke --device cpu --methods at,trades-igr --jobs {jobs} --out"
    command = [sys.executable, str(TINY), *line.split()]
    out = tmp_path / "stopped"
    done = interrupted([*command, "stopped"], signal.SIGINT, tmp_path, lambda: bool(list(out.glob("*/metrics.jsonl"))))
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "stopped" in done.stdout
    again = done.stdout.splitlines()[-1]
    assert again == f"Go on with: holdfast {line} stopped"
    for folder in ("stopped", "whole"):
        ended = subprocess.run([*command, folder], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    weights = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("last.safetensors"))
    assert len(weights) == 2
    for path in weights:
        found, wanted = load_file(out / path), load_file(tmp_path / "whole" / path)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("line", "ending"),
    [
        ("evaluate 'my run' --cw-steps 2", ""),
        ("audit net.py:digits digits --eps 8/255", ""),
        ("demo --out here", ""),
        ("reproduce table3", ""),
        ("train digits-at --out here", " --resume"),
        ("train digits-at --resume --out here", ""),
    ],
)
def test_other_commands_name_the_one_that_goes_on(
    line: str, ending: str, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command is at; each keeps what it has done, as the kill campaign shows."""

    def work(argv: list[str]) -> int:
        signal.raise_signal(number)
        return 0

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    words = shlex.split(line)
    monkeypatch.setattr(f"holdfast.cli.{words[0]}.run", work)
    assert main(words) == code
    told = f"holdfast: interrupted; what was finished is kept. Go on with: holdfast {line}{ending}\n"
    assert capsys.readouterr().err == told
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_second_signal_ends_at_once_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert (interrupt(), interrupt.code) == (False, 0)
        signal.raise_signal(signal.SIGTERM)
        assert (interrupt(), interrupt.code) == (True, 143)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
