"""What the documents show works: every block of code runs, or says in its fence why it does not.

The README, whose blocks share a home, has `test_readme`.
"""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

import holdfast as hf
from holdfast.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^ *```(\w+)(?: skip: ([^\n]+))?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
UNMARKED = {"CONTRIBUTING.md"}
"""Documents whose shell blocks are only looked up: they train, and show no mark on other pages."""


def blocks(path: Path, *languages: str) -> list[tuple[str, str]]:
    """(reason to skip, code) of a document's blocks."""
    return [(why, code) for language, why, code in FENCE.findall(path.read_text()) if language in languages]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_python_block_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace a page, in the order of the page."""
    monkeypatch.chdir(tmp_path)
    page = ModuleType("page")  # parts look their own module up
    monkeypatch.setitem(sys.modules, "page", page)
    for why, code in blocks(path, "python"):
        if not why:
            exec(compile(code, str(path), "exec"), page.__dict__)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_shell_block_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for why, code in blocks(path, "sh", "bash"):
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"]:
                assert words[1] in targets
            elif words[:1] == ["holdfast"]:
                assert words[1] in COMMANDS
                if not why and path.name not in UNMARKED:
                    assert main(words[1:]) == 0, line
            elif words[:1] == ["python"] and words[1].endswith(".py"):
                assert (ROOT / words[1]).is_file()


def test_the_mark_and_the_fence() -> None:
    assert FENCE.findall("```sh skip: takes hours\nholdfast x\n```\n") == [("sh", "takes hours", "holdfast x\n")]
    assert FENCE.findall("  ```python\n  1\n  ```\n") == [("python", "", "  1\n")]


def there(dotted: str) -> bool:
    found: object = hf
    for name in dotted.split("."):
        try:
            found = getattr(found, name) if hasattr(found, name) else importlib.import_module(f"holdfast.{dotted}")
        except ImportError:
            return False
        if isinstance(found, ModuleType) and found.__name__ == f"holdfast.{dotted}":
            return True
    return True


def ours(row: str) -> set[str]:
    """Names of Holdfast's in the right column of a table."""
    right = row.rstrip("| ").rpartition(" | ")[2] if row.count(" | ") == 1 else row.split(" | ")[-1]
    spans = re.findall(r"`([^`]+)`", right)
    return {m[1] for span in spans if (m := re.match(r"([A-Za-z][\w.]*)", span)) and "=" not in m[1]}


@pytest.mark.parametrize("name", ["migrate.md", "equations.md"])
def test_every_name_in_the_tables_exists(name: str) -> None:
    rows = [r for r in (ROOT / "docs" / name).read_text().splitlines() if r.startswith("| ") and "---" not in r]
    plain = {"create_graph", "standing", "variant", "clean"}  # options, named as such
    named = set().union(*(ours(row) for row in rows)) - plain
    assert len(named) > 15
    missing = sorted(name for name in named if not there(name))
    assert missing == []
    assert not there("no_such_thing")


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCUMENTS], ids=lambda p: p.name)
def test_every_dotted_name_and_file_in_the_text_exists(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"`(?:hf|holdfast)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", text)
    assert [name for name in named if not there(name)] == []
    files = re.findall(r"`((?:src|tests|bench|docs|examples|results)/[\w./-]+)`", text)
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert not there("attribution.second_order")


def test_the_numbers_of_what_is_good_are_those_of_the_tables() -> None:
    rows = re.findall(r"^\| ([A-Z][\w+]+) \| (\d.*) \|$", (ROOT / "docs/good.md").read_text(), re.MULTILINE)
    assert len(rows) == 5
    committed = "".join((ROOT / f"docs/results/{name}.md").read_text() for name in ("table2", "table2-worst"))
    for method, cells in rows:
        own = [line for line in committed.splitlines() if line.startswith(f"| {method} |")]
        for cell in cells.split(" | "):
            assert any(f" {cell} " in line.replace("**", "") for line in own), (method, cell)
