"""JSON objects that hold the SHA-256 of their values, so that no changed number is taken for the one written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"


def sealed(document: Mapping[str, Any], *, indent: int = 2) -> str:
    """A JSON text of an object, with the SHA-256 of its values under "sha256" as the last entry.

    >>> unsealed(sealed({"eps": 0.5}))
    {'eps': 0.5}
    """
    plain = json.loads(json.dumps(document))
    return json.dumps({**document, SEAL: _digest(plain)}, indent=indent) + "\n"


def parsed(text: str | bytes) -> dict[str, Any]:
    """The object in a JSON text.

    Raises:
        ValueError: no JSON, nested too deeply, no object, or an object with a name twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def is_intact(document: dict[str, Any]) -> bool:
    """Take the SHA-256 out of a document: whether it is that of the rest. One that never had any counts as intact."""
    return SEAL not in document or document.pop(SEAL) == _digest(document)


def unsealed(text: str | bytes) -> dict[str, Any]:
    """The object in a JSON text that `sealed` made, without the SHA-256.

    Raises:
        ValueError: what `parsed` raises, or values that are not those of the SHA-256.
    """
    found = parsed(text)
    if not is_intact(found):
        raise ValueError("its values do not give the SHA-256 in it")
    return found


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
