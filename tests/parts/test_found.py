"""Parts are found by name, in modules and in files."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from holdfast import parts
from holdfast.attacks import FGSM, PGD, TPGD, Attack, Goal, KendallGoal, TopKGoal
from holdfast.attribution.base import Attribution
from holdfast.certify.base import Certificate
from holdfast.errors import HoldfastError
from holdfast.metrics.base import Metric
from holdfast.objectives import TRADES, IGRAttack, Objective
from holdfast.part_json import from_json, to_json
from holdfast.parts import Part, find, named, spec_of
from tests.parts.conftest import OWN

KINDS: tuple[Any, ...] = (Attack, Attribution, Certificate, Goal, Metric, Objective)


@pytest.mark.parametrize(
    ("kind", "spec", "found"),
    [
        (Attack, "PGD", PGD),
        (Attack, "pgd", PGD),
        (Attack, "igr-attack", IGRAttack),
        (Attack, "igr", IGRAttack),
        (Goal, "top_k", TopKGoal),
        (Goal, "Kendall-Goal", KendallGoal),
        (Objective, "TRADES", TRADES),
        (Attack, "holdfast.attacks.pgd:TPGD", TPGD),
        (PGD, "cw-inf", parts.find(Attack, "CWInf")),
    ],
)
def test_found_by_name(kind: type[Part], spec: str, found: type) -> None:
    assert find(kind, spec) is found


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_package_is_found_by_what_it_is_stored_as(kind: type[Part]) -> None:
    for cls in named(kind).values():
        assert find(kind, spec_of(cls)) is cls
        assert find(kind, cls.__name__.upper()) is cls


def test_found_in_a_file_and_in_a_module(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = find(Attack, f"{own}:Darker")
    assert cls(by=0.25)(lambda x: x, torch.full((1, 2), 0.5), torch.tensor([1])).tolist() == [[0.125, 0.125]]
    assert find(Attack, f"{own}:Darker") is cls
    monkeypatch.syspath_prepend(str(own.parent))
    assert find(Attack, "attack_of_mine:Darker").__name__ == "Darker"


def test_files_of_one_name_and_of_a_modules_name_are_kept_apart(tmp_path: Path) -> None:
    """``types.py`` has the name of a module of Python, where dataclasses would look for ClassVar and Attack."""
    found = []
    for folder, name in (("a", "types.py"), ("b", "types.py"), ("a", "mine.py"), ("b", "mine.py")):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(OWN.replace("0.5", "0.5 if __file__.count('/a/') else 0.75"))
        cls = find(Attack, f"{path}:Darker")
        assert [f.name for f in fields(cls)] == ["by", "then", "fn"]
        text = to_json(cls(then=FGSM()))
        assert from_json(Attack, text, "run.json") == cls(then=FGSM())
        found.append(cls().by)
    assert found == [0.5, 0.75, 0.5, 0.75]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "pdg",
            r"unknown attack 'pdg'; did you mean PGD.*module:Class or file\.py:Class, a subclass of holdfast",
        ),
        ("nothing like it", r"unknown attack 'nothing like it'\. Known: .*PGD.*file\.py:Class"),
        ("nowhere.py:Mine", r"nowhere\.py does not exist; give file\.py:name"),
        ("no_such_module:Mine", "importing no_such_module failed with ModuleNotFoundError.*dependencies are installed"),
        ("holdfast.attacks.pgd:PDG", r"unknown attack in holdfast\.attacks\.pgd 'PDG'; did you mean PGD"),
        ("holdfast.objectives:AT", r"attack 'holdfast\.objectives:AT' is not a subclass of holdfast\.Attack; derive"),
        ("{own}:Drker", r"unknown attack in \S+attack_of_mine\.py 'Drker'; did you mean Darker"),
        ("{own}:NoPart", r"NoPart' is not a subclass of holdfast\.Attack; derive it from that class"),
        ("{own}:Lacking", r"Lacking' does not define perturb; an attack needs it"),
        ("{own}:Undecorated", r"Undecorated' is no frozen dataclass; decorate it with @dataclass\(frozen=True\)"),
        ("{broken}:Mine", "importing .*thawed.py failed with TypeError: cannot inherit non-frozen dataclass.*Mend"),
    ],
)
def test_what_cannot_be_found_is_named_with_a_remedy(own: Path, spec: str, message: str) -> None:
    broken = own.with_name("thawed.py")
    broken.write_text(OWN.replace("@dataclass(frozen=True)\nclass Darker", "@dataclass\nclass Darker"))
    with pytest.raises(HoldfastError, match=message) as caught:
        find(Attack, spec.format(own=own, broken=broken))
    assert "\n" not in str(caught.value)
    assert "thawed" not in sys.modules


def test_two_parts_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that differ in case, hyphens or the word for their kind alone are one."""
    package = tmp_path / "twins"
    package.mkdir()
    for name, cls in (("one", "IG_Norm"), ("two", "IGNormAttack"), ("three", "Other")):
        head = "from dataclasses import dataclass\nfrom holdfast.attacks import PGD\n"
        (package / f"{name}.py").write_text(f"{head}@dataclass(frozen=True)\nclass {cls}(PGD): pass\n")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(PGD, "package", "twins")
    parts._named.cache_clear()
    try:
        with pytest.raises(HoldfastError, match=r"twins\.two\.\w+ and twins\.one\.IG_Norm are two parts of one name"):
            find(PGD, "other")
    finally:
        parts._named.cache_clear()
