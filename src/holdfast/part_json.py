"""Parts and configurations as JSON: written with a checksum, read strictly, and hashed by what is no default."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from holdfast.errors import HoldfastError
from holdfast.imports import nameless, spec_of_callable
from holdfast.parts import Part, find, spec_of, with_article
from holdfast.sealed import is_intact, parsed, sealed

SCHEMA = 2
T = TypeVar("T")
Spec = Callable[[type[Part]], str]
"""What names the class of a part."""


def class_name(cls: type[Part]) -> str:
    """A class as people read it, whether or not anybody finds it again: a `Spec` for pages, not for files."""
    return cls.__name__


def to_plain(value: Any, where: str = "", spec: Spec = spec_of) -> Any:
    """A part or configuration as dictionaries, lists and scalars; each part says what it is under ``part``.

    What a part looks up by its name (``Part.by_name``) is written by it, as `spec_of_callable` has it.

    Args:
        where: the name of the field, for errors.
        spec: what names the class of a part; one that is more lenient than the default serves people, not files.

    Raises:
        HoldfastError: a field that JSON cannot hold, by name.
    """
    if isinstance(value, Part | type(None) | bool | int | float | str) and not isinstance(value, Part):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        named = _named_callables(value)
        own = {f.name: to_plain(getattr(named, f.name), f"{where}{f.name}.", spec) for f in fields(value)}
        return {"part": spec(type(value)), **own} if isinstance(value, Part) else own
    if isinstance(value, tuple | list):
        return [to_plain(v, where, spec) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, f"{where}{k}.", spec) for k, v in value.items()}
    raise HoldfastError(
        f"{where.rstrip('.') or 'the value'} is a {type(value).__name__}, which cannot be stored; use numbers, text, "
        "tuples of them and other parts (a function: as 'module:name' or 'file.py:name')."
    )


def _named_callables(value: Any) -> Any:
    """A part with the names of callables in place of those that it would look up by their names."""
    given = {name: getattr(value, name) for name in value.by_name} if isinstance(value, Part) else {}
    named = {name: spec_of_callable(found) for name, found in given.items() if not isinstance(found, str)}
    return replace(value, **named) if named else value


def non_default(value: Any, spec: Spec = spec_of) -> Any:
    """As `to_plain`, without the fields that have their default: a new defaulted field changes nothing here.

    >>> from holdfast.attacks import PGD
    >>> non_default(PGD(steps=3))
    {'part': 'PGD', 'steps': 3}
    """
    if is_dataclass(value) and not isinstance(value, type):
        named = _named_callables(value)
        kept = {f.name: getattr(named, f.name) for f in fields(value) if getattr(value, f.name) != _default(f)}
        own = {name: non_default(v, spec) for name, v in kept.items()}
        return {"part": spec(type(value)), **own} if isinstance(value, Part) else own
    if isinstance(value, tuple | list):
        return [non_default(v, spec) for v in value]
    if isinstance(value, Mapping):
        return {str(k): non_default(v, spec) for k, v in value.items()}
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


def nameless_in(value: Any) -> list[str]:
    """The callables in a part or configuration that only this process knows, in the order they stand there.

    >>> from holdfast.attribution import External
    >>> nameless_in((External("captum.attr:DeepLift"), External(lambda x, target: x)))
    ['<lambda>']
    """
    plain = to_plain(value, spec=class_name)
    found: list[str] = []

    def collect(part: Any) -> None:
        if isinstance(part, str) and nameless(part):
            found.append(part)
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            collect(inner)

    collect(plain)
    return found


def refuse_nameless(value: Any, where: str) -> None:
    """Raise where records of ``value`` cannot be added to by another call: it holds what `nameless_in` finds.

    Raises:
        HoldfastError: which callables, and that ``where`` is closed to them.
    """
    if unknown := nameless_in(value):
        raise HoldfastError(
            f"{', '.join(unknown)} is known to one Python process alone, so that no other can work or go on in "
            f"{where}; name it module:name or file.py:name, or give a new folder to one process."
        )


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
        raise HoldfastError(f"{where} has schema {schema!r}, this version reads schema {SCHEMA}; {reads} reads it.")
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
        raise _misfit(where, place, f"{with_article(kind.kind)} is written as an object that says which under 'part'")
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
