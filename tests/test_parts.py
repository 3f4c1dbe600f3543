"""Parts: found by name, stored as JSON and read strictly, named by what differs from the defaults."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import imports, parts
from holdfast.attacks import FGSM, IFIA, PGD, TPGD, Attack, Goal, KendallGoal, TopKGoal
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.certify.base import Certificate
from holdfast.errors import HoldfastError
from holdfast.metrics.base import Metric
from holdfast.objectives import AT, IGR, TRADES, IGRAttack, LossOutput, Objective, Standard
from holdfast.part_json import SCHEMA, config_hash, from_json, non_default, to_json, to_plain
from holdfast.parts import Part, changed_parts, differences, find, named, spec_of
from holdfast.recipes import METHODS, recipe
from holdfast.recipes.setups import SETUPS
from holdfast.train.config import TrainConfig

KINDS: tuple[Any, ...] = (Attack, Attribution, Certificate, Goal, Metric, Objective)
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
    assert spec_of(AtTheTop).endswith("test_parts:AtTheTop")


def test_plain_is_a_copy() -> None:
    plain = to_plain(TrainConfig())
    plain["objective"]["part"] = "AT"
    assert to_plain(TrainConfig())["objective"]["part"] == "Standard"


def test_a_part_that_returns_a_loss_is_stored_by_its_module(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(own.parent))
    cls = find(Attack, "attack_of_mine:Darker")
    assert to_plain(cls())["part"] == "attack_of_mine:Darker"
    assert isinstance(AT(cls())(lambda x: x, torch.rand(2, 3), torch.tensor([0, 2])), LossOutput)
