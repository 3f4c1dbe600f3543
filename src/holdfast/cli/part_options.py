"""Options that name a part: ``--objective file.py:Mine``, ``--objective.attribution saliency``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from holdfast.errors import HoldfastError
from holdfast.parts import Part, find

T = TypeVar("T")


def take_parts(config: T, argv: Sequence[str]) -> tuple[T, list[str]]:
    """``config`` with the parts that ``argv`` names in place of its own, outer ones first, and the other words.

    >>> from holdfast.recipes import recipe
    >>> config, rest = take_parts(recipe("digits-at"), ["--objective", "standard", "--seed", "1"])
    >>> config.objective.title, rest
    ('Standard', ['--seed', '1'])
    """
    rest = list(argv)
    taken: set[str] = set()
    while True:
        for path, kind in _part_fields(config):
            spec = None if path in taken else _take(rest, f"--{path}")
            if spec is not None:
                taken.add(path)
                config = _replaced(config, path.split("."), _made(kind, spec))
                break
        else:
            return config, rest


def _part_fields(config: Any, prefix: str = "") -> Iterator[tuple[str, type[Part]]]:
    """The dotted name and the kind of every field that holds a part."""
    hints = get_type_hints(type(config))
    for field in fields(config):
        kind = _kind(hints[field.name])
        value = getattr(config, field.name)
        if kind is not None:
            yield f"{prefix}{field.name}", kind
        if is_dataclass(value):
            yield from _part_fields(value, f"{prefix}{field.name}.")


def _kind(hint: Any) -> type[Part] | None:
    options = [
        o for o in (hint, *get_args(hint)) if inspect.isclass(o) and issubclass(o, Part) and inspect.isabstract(o)
    ]
    return options[0] if options else None


def _take(words: list[str], option: str) -> str | None:
    """The value of an option, taken out of ``words``; None where it is not there."""
    for i, word in enumerate(words):
        if word == option or word.startswith(f"{option}="):
            given = words[i + 1 : i + 2] if word == option else [word.partition("=")[2]]
            if not given or not given[0] or given[0].startswith("--"):
                raise HoldfastError(f"{option} names nothing; give the name of a part after it, or file.py:Class.")
            del words[i : i + (2 if word == option else 1)]
            return given[0]
    return None


def _made(kind: type[Part], spec: str) -> Part:
    cls = find(kind, spec)
    try:
        return cls()
    except TypeError as error:
        raise HoldfastError(
            f"{kind.kind} {spec} cannot be made without arguments ({error}); give each of its fields a default."
        ) from None


def _replaced(config: Any, path: Sequence[str], value: Any) -> Any:
    head, *tail = path
    return replace(config, **{head: _replaced(getattr(config, head), tail, value) if tail else value})
