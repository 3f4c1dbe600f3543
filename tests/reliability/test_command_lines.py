"""Random argument lists for every command: bad input is one message and exit code 2, never a traceback."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import COMMANDS, main
from holdfast.cli.completion import options_of

WORDS = (
    "", " ", "-", "--", "---", "0", "-1", "1e999", "nan", "inf", "2/255", "8/0", "1/", "true", "None", "[]", "{}",
    "a,b", ",", "digits", "mnist", "digits-at", "digits-at-igr", "small_cnn", "runs", "core", "all", "table2",
    "gone.json", "gone.py:net", "gone.pt2", "x.safetensors", "timm:resnet18", "hf:me/mine", "torch.nn:Linear",
    "os:getcwd", "net.py:", ":net", "a:b:c", "saliency", "TopK(k=3)", "TopK(k=", "IFIA(eps='x')", "TopK(__class__=1)",
    "smoke", "laptop", "cpu", "cuda:99", "meta", "/", ".", "..", "~", "/dev/null", "\x00", "\n", "ünï", "日本",
    "\ud800", "%s", "{0}", "[bold]", "<b>", "'", '"', "10m", "0s",
)  # fmt: skip
"""What people and their scripts type, and what nobody should."""


class Started(BaseException):
    """The work would begin here: everything before it was accepted."""


def start(*args: Any, **kwargs: Any) -> Any:
    raise Started


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, no network, and no work that takes long."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    for place, name in (
        ("holdfast.train.loop", "_Run.go"),
        ("holdfast.evaluate.job", "accuracy_rows"),
        ("holdfast.evaluate.job", "attribution_rows"),
        ("holdfast.audit.run", "measure"),
        ("holdfast.demo", "compare"),
        ("holdfast.demo", "compare_zoo"),
        ("holdfast.paper.make", "reproduce"),
        ("holdfast.sweep.drive", "sweep_here"),
        ("holdfast.sweep.drive", "sweep_on_ray"),
        ("holdfast.data.manage", "prepare"),
    ):
        owner, _, attribute = name.rpartition(".")
        module = import_module(place)
        monkeypatch.setattr(getattr(module, owner) if owner else module, attribute, start)
    monkeypatch.setattr("holdfast.models.resolve.seconds_per_forward", lambda *args, **kwargs: 1e-4)
    return tmp_path


BASES = (
    ["train", "digits-at", "--profile", "smoke", "--out", "run"],
    ["evaluate", "small_cnn", "--dataset", "digits", "--n-examples", "4"],
    ["audit", "small_cnn", "digits", "--images", "1", "--eps", "2/255"],
    ["sweep", "core", "--profile", "smoke", "--methods", "at", "--yes"],
    ["reproduce", "table2", "--profile", "smoke", "--yes"],
    ["recipes", "digits-at"],
    ["data", "list"],
    ["demo", "--out", "demo"],
    ["report", "a.json", "b.json"],
    ["leaderboard", "results"],
    ["completion", "bash"],
)
"""A line of each command that would start its work, or nearly."""


def changed(base: list[str], options: list[str], rng: random.Random) -> list[str]:
    """One to four words of a line dropped, doubled, swapped, replaced or added."""
    line = list(base)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(1, len(line))
        word = rng.choice(WORDS)
        match rng.randrange(6):
            case 0:
                line[at:at] = [rng.choice(options), word] if options else [word]
            case 1:
                line[at:at] = [f"{rng.choice(options)}={word}"] if options else [word]
            case 2 if at < len(line):
                line[at] = word
            case 3 if at < len(line):
                del line[at]
            case 4 if at < len(line):
                line[at:at] = [line[at]]
            case _:
                rng.shuffle(rest := line[1:])
                line[1:] = rest
    return line


def outcome(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a line came to; anything but bad input in one message, success or the start of the work is an error."""
    capsys.readouterr()
    try:
        code: Any = main(line)
    except Started:
        return "started"
    except SystemExit as end:
        code = 0 if end.code is None else end.code
    out, err = capsys.readouterr()
    assert code in (0, 1, 2), (line, code)
    assert "Traceback" not in out + err, line
    if code == 2:
        said = [text for text in err.splitlines() if not text.startswith("holdfast: warning:")]
        assert len(said) == 1, (line, err)
        assert said[0].startswith("holdfast: "), (line, err)
        assert len(said[0]) < 1500, (line, err)
    return "refused" if code == 2 else "done"


@pytest.mark.parametrize("count", [44, pytest.param(660, marks=pytest.mark.slow)])
def test_no_line_ends_in_a_traceback(count: int, guarded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {base[0] for base in BASES} == set(COMMANDS)
    rng = random.Random(0)
    options = {command: [o for o in options_of(command) if o != "--help"] for command in COMMANDS}
    found: list[str] = []
    for number in range(count):
        base = BASES[number % len(BASES)]
        line = changed(base, options[base[0]], rng)
        try:
            found.append(outcome(line, capsys))
        except Exception as error:
            raise AssertionError(f"{line}: {error!r}") from error
    assert found.count("refused") > count / 3
    assert {"started", "refused"} <= {*found}
