"""The numbers that the paper prints."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

FRACTIONS = ("kendall", "activation")
"""Quantities that the paper prints as they are; the others it prints in per cent."""


@cache
def _paper() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files("holdfast.paper") / "published.json").read_text())
    return document


def published(key: str, method: str, dataset: str) -> float | None:
    """What Tables 2 and 3 or section 6.4 print for a quantity, shares in [0, 1]; None where they print nothing.

    >>> published("kendall", "trades-igr", "mnist"), published("pgd20", "at", "cifar10")
    (0.4537, 0.3756)
    >>> published("kendall", "trades-igr", "digits") is None
    True
    """
    value = _paper()["cells"].get(method, {}).get(dataset, {}).get(key)
    return value if value is None or key in FRACTIONS else round(value / 100, 6)


def published_difference(key: str, weights: dict[str, float], dataset: str) -> float | None:
    """The weighted sum over methods of what the paper prints; None where it lacks one of them.

    >>> published_difference("topk", {"at-igr": 1.0, "at": -1.0}, "mnist")
    -0.0095
    """
    values = [published(key, method, dataset) for method in weights]
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return None
    return round(sum(w * value for w, value in zip(weights.values(), found, strict=True)), 6)


def published_gamma(dataset: str) -> tuple[float, float] | None:
    """Goodman and Kruskal's gamma of Kendall's tau with the cosine and with Pearson's r (Figures 2b and 5).

    >>> published_gamma("mnist")
    (0.7321, 0.6243)
    """
    found = _paper()["gamma"].get(dataset)
    return None if found is None else (found["cosine"], found["pearson"])
