"""How the source hangs together, read from its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import holdfast

ROOT = Path(holdfast.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = (
    {"errors", "validate", "seeding", "palette", "parts", "part_json", "files", "imports", "sealed"},
    {"models", "data"},
    {"metrics", "torchmetrics"},
    {"gradient"},
    {"attribution"},
    {"attacks"},
    {"objectives", "certify"},
    {"train", "evaluate"},
    {"recipes"},
    {"results", "sweep"},
    {"report"},
    {"paper", "demo", "audit"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
LONGEST = 400


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    """Rooms of holdfast imported anywhere in a file, inside functions and TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            modules = [node.module or ""]
            if node.module == "holdfast":
                names = [alias.name for alias in node.names if not alias.name.startswith("__")]
                modules = [home_of(getattr(holdfast, name)) for name in names]
        else:
            continue
        yield from (module.split(".")[1] for module in modules if module.startswith("holdfast."))


def home_of(exported: Any) -> str:
    """The module of what ``holdfast`` exports."""
    return exported.__name__ if isinstance(exported, ModuleType) else exported.__module__


def upward(room: str, tree: ast.AST) -> list[str]:
    """Imports of a room above."""
    return [other for other in imported_rooms(tree) if LEVEL[other] > LEVEL[room]]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST
    room = room_of(path)
    if room not in ("__init__", "__main__"):
        assert room in LEVEL, f"give {room} its place in LAYERS"
        assert upward(room, ast.parse(text)) == []


def test_rooms_of_one_level_do_not_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {room: set() for room in LEVEL}
    for path in FILES:
        if room_of(path) in LEVEL:
            edges[room_of(path)] |= {*imported_rooms(ast.parse(path.read_text()))} - {room_of(path)}
    TopologicalSorter(edges).prepare()


def test_every_room_is_read() -> None:
    assert {room_of(path) for path in FILES} >= {"attacks", "attribution", "models", "objectives", "metrics"}


@pytest.mark.parametrize(
    ("room", "code", "wrong"),
    [
        ("attribution", "from holdfast.metrics.pairs import cosine_similarity", []),
        ("attribution", "from holdfast.attacks import PGD", ["attacks"]),
        ("models", "def f():\n    import holdfast.objectives.igr", ["objectives"]),
        ("models", "from holdfast.data import load_dataset", []),
        ("metrics", "from holdfast import attacks", ["attacks"]),
        ("metrics", "from holdfast import PGD, __version__", ["attacks"]),
        ("validate", "from holdfast.errors import HoldfastError", []),
    ],
)
def test_the_rule_itself(room: str, code: str, wrong: list[str]) -> None:
    assert upward(room, ast.parse(code)) == wrong
