"""A folder that one process works in is refused to a second one, whatever the command, and free once it is dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.errors import HoldfastError
from holdfast.files import locked_share
from tests.reliability.conftest import campaign
from tests.reliability.two_processes import LINES, REFUSAL

HOLD = """
import sys
from pathlib import Path
from holdfast.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
COMMANDS = {
    "train": "train digits-at --profile smoke --device cpu --yes --out {out}",
    "evaluate": "evaluate small_cnn --dataset digits --n-examples 4 --n-attribution 2 --device cpu --out {out}",
    "sweep": "sweep core --profile smoke --device cpu --yes --out {out}",
    "audit": "audit small_cnn digits --images 1 --device cpu --yes --out {out}",
    "reproduce": "reproduce table2 --profile smoke --device cpu --yes --out {out}",
    "demo": "demo --jobs 1 --device cpu --out {out}",
}


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that holds ``tmp_path / "out"``."""
    monkeypatch.setattr("holdfast.models.resolve.seconds_per_forward", lambda *_, **__: 1e-6)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_a_folder_in_use_is_refused_and_left_alone(
    line: str, held: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(line.format(out=out).split()) == 2
    assert capsys.readouterr().err.endswith(REFUSAL.format(out=out))
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_shares_of_an_evaluation_stand_side_by_side(held: subprocess.Popen[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(HoldfastError, match="in use"), locked_share(out, 0, 2):
        pass
    held.kill()
    held.wait()
    with locked_share(out, 0, 2), locked_share(out, 1, 2):
        for rank, of in ((0, 2), (0, 1)):
            with pytest.raises(HoldfastError, match="in use"), locked_share(out, rank, of):
                pass
    with locked_share(out, 0, 1):
        pass


@pytest.mark.slow
def test_two_processes_at_work(tmp_path: Path) -> None:
    did = campaign("two_processes", "--at-once", "1", "--root", str(tmp_path))
    assert did["commands"].keys() == LINES.keys()
