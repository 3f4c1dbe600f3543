"""Notebooks of the tutorials: ``python docs/notebooks.py`` writes an ``.ipynb`` beside each script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parent / "tutorials"


def cells_of(script: str) -> list[tuple[str, str]]:
    """The cells of a percent script, ("markdown" or "code", text)."""
    cells = []
    for block in f"\n{script}".split("\n# %%")[1:]:
        first, _, body = block.partition("\n")
        lines = body.strip("\n").splitlines()
        if "[markdown]" in first:
            cells.append(("markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)))
        else:
            cells.append(("code", "\n".join(lines)))
    return cells


def notebook_of(script: str) -> dict[str, Any]:
    """A notebook of format 4.5 without outputs."""
    made = []
    for number, (kind, text) in enumerate(cells_of(script)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell | {"source": text.splitlines(keepends=True)})
    python = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": made, "metadata": python, "nbformat": 4, "nbformat_minor": 5}


def written(script: Path) -> str:
    """The text of a script's notebook."""
    return json.dumps(notebook_of(script.read_text()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in sorted(TUTORIALS.glob("*.py")):
        path.with_suffix(".ipynb").write_text(written(path))
