"""Parts: frozen dataclasses that are their own configuration, found by name and stored as JSON.

A part is an attribution, an attack, an objective, a metric or a certificate. The package's own are found by scanning
the package of their kind, anybody's by ``module:Class`` or ``file.py:Class``, so that a new one is one new file.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import pkgutil
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from holdfast.errors import HoldfastError, unknown_name
from holdfast.imports import file_of, imported
from holdfast.sealed import is_intact, parsed, sealed

SCHEMA = 2
T = TypeVar("T")
P = TypeVar("P", bound="Part")


@dataclass(frozen=True)
class Part:
    """What every kind of part shares; a kind is a direct subclass that names itself and the package of its parts."""

    kind: ClassVar[str] = "part"
    package: ClassVar[str | tuple[str, ...]] = ""
    """The packages whose modules hold the parts of this kind."""
    origins: ClassVar[Mapping[str, str]] = {}
    """Where the default of a field comes from: "paper", "cited code" or "ours"; one that is absent is ours."""

    @property
    def title(self) -> str:
        """Its name in tables."""
        return type(self).__name__


def find(kind: type[P], spec: str) -> type[P]:
    """The class of a part by its name, ``module:Class`` or ``file.py:Class``.

    A name is that of the class, in any case and with any hyphens: ``ig-norm`` finds ``IGNorm``.

    Raises:
        HoldfastError: nothing of that name, something that cannot be imported, or a class that is no such part.

    >>> from holdfast.attacks.base import Attack
    >>> find(Attack, "pgd").__name__
    'PGD'
    """
    if ":" not in spec:
        known = named(kind)
        key = _plain(spec)
        key = key if key in known else key.removesuffix(_plain(kind.kind))
        if key not in known:
            remedy = f"Your own works too: module:Class or file.py:Class, a subclass of holdfast.{kind.__name__}."
            raise unknown_name(kind.kind, spec, [c.__name__ for c in known.values()], remedy)
        return known[key]
    found = imported(spec, kind.kind)
    _check_part(kind, found, spec)
    _specs[found] = _resolved(spec)
    return cast(type[P], found)


def named(kind: type[P]) -> dict[str, type[P]]:
    """The package's own parts of a kind, by their plain names.

    Raises:
        HoldfastError: two parts of one name.
    """
    return dict(_named(kind))  # type: ignore[arg-type]  # mypy takes the hash of parts for that of their class


@cache
def _named(kind: type[P]) -> dict[str, type[P]]:
    homes = (kind.package,) if isinstance(kind.package, str) else kind.package
    names = [f"{h}.{m.name}" for h in homes for m in pkgutil.iter_modules(importlib.import_module(h).__path__)]
    modules = [importlib.import_module(name) for name in names]
    found: dict[str, type[P]] = {}
    for module in modules:
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, kind)
            if not own or inspect.isabstract(value) or name.startswith("_"):
                continue
            other = found.setdefault(_plain(name).removesuffix(_plain(kind.kind)), value)
            if other is not value:
                raise HoldfastError(
                    f"{module.__name__}.{name} and {other.__module__}.{other.__name__} are two parts of one name; "
                    "rename one of them."
                )
    return found


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _check_part(kind: type[Part], found: Any, spec: str) -> None:
    what = f"{kind.kind} {spec!r}"
    if not inspect.isclass(found) or not issubclass(found, kind):
        raise HoldfastError(f"{what} is not a subclass of holdfast.{kind.__name__}; derive it from that class.")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise HoldfastError(f"{what} does not define {', '.join(missing)}; {_a(kind.kind)} needs it.")
    if "__dataclass_params__" not in vars(found) or not found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise HoldfastError(f"{what} is no frozen dataclass; decorate it with @dataclass(frozen=True).")


_specs: dict[type, str] = {}
"""How the parts from outside the package were named when they were found."""


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def spec_of(cls: type[Part]) -> str:
    """The name by which `find` finds a class again.

    Raises:
        HoldfastError: for a class that is defined inside a function, another class or ``__main__``.
    """
    if cls.__module__.startswith("holdfast."):
        return cls.__name__
    if cls in _specs:
        return _specs[cls]
    if cls.__module__ == "__main__" or "." in cls.__qualname__:
        raise HoldfastError(
            f"{cls.__qualname__} cannot be stored: it is defined in {cls.__module__}, where nobody finds it again; "
            "move it to the top of a file of its own and name it file.py:Class."
        )
    return f"{file_of(cls.__module__) or cls.__module__}:{cls.__name__}"


def _resolved(spec: str) -> str:
    where, _, name = spec.rpartition(":")
    return f"{Path(where).resolve()}:{name}" if where.endswith(".py") else spec


def to_plain(value: Any, where: str = "") -> Any:
    """A part or configuration as dictionaries, lists and scalars; each part says what it is under ``part``.

    Raises:
        HoldfastError: a field that JSON cannot hold, by name.
    """
    if isinstance(value, Part | type(None) | bool | int | float | str) and not isinstance(value, Part):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: to_plain(getattr(value, f.name), f"{where}{f.name}.") for f in fields(value)}
        return {"part": spec_of(type(value)), **own} if isinstance(value, Part) else own
    if isinstance(value, tuple | list):
        return [to_plain(v, where) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, f"{where}{k}.") for k, v in value.items()}
    raise HoldfastError(
        f"{where.rstrip('.') or 'the value'} is a {type(value).__name__}, which cannot be stored; use numbers, text, "
        "tuples of them and other parts (a function: as 'module:name' or 'file.py:name')."
    )


def non_default(value: Any) -> Any:
    """As `to_plain`, without the fields that have their default: a new defaulted field changes nothing here.

    >>> from holdfast.attacks import PGD
    >>> non_default(PGD(steps=3))
    {'part': 'PGD', 'steps': 3}
    """
    if is_dataclass(value) and not isinstance(value, type):
        kept = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != _default(f)}
        own = {name: non_default(v) for name, v in kept.items()}
        return {"part": spec_of(type(value)), **own} if isinstance(value, Part) else own
    if isinstance(value, tuple | list):
        return [non_default(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): non_default(v) for k, v in value.items()}
    return to_plain(value)


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


_ABSOLUTE = re.compile(r'"(?:/|[A-Za-z]:)[^"]*[/\\]([^"/\\]+\.py:\w+)"')
"""In JSON: ``file.py:name`` with the absolute path of its file."""


def config_hash(value: Any) -> str:
    """Twelve hexadecimal digits that name a part or configuration by what differs from the defaults.

    What is named by the absolute path of its file (``/home/me/mine.py:Mine``) counts by the name of the file, wherever
    that lies. Equal hashes are no equal settings: a default, or that file, may differ between two versions or places.
    A folder that is called by its hash therefore admits only settings that equal the stored ones, field by field.

    >>> from holdfast.attacks import PGD
    >>> config_hash(PGD(eps=1)) == config_hash(PGD(eps=1.0)) != config_hash(PGD(eps=0.5))
    True
    """
    plain = json.loads(json.dumps(non_default(value)), parse_float=_number)
    canonical = _ABSOLUTE.sub(r'"\1"', json.dumps(plain, sort_keys=True, separators=(",", ":")))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _number(text: str) -> int | float:
    """1.0 as 1: they are equal, and so one setting."""
    value = float(text)
    return int(value) if value.is_integer() else value


def to_json(value: Any) -> str:
    """A part or configuration as indented JSON with its ``schema`` and a checksum."""
    return sealed({"schema": SCHEMA, **to_plain(value)})


def from_json(kind: type[T], text: str | bytes, where: str) -> T:
    """Read strictly what `to_json` wrote; ``where`` names the file in errors.

    Raises:
        HoldfastError: no JSON, a schema from the future, an unknown or misfitting field (by name), edited values.
    """
    try:
        plain = parsed(text)
        intact = is_intact(plain)
    except ValueError as error:
        raise HoldfastError(f"{where} is no JSON, or holds no settings ({error}); restore it, or start anew.") from None
    schema = plain.pop("schema", 1)
    if schema != SCHEMA:
        reads = "a newer holdfast" if isinstance(schema, int) and schema > SCHEMA else "holdfast 0.1"
        raise HoldfastError(f"{where} has schema {schema}, this version reads schema {SCHEMA}; {reads} reads it.")
    found = from_plain(kind, plain, where)
    if not intact:
        raise _misfit(where, "", "its values do not give the checksum in it")
    return found


def from_plain(kind: type[T], plain: Any, where: str, place: str = "") -> T:
    """A value of type ``kind`` from what `to_plain` made of it; fields that are absent take their defaults."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _from_union(args, plain, where, place)
    if origin is tuple and isinstance(plain, list):
        inner = args[0]
        return cast(T, tuple(from_plain(inner, v, where, f"{place}{i}.") for i, v in enumerate(plain)))
    if origin in (dict, Mapping) and isinstance(plain, dict):
        return cast(T, {k: from_plain(args[1], v, where, f"{place}{k}.") for k, v in plain.items()})
    if inspect.isclass(kind) and issubclass(kind, Part):
        return cast(T, _part_from_plain(kind, plain, where, place))
    if is_dataclass(kind):
        return cast(T, _fields_from_plain(kind, plain, where, place))
    return _scalar(kind, plain, where, place)


def _from_union(options: tuple[Any, ...], plain: Any, where: str, place: str) -> Any:
    if plain is None and type(None) in options:
        return None
    structured = [o for o in options if inspect.isclass(o) and is_dataclass(o)]
    if isinstance(plain, dict) and structured:
        return from_plain(structured[0], plain, where, place)
    containers = [o for o in options if get_origin(o) in (tuple, dict)]
    if isinstance(plain, list | dict) and containers:
        return from_plain(containers[0], plain, where, place)
    return _scalar(Union[options], plain, where, place)  # noqa: UP007


def _part_from_plain(kind: type[Part], plain: Any, where: str, place: str) -> Part:
    if not isinstance(plain, dict) or not isinstance(plain.get("part"), str):
        raise _misfit(where, place, f"{_a(kind.kind)} is written as an object that says which under 'part'")
    own = dict(plain)
    try:
        cls = find(kind, own.pop("part"))
    except HoldfastError as error:
        raise HoldfastError(f"{where}: {place.rstrip('.') or 'the whole'}: {error}") from None
    return _fields_from_plain(cls, own, where, place)


def _fields_from_plain(cls: type[T], plain: Any, where: str, place: str) -> T:
    if not isinstance(plain, dict):
        raise _misfit(where, place, f"{cls.__name__} is written as an object")
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    for name in plain:
        if name not in known:
            raise _misfit(where, f"{place}{name}.", f"{cls.__name__} has no such field")
    values = {name: from_plain(hints[name], v, where, f"{place}{name}.") for name, v in plain.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise _misfit(where, place, str(error)) from None
    except HoldfastError as error:
        raise HoldfastError(f"{where}: {place.rstrip('.') or 'the whole'}: {error}") from None


def _scalar(kind: Any, plain: Any, where: str, place: str) -> Any:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    if isinstance(kind, type(Callable)) or get_origin(kind) is Callable:
        return plain
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(plain, strict=True)
    except PydanticUserError:
        return TypeAdapter(kind).validate_python(plain, strict=True)
    except ValidationError as error:
        raise _misfit(where, place, error.errors()[0]["msg"]) from None


def _misfit(where: str, place: str, why: str) -> HoldfastError:
    return HoldfastError(
        f"{where}: {place.rstrip('.') or 'the whole'}: {why}; it was written by another version or edited: "
        "restore it, or start anew."
    )


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Fields in which two parts or configurations differ, as ``name: old -> new``.

    >>> from holdfast.attacks import PGD
    >>> differences(PGD(steps=3), PGD(steps=5))
    ['steps: 3 -> 5']
    """
    if type(old) is type(new) and is_dataclass(old):
        pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(old))
        return [text for name, a, b in pairs for text in differences(a, b, f"{prefix}{name}.")]
    return [] if old == new else [f"{prefix.rstrip('.') or 'part'}: {_shown(old)} -> {_shown(new)}"]


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Part) else str(value)


def settings(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every field of a part or configuration with its dotted name; a part's own name stands at its place.

    >>> from holdfast.attacks import FGSM
    >>> settings(FGSM(eps=0.1), "attack.")
    [('attack', 'FGSM'), ('attack.eps', 0.1)]
    """
    found: list[tuple[str, Any]] = []
    if isinstance(config, Part):
        found.append((prefix.rstrip("."), spec_of(type(config))))
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            found += settings(value, f"{prefix}{field.name}.")
        else:
            found.append((f"{prefix}{field.name}", value))
    return found


def changed_parts(value: T, kind: type[P], change: Callable[[P], P]) -> T:
    """A copy of a tree of parts with ``change`` applied to every part of a kind in it.

    >>> from dataclasses import replace
    >>> from holdfast import AT, PGD
    >>> from holdfast.attacks.base import Attack
    >>> changed_parts(AT(PGD(eps=0.3)), Attack, lambda a: replace(a, eps=a.eps / 2)).attack.eps
    0.15
    """
    if isinstance(value, tuple):
        return cast(T, tuple(changed_parts(v, kind, change) for v in value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    own = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
    new = {name: changed_parts(v, kind, change) for name, v in own.items()}
    copy = value if all(new[n] is own[n] for n in own) else type(value)(**new)
    return cast(T, change(copy)) if isinstance(copy, kind) else cast(T, copy)
