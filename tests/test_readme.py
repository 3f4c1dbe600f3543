"""What the README shows works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from holdfast.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKE_NET = """
import torch

def make_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, images and the committed records, as the README has them."""
    (tmp_path / "my_models.py").write_text(MAKE_NET)
    folder = tmp_path / "path" / "to" / "images"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for i in range(2):
        Image.fromarray(torch.randint(256, (8, 8, 3), dtype=torch.uint8).numpy()).save(folder / f"{i}.png")
    (tmp_path / "results").mkdir()
    for edition in ("laptop", "laptop-1"):
        (tmp_path / "results" / edition).symlink_to(ROOT / "results" / edition)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_short_and_its_commands_exist() -> None:
    assert len(README.split()) <= 900
    named = set(re.findall(r"(?:^|`)holdfast (\w+)", README, re.MULTILINE))
    assert {"audit", "demo", "reproduce", "train"} <= named <= set(COMMANDS)
    targets = set(re.findall(r"^make ([\w-]+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert "docs/images/demo.png" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_python_examples_run(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit, train = blocks("python")
    assert (len(audit.splitlines()), len(train.splitlines())) == (3, 5)
    found: dict[str, object] = {}
    exec(compile(train, "README.md", "exec"), found)
    assert all(p.grad is not None for p in found["model"].parameters())  # type: ignore[attr-defined]
    exec(compile(audit, "README.md", "exec"), {})
    assert "2/255" in capsys.readouterr().out
    assert (at_home / "runs" / "audit" / "report.html").is_file()


def test_the_commands_run(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("holdfast ")]
    lines += ["holdfast audit my_models.py:make_net path/to/images --eps 2/255"]
    assert lines[-1] in README
    assert len(lines) > 5
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert (at_home / "runs" / "leaderboard.html").is_file()
