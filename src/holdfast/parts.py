"""Parts: frozen dataclasses that are their own configuration, found by name; as JSON: `holdfast.part_json`.

A part is an attribution, an attack, an objective, a metric or a certificate. The package's own are found by scanning
the package of their kind, anybody's by ``module:Class`` or ``file.py:Class``, so that a new one is one new file.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast

from holdfast.errors import HoldfastError, unknown_name
from holdfast.imports import file_of, imported

T = TypeVar("T")
P = TypeVar("P", bound="Part")


@dataclass(frozen=True)
class Part:
    """What every kind of part shares; a kind is a direct subclass that names itself and the package of its parts."""

    kind: ClassVar[str] = "part"
    package: ClassVar[str | tuple[str, ...]] = ""
    """The packages whose modules hold the parts of this kind."""
    by_name: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a callable or its name, which the part looks up itself; stored by the name."""
    origins: ClassVar[Mapping[str, str]] = {}
    """Where the default of a field comes from: "paper", "cited code" or "ours"; one that is absent is ours."""

    def __new__(cls, *settings: Any, **named: Any) -> Self:
        """Raise where a model is given to the settings, as other libraries want it."""
        if any(_is_model(cls, value) for value in (*settings[:1], named.get("model"))):
            raise HoldfastError(
                f"{cls.__name__} was given a model; give it settings, and the model with the call: "
                f"{cls.kind} = {cls.__name__}(...), then {cls.kind}(model, x, y)."
            )
        return super().__new__(cls)

    @property
    def title(self) -> str:
        """Its name in tables."""
        return type(self).__name__


def _is_model(cls: type[Part], value: Any) -> bool:
    """Whether a first setting is a network, or a plain function where the part's own first setting is none."""
    first = next(iter(fields(cls)), None)
    takes_functions = first is not None and any(word in str(first.type) for word in ("Callable", "Any"))
    function = callable(value) and not isinstance(value, (Part, type))
    return hasattr(value, "named_parameters") or (function and not takes_functions)


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
        raise HoldfastError(f"{what} does not define {', '.join(missing)}; {with_article(kind.kind)} needs it.")
    if "__dataclass_params__" not in vars(found) or not found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise HoldfastError(f"{what} is no frozen dataclass; decorate it with @dataclass(frozen=True).")


_specs: dict[type, str] = {}
"""How the parts from outside the package were named when they were found."""


def with_article(noun: str) -> str:
    """A noun behind its "a" or "an"."""
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
    return f"{Path(where).expanduser().resolve()}:{name}" if where.endswith(".py") else spec


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
