"""Typed options from a dataclass, with errors of one line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TypeVar

from holdfast.errors import HoldfastError, unknown_name

T = TypeVar("T")


def parse(default: T, argv: Sequence[str], command: str, description: str) -> T:
    """``default`` with the fields that ``argv`` overrides.

    Raises:
        HoldfastError: an unknown option (with the nearest ones) or a value that does not fit.
    """
    import tyro

    if any(arg in ("-h", "--help") for arg in argv):
        tyro.cli(type(default), default=default, args=list(argv), prog=f"holdfast {command}", description=description)
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            config, unknown = tyro.cli(
                type(default), default=default, args=list(argv), prog=f"holdfast {command}", return_unknown_args=True
            )
    except SystemExit:
        complaint = _first_words(complaints.getvalue()).rstrip(".")
        raise HoldfastError(f"{complaint}. See holdfast {command} --help.") from None
    if unknown:
        raise unknown_name("option", unknown[0], _options(default), f"See holdfast {command} --help.")
    return config


def _first_words(box: str) -> str:
    """The message inside a framed complaint, as one line."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ \t")
        if not set(text) <= {"─", "-"}:  # a terminal without Unicode gets rules of hyphens
            words.append(text)
        elif words:
            break
    return " ".join(words)


def _options(default: object, prefix: str = "--") -> list[str]:
    from dataclasses import fields, is_dataclass

    names = []
    for field in fields(default):  # type: ignore[arg-type]
        value = getattr(default, field.name)
        name = field.name.replace("_", "-")
        if is_dataclass(value):
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
    return profile, rest


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
