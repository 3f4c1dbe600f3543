"""What the README shows works."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    found: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), found)
    assert "igr" in found["out"].parts  # type: ignore[attr-defined]


def test_every_command_exists() -> None:
    from holdfast.cli import COMMANDS

    named = set(re.findall(r"^holdfast (\w+)", README.read_text(), re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)
