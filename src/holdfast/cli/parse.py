"""Typed options from a dataclass, and those that name a part (``--objective file.py:Mine``); errors of one line."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from holdfast.cli.optional import optional_options
from holdfast.errors import HoldfastError, unknown_name
from holdfast.parts import Part, find

T = TypeVar("T")
OPTION = re.compile(r"--(?:[\w.-]+[._-])?(?:eps|alpha)")
ASSIGNED = re.compile(rf"({OPTION.pattern})=(.*)")
FRACTION = re.compile(r"(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
PLAIN = {
    r"invalid literal for int\(\) with base 10: (.*)": r"\1 is not a whole number",
    r"could not convert string to float: (.*)": r"\1 is not a number",
    r"no type matching (.*) could be instantiated from \[(.*)\]": r"\2 does not fit \1",
    r"Could not find valid parse for arguments: \[(.*)\]": r"\1 does not fit",
}
"""Complaints of Python and of tyro, and what is said instead."""


def parse(default: T, argv: Sequence[str], command: str, description: str) -> T:
    """``default`` with the fields that ``argv`` overrides.

    Raises:
        HoldfastError: an unknown option (with the nearest ones) or a value that does not fit.
    """
    import tyro

    argv = with_decimals(argv)
    optional_parts_stay = (tyro.conf.AvoidSubcommands,)
    program = f"holdfast {command}"
    if any(arg in ("-h", "--help") for arg in argv):
        tyro.cli(
            type(default),
            default=default,
            args=argv,
            prog=program,
            description=description,
            config=optional_parts_stay,
            registry=optional_options(),
        )
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            config, unknown = tyro.cli(
                type(default),
                default=default,
                args=argv,
                prog=program,
                return_unknown_args=True,
                config=optional_parts_stay,
                registry=optional_options(),
            )
    except SystemExit:
        complaint = _first_words(complaints.getvalue()).rstrip(".")
        raise HoldfastError(f"{complaint}. See holdfast {command} --help.") from None
    if unknown and not unknown[0].startswith("-"):
        raise HoldfastError(
            f"{unknown[0]!r} is neither an option nor the value of one; leave it out, or give it before the options "
            f"if it is a name or a folder. See holdfast {command} --help."
        )
    if unknown:
        raise unknown_name("option", unknown[0], _options(default), f"See holdfast {command} --help.")
    _check_radii(config)
    return config


def with_decimals(argv: Sequence[str]) -> list[str]:
    """Words in which a fraction such as 8/255 after an option that ends in eps or alpha is a decimal number.

    Raises:
        HoldfastError: a fraction without a value.

    >>> with_decimals(["--objective.attack.eps", "8/255", "--pgd-alpha=1/4", "--out", "8/255"])
    ['--objective.attack.eps', '0.03137254901960784', '--pgd-alpha=0.25', '--out', '8/255']
    """
    words = list(argv)
    for i, word in enumerate(words):
        if OPTION.fullmatch(word) and i + 1 < len(words):
            words[i + 1] = _decimal(word, words[i + 1])
        elif (match := ASSIGNED.fullmatch(word)) is not None:
            words[i] = f"{match[1]}={_decimal(match[1], match[2])}"
    return words


def _decimal(option: str, text: str) -> str:
    match = FRACTION.fullmatch(text)
    if match is None:
        return text
    if float(match[2]) == 0:
        raise HoldfastError(f"{option} is {text}, a division by 0; give a number or a fraction such as 8/255.")
    return repr(float(match[1]) / float(match[2]))


def _check_radii(config: Any, prefix: str = "--") -> None:
    """Raise on a radius that was meant in levels from 0 to 255; only an L2 ball may be wider than 1."""
    for field in fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if is_dataclass(value):
            _check_radii(value, prefix if field.name == "config" else f"{name}.")
        elif (
            field.name == "eps"
            and isinstance(value, int | float)
            and value > 1
            and getattr(config, "norm", "Linf") == "Linf"
        ):
            meant = f"; {value:g} levels of 255 are written {value:g}/255" if value <= 255 else ""
            raise HoldfastError(f"{name} is {value:g}, but pixels lie in [0, 1]{meant}.")


def _first_words(box: str) -> str:
    """The message inside a framed complaint, as one line."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ \t")
        if not set(text) <= {"─", "-"}:  # a terminal without Unicode gets rules of hyphens
            words.append(text)
        elif words:
            break
    line = " ".join(words)
    for theirs, ours in PLAIN.items():
        line = re.sub(theirs, ours, line)
    return line


def _options(default: object, prefix: str = "--") -> list[str]:
    names = []
    for field in fields(default):  # type: ignore[arg-type]
        value = getattr(default, field.name)
        name = field.name.replace("_", "-")
        if is_dataclass(value):
            names += [f"{prefix}{name}"] if hasattr(value, "kind") else []
            names += _options(value, prefix if field.name == "config" else f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


def take_name(argv: Sequence[str], what: str, command: str, example: str) -> tuple[str, list[str]]:
    """The first word of ``argv``, which is no option, and the rest."""
    if not argv or argv[0].startswith("-"):
        raise HoldfastError(f"{what} is missing; for example: holdfast {command} {example}.")
    return argv[0], list(argv[1:])


def take_profile(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of ``--profile``, if there is one, and the other words.

    Raises:
        HoldfastError: an empty or unknown profile.

    >>> take_profile(["--seed", "1", "--profile=laptop"])
    ('laptop', ['--seed', '1'])
    """
    profile: str | None = None
    rest, words = [], iter(argv)
    for word in words:
        if word == "--profile":
            profile = next(words, "")
        elif word.startswith("--profile="):
            profile = word.partition("=")[2]
        else:
            rest.append(word)
    return known_profile(profile), rest


def known_profile(name: str | None) -> str | None:
    """``name``, which is None or a profile.

    Raises:
        HoldfastError: anything else, an empty word included.
    """
    from holdfast.recipes import PROFILES

    if name == "":
        raise HoldfastError(f"--profile is empty; choose {', '.join(PROFILES)}, or leave it out.")
    if name is not None and name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return name


def words(text: str | None) -> tuple[str, ...] | None:
    """Comma-separated words; None where the option was not given.

    >>> words("mnist, fashion_mnist")
    ('mnist', 'fashion_mnist')
    """
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def whole_numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    """Comma-separated whole numbers; None where the option was not given.

    Raises:
        HoldfastError: for anything else.
    """
    try:
        found = words(text)
        return None if found is None else tuple(int(word) for word in found)
    except ValueError:
        raise HoldfastError(f"{option} is {text!r}; give whole numbers with commas between them, e.g. 0,1,2.") from None


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str | None) -> float | None:
    """The seconds of a ``--time-limit`` such as ``90s`` or ``2h``; None where the option was not given.

    Raises:
        HoldfastError: for anything else.

    >>> seconds_of("10m")
    600.0
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise HoldfastError(f"--time-limit is {text!r}; give a number and a unit, e.g. 90s, 30m, 2h or 1d.")
    return float(match[1]) * UNITS[match[2]]


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
