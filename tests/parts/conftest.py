"""A file with attacks of one's own, and parts found anew in every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import imports, parts

OWN = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

import holdfast.attacks
from holdfast.attacks import PGD, Attack


@dataclass(frozen=True)
class Darker(Attack):
    note: ClassVar[str] = "no field"
    by: float = 0.5
    then: Attack = PGD()
    fn: Any = None

    def perturb(self, model, images, labels, generator):
        return images * self.by


@dataclass(frozen=True)
class Twice(Attack):
    first: Attack = Darker()

    def perturb(self, model, images, labels, generator):
        return images


class Undecorated(PGD):
    pass


@dataclass(frozen=True)
class Lacking(Attack):
    eps: float = 0.1


class NoPart:
    pass


class Outer:
    @dataclass(frozen=True)
    class Inner(PGD):
        pass
"""


@pytest.fixture(autouse=True)
def _forget_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test finds files anew, as a fresh process does."""
    monkeypatch.setattr(imports, "_files", {})
    monkeypatch.setattr(parts, "_specs", {})
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if not name.startswith("holdfast"):
            del sys.modules[name]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "attack_of_mine.py"
    path.write_text(OWN)
    return path
