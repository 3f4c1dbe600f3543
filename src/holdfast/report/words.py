"""Names and numbers as documents write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.recipes import SETUPS, setup


def dataset_title(name: str) -> str:
    """A data set as the paper writes it.

    >>> dataset_title("fashion_mnist"), dataset_title("fashion_mnist_01"), dataset_title("my/photos")
    ('Fashion-MNIST', 'Fashion-MNIST, ε = 0.1', 'my/photos')
    """
    if name in SETUPS and setup(name).title:
        return setup(name).title
    known = KNOWN.get(canonical_name(name))
    return known.title if known else name


def interval(low: float, high: float, percent: bool, digits: int = 1, signed: bool = False) -> str:
    """Both ends in brackets.

    >>> interval(-0.021, 0.5, True, signed=True)
    '[−2.1, +50.0]'
    """
    return f"[{number(low, percent, digits, signed)}, {number(high, percent, digits, signed)}]"


def listed(words: Iterable[object], last: str = "and") -> str:
    """Words with commas, and a word before the last.

    >>> listed(["MNIST"]), listed([0, 1, 2])
    ('MNIST', '0, 1 and 2')
    """
    items = [str(word) for word in words]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def counted(n: int, word: str) -> str:
    """A number and its noun.

    >>> counted(1, "run"), counted(1200, "seed")
    ('1 run', '1,200 seeds')
    """
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def span(numbers: Iterable[int]) -> str:
    """The smallest and the largest of some numbers, or the one that they all are.

    >>> span([300, 100, 300]), span([3, 3])
    ('100 to 300', '3')
    """
    values = sorted(set(numbers))
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def number(value: float, percent: bool, digits: int, signed: bool = False) -> str:
    """A share as per cent, or a bare number with two digits more.

    >>> number(0.5613, True, 2), number(-0.00001, False, 1), number(-0.0955, False, 2)
    ('56.13', '0.000', '−0.0955')
    >>> number(0.0234, True, 1, signed=True)
    '+2.3'
    """
    places = digits if percent else digits + 2
    rounded = round(100 * value if percent else value, places) + 0.0
    return f"{rounded:{'+' if signed else ''}.{places}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> duration(4.25), duration(42.0), duration(652.4), duration(26000.0)
    ('4.2 s', '42 s', '11 min', '7.2 h')
    """
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def setting(value: Any) -> str:
    """The value of a setting in short.

    >>> setting(0.09999999999999999), setting(None), setting((75, 90)), setting(8 / 255)
    ('0.1', 'not set', '75, 90', '0.031373')
    """
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)


def in_levels(eps: float) -> str:
    """A radius in levels of 255, to three digits.

    >>> in_levels(2 / 255), in_levels(0.1)
    ('2/255', '25.5/255')
    """
    return f"{255 * eps:.3g}/255"
