"""Runs are named by what differs from the defaults."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import imports
from holdfast.attacks import IFIA, PGD, TPGD, Attack, Goal, KendallGoal
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import AT, IGR, TRADES, IGRAttack, Objective, Standard
from holdfast.part_json import config_hash, non_default
from holdfast.parts import changed_parts, differences, find
from holdfast.train.config import TrainConfig
from tests.parts.conftest import OWN


@dataclass(frozen=True)
class Optim:
    lr: float = 0.1


@dataclass(frozen=True)
class Run:
    """A configuration today."""

    steps: int = 10
    optim: Optim = Optim()
    milestones: tuple[int, ...] = ()


@dataclass(frozen=True)
class OptimLater:
    lr: float = 0.1
    nesterov: bool = False


@dataclass(frozen=True)
class RunLater:
    """The same a version later, with new fields that have defaults, one of them made anew each time."""

    clip: float | None = None
    steps: int = 10
    optim: OptimLater = OptimLater()
    milestones: tuple[int, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@settings(deadline=None)
@given(steps=st.integers(1, 20), lr=st.sampled_from([0.1, 0.2]), milestones=st.lists(st.integers(1, 9)).map(tuple))
def test_a_new_field_with_a_default_changes_no_hash(steps: int, lr: float, milestones: tuple[int, ...]) -> None:
    now = Run(steps, Optim(lr), milestones)
    later = RunLater(steps=steps, optim=OptimLater(lr), milestones=milestones)
    assert config_hash(now) == config_hash(later)
    assert config_hash(replace(later, clip=1.0)) != config_hash(now)
    assert config_hash(replace(later, optim=OptimLater(lr, nesterov=True))) != config_hash(now)
    assert (config_hash(now) == config_hash(Run())) == (now == Run())


def test_a_new_field_of_a_part_changes_no_hash(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed() -> tuple[str, str]:
        monkeypatch.setattr(imports, "_files", {})
        cls: Any = find(Attack, f"{own}:Darker")
        sys.modules.pop("attack_of_mine")
        return config_hash(AT(cls())), config_hash(AT(cls(by=0.1)))

    before = hashed()
    own.write_text(OWN.replace("    by: float = 0.5\n", "    gamma: float = 1.0\n    by: float = 0.5\n"))
    assert hashed() == before
    assert before[0] != before[1]


def test_where_a_file_lies_is_not_in_the_hash(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "_files", {})
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(OWN)
    here, there = (find(Attack, f"{tmp_path / folder}/mine.py:Darker") for folder in ("here", "there"))
    other: Any = find(Attack, f"{own}:Darker")
    assert here is not there
    assert config_hash(AT(here())) == config_hash(AT(there())) != config_hash(AT(other()))  # type: ignore[abstract]
    assert differences(here(), there()) != []  # type: ignore[abstract]
    by_path = [config_hash(TrainConfig(model=f"{place}net.py:make")) for place in ("/a b/", "/c/d/", "C:\\e\\", "")]
    assert len(set(by_path)) == 1
    assert config_hash(TrainConfig(model="f/net.py:make")) not in by_path


def test_hashes_do_not_tell_one_from_one_point_nothing() -> None:
    """Equal settings, also as they come back from a command line or a file."""
    assert PGD(eps=1) == PGD(eps=1.0)
    assert config_hash(PGD(eps=1)) == config_hash(PGD(eps=1.0))
    assert config_hash(PGD(steps=3)) != config_hash(PGD(steps=4))
    assert config_hash(TrainConfig(seed=2**60)) != config_hash(TrainConfig(seed=2**60 + 1))


def test_non_default() -> None:
    objective = IGR(TRADES(TPGD(eps=0.3), beta=6.0), lam=2.0, attribution=IntegratedGradients(n_steps=5))
    assert non_default(objective) == {
        "part": "IGR",
        "base": {"part": "TRADES", "attack": {"part": "TPGD", "eps": 0.3}},
        "lam": 2.0,
        "attribution": {"part": "IntegratedGradients", "n_steps": 5},
    }


def test_changed_parts_reach_every_depth_and_leave_the_rest() -> None:
    tree = IGR(TRADES(TPGD(eps=0.3), beta=2.0), attack=IGRAttack(eps=0.2))
    halved = changed_parts(tree, Attack, lambda a: replace(a, eps=a.eps / 2))  # type: ignore[type-var, attr-defined]
    assert halved == IGR(TRADES(TPGD(eps=0.15), beta=2.0), attack=IGRAttack(eps=0.1))
    assert changed_parts(tree, Goal, lambda g: KendallGoal()) is tree
    assert changed_parts(IFIA(), Goal, lambda g: KendallGoal()) == IFIA(goal=KendallGoal())
    config = TrainConfig(objective=tree)
    assert changed_parts(config, Objective, lambda o: Standard() if isinstance(o, IGR) else o).objective == Standard()
    assert changed_parts((tree, 3), PGD, lambda a: a) == (tree, 3)
