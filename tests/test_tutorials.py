"""The tutorials run as scripts, and their notebooks are made of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPTS = sorted((DOCS / "tutorials").glob("*.py"))
notebooks = runpy.run_path(str(DOCS / "notebooks.py"))


def test_there_is_one_for_each_path() -> None:
    assert {p.stem for p in SCRIPTS} == {"researcher", "engineer", "paper"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_script_runs(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = ModuleType("tutorial")
    monkeypatch.setitem(sys.modules, "tutorial", page)
    exec(compile(script.read_text(), str(script), "exec"), page.__dict__)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_its_notebook_is_made_of_it(script: Path) -> None:
    assert script.with_suffix(".ipynb").read_text() == notebooks["written"](script), "run: python docs/notebooks.py"
    cells = notebooks["cells_of"](script.read_text())
    code = "\n".join(text for kind, text in cells if kind == "code")
    kept = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert kept == [line for line in code.splitlines() if line and not line.startswith("#")]
