"""Commands killed by SIGKILL at random moments and given again leave the files of a run left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.reliability.conftest import campaign
from tests.reliability.kills import COMMANDS, differing, files_of


def write(folder: Path, seconds: float, step: int, weight: float) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"runs": [{"seconds": seconds, "steps": step}]}))
    (folder / "sub" / "log.jsonl").write_text(f"{step}\n")
    state = {"state": {0: {"exp_avg": torch.tensor([0.0, weight])}}}
    torch.save({"optimizer": state, "progress": {"seconds": seconds}}, folder / "state.pt")
    return folder


def test_only_seconds_and_unfinished_files_may_differ(tmp_path: Path) -> None:
    wanted = files_of(write(tmp_path / "whole", 1.0, 3, 0.5))
    killed = write(tmp_path / "killed", 2.0, 3, 0.5)
    (killed / ".result.json.0a1b2c3d.part").write_text("{")
    assert differing(files_of(killed), wanted) == []
    other = write(tmp_path / "other", 1.0, 4, 0.5 + 2**-24)
    (other / "more.txt").touch()
    assert differing(files_of(other), wanted) == ["more.txt", "result.json", "state.pt", "sub/log.jsonl"]


@pytest.mark.slow
def test_a_short_campaign_leaves_no_file_that_differs(tmp_path: Path) -> None:
    """The long one is ``python -m tests.reliability.kills``, with 200 kills."""
    did = campaign("kills", "--kills", "16", "--root", str(tmp_path))
    assert did["all"]["kills"] == 16
    assert did["all"]["differing files"] == 0
    assert did["commands"].keys() == COMMANDS.keys()
