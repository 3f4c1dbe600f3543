"""Parts are stored as JSON and read back strictly."""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import imports, parts
from holdfast.attacks import PGD, Attack, Goal
from holdfast.attribution.base import Attribution
from holdfast.certify.base import Certificate
from holdfast.errors import HoldfastError
from holdfast.metrics.base import Metric
from holdfast.objectives import AT, LossOutput, Objective
from holdfast.part_json import SCHEMA, config_hash, from_json, to_json, to_plain
from holdfast.parts import Part, differences, find, named, spec_of
from holdfast.recipes import METHODS, recipe
from holdfast.recipes.setups import SETUPS
from holdfast.train.config import TrainConfig

KINDS: tuple[Any, ...] = (Attack, Attribution, Certificate, Goal, Metric, Objective)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", SETUPS)
def test_every_recipe_comes_back_from_json(dataset: str, method: str) -> None:
    config = recipe(f"{dataset}-{method}")
    text = to_json(config)
    assert json.loads(text)["schema"] == SCHEMA
    back = from_json(TrainConfig, text, "run.json")
    assert back == config
    assert to_json(back) == text
    assert config_hash(back) == config_hash(config)
    assert from_json(Objective, to_json(config.objective), "run.json") == config.objective


def values(hint: Any, depth: int) -> st.SearchStrategy[Any]:
    """What a field of a part may hold."""
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*(values(h, depth) for h in get_args(hint)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], depth), max_size=3).map(tuple)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers(1, 10**6),
        float: st.floats(0, 1e6, allow_nan=False) | st.integers(1, 5),
        str: st.text(max_size=8),
    }
    if hint in simple:
        return simple[hint]
    kind = next((k for k in KINDS if isinstance(hint, type) and issubclass(hint, k)), None)
    if kind is None:
        return st.nothing()
    options = [c for c in named(kind).values() if issubclass(c, hint)]
    return st.sampled_from(options).flatmap(lambda cls: made(cls, depth - 1))


def made(cls: type[Part], depth: int) -> st.SearchStrategy[Part]:
    """A part with some fields away from their defaults; None where the part refuses them."""
    hints = get_type_hints(cls)
    options = {} if depth < 0 else {f.name: values(hints[f.name], depth) for f in fields(cls) if f.init}

    def build(given: dict[str, Any]) -> Any:
        try:
            return cls(**given)
        except (HoldfastError, TypeError):
            return None

    needed = {f.name: values(hints[f.name], depth) for f in fields(cls) if f.default is f.default_factory is MISSING}
    options = {name: option for name, option in options.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=options).map(build).filter(lambda part: part is not None)


@pytest.mark.parametrize("cls", [c for kind in KINDS for c in named(kind).values()], ids=lambda c: c.__name__)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_part_comes_back_from_json(cls: type[Part], data: st.DataObject) -> None:
    part = data.draw(made(cls, 1))
    kind = next(k for k in KINDS if issubclass(cls, k))
    back = from_json(kind, to_json(part), "run.json")
    assert back == part
    assert type(back) is cls
    assert config_hash(back) == config_hash(part)
    assert differences(part, back) == []
    other = data.draw(made(cls, 1))
    assert (config_hash(part) == config_hash(other)) == (part == other)


@settings(deadline=None)
@given(eps=st.floats(0, 1e300), alpha=st.floats(1e-300, 1e300))
def test_numbers_come_back_bit_by_bit(eps: float, alpha: float) -> None:
    back = from_json(Attack, to_json(PGD(eps=eps, alpha=alpha)), "run.json")
    assert isinstance(back, PGD)
    assert (back.eps.hex(), back.alpha.hex()) == (float(eps).hex(), float(alpha).hex())


def test_parts_of_a_file_come_back_in_another_process(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that no name was ever looked up for, inside others."""
    cls = find(Attack, f"{own}:Twice")
    text = to_json(AT(cls()))
    plain = json.loads(text)
    assert plain["attack"]["part"] == f"{own}:Twice"
    assert plain["attack"]["first"]["part"] == f"{own}:Darker"
    assert plain["attack"]["first"]["then"]["part"] == "PGD"
    monkeypatch.setattr(imports, "_files", {})
    monkeypatch.setattr(parts, "_specs", {})
    del sys.modules["attack_of_mine"]
    back = from_json(Objective, text, "run.json")
    assert isinstance(back, AT)
    assert type(back.attack) is not cls
    assert to_json(back) == text


def test_a_part_of_the_package_has_one_name_however_it_was_found() -> None:
    before = config_hash(PGD(steps=3))
    assert find(Attack, "holdfast.attacks.pgd:PGD") is PGD
    assert spec_of(PGD) == "PGD"
    assert config_hash(PGD(steps=3)) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, r"run\.json: attack\.stepz: PGD has no such field; it was written by another version or edited"),
        ({"steps": "3"}, r"run\.json: attack\.steps: .*valid integer"),
        ({"steps": 3.0}, r"run\.json: attack\.steps: .*valid integer"),
        ({"steps": True}, r"run\.json: attack\.steps: .*valid integer"),
        ({"eps": "0.1"}, r"run\.json: attack\.eps: .*valid number"),
        ({"eps": None}, r"run\.json: attack\.eps"),
        ({"random_start": 1}, r"run\.json: attack\.random_start: .*valid boolean"),
        ({"norm": "L3"}, r"run\.json: attack\.norm: .*Linf"),
        ({"steps": 0}, r"run\.json: attack: steps is 0; it must be an integer of at least 1"),
        ({"part": "PDG"}, r"run\.json: attack: unknown attack 'PDG'; did you mean PGD"),
        ({"part": "TRADES"}, r"run\.json: attack: unknown attack 'TRADES'"),
        (
            {"part": None},
            r"run\.json: attack: an attack is written as an object that says which under 'part'",
        ),
    ],
)
def test_read_strictly(change: dict[str, Any], message: str) -> None:
    plain = json.loads(to_json(AT(PGD())))
    plain["attack"] |= change
    with pytest.raises(HoldfastError, match=message) as caught:
        from_json(Objective, json.dumps(plain), "run.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"run\.json is no JSON.*restore it, or start anew"),
        ("[]", r"run\.json is no JSON, or holds no settings"),
        (
            '{"schema": 3, "part": "AT"}',
            r"run\.json has schema 3, this version reads schema 2; a newer holdfast",
        ),
        ('{"part": "AT"}', r"run\.json has schema 1, this version reads schema 2; holdfast 0\.1 reads it"),
        ('{"schema": 2, "part": "AT", "attack": 3}', r"run\.json: attack: an attack is written as an object"),
        ('{"schema": 2}', r"run\.json: the whole: an objective is written as an object"),
    ],
)
def test_files_that_are_no_parts(text: str, message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        from_json(Objective, text, "run.json")


def test_absent_fields_take_their_defaults() -> None:
    assert from_json(Objective, '{"schema": 2, "part": "AT", "attack": {"part": "PGD", "steps": 3}}', "") == AT(
        PGD(steps=3)
    )


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (lambda: 0, "function"),
        (torch.zeros(2), "Tensor"),
        ({1, 2}, "set"),
        (b"x", "bytes"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_field(own: Path, value: object, what: str) -> None:
    cls: Any = find(Attack, f"{own}:Darker")
    with pytest.raises(HoldfastError, match=rf"attack\.fn is a {what}, which cannot be stored; use numbers") as caught:
        to_json(AT(cls(fn=value)))
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class AtTheTop(PGD):
    pass


def test_classes_that_nobody_finds_again(own: Path) -> None:
    @dataclass(frozen=True)
    class Local(PGD):
        pass

    for cls in (Local, find(Attack, f"{own}:Darker").perturb.__globals__["Outer"].Inner):
        with pytest.raises(HoldfastError, match=r"cannot be stored.*move it to the top of a file.*file\.py:Class"):
            to_json(cls())
    assert spec_of(AtTheTop).endswith("test_stored:AtTheTop")


def test_plain_is_a_copy() -> None:
    plain = to_plain(TrainConfig())
    plain["objective"]["part"] = "AT"
    assert to_plain(TrainConfig())["objective"]["part"] == "Standard"


def test_a_part_that_returns_a_loss_is_stored_by_its_module(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(own.parent))
    cls = find(Attack, "attack_of_mine:Darker")
    assert to_plain(cls())["part"] == "attack_of_mine:Darker"
    assert isinstance(AT(cls())(lambda x: x, torch.rand(2, 3), torch.tensor([0, 2])), LossOutput)
