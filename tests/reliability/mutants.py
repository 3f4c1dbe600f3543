"""Sound files made wrong: cut short, spliced, with bytes flipped or, if they are JSON, with values replaced."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

WRONG = [None, True, "x", [], {}, [[1]], -1, -1e9, 10**30, 1e308, 0, 0.5, float("nan"), float("inf"), float("-inf")]


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON tree with every key in it."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in pairs] + [place for _, inner in pairs for place in places_of(inner)]


def json_mutant(text: str, random: Random) -> bytes:
    """Another value, type, key, schema or depth, somewhere in the tree."""
    tree = json.loads(text)
    where, key = random.choice(places_of(tree))
    action = random.choice(["wrong", "wrong", "number", "delete", "swap", "double", "rename", "schema", "deep"])
    if action in ("wrong", "number"):
        old = where[key]
        scaled = isinstance(old, int | float) and action == "number"
        where[key] = old * random.choice([2, -1, 1.5]) + 1 if scaled else random.choice(WRONG)
    elif action == "delete":
        del where[key]
    elif action == "swap":
        other, there = random.choice(places_of(tree))
        if isinstance(where[key], dict | list) or isinstance(other[there], dict | list):
            where[key] = "swapped"
        else:
            where[key], other[there] = other[there], where[key]
    elif action == "double" and isinstance(where, dict):
        written = json.dumps(tree)
        return written.replace("{", f"{{{json.dumps(key)}: 1, {json.dumps(key)}: 2, ", 1).encode()
    elif action == "rename" and isinstance(where, dict):
        where[f"{key}\n"] = where.pop(key)
    elif action == "schema" and isinstance(tree, dict):
        tree["schema"] = random.choice([0, 1, 3, 99, "2", None, 2.5])
    else:
        return b'{"a": ' * 100_000
    return json.dumps(tree, indent=2).encode()


def byte_mutant(content: bytes, random: Random) -> bytes:
    """Cut short, emptied, or with bytes flipped, doubled, moved, zeroed or left out."""
    mutant, at = bytearray(content), random.randrange(len(content))
    length = random.randint(1, min(64, len(content)))
    action = random.choice(["flip", "flip", "flip", "cut", "empty", "splice", "zero", "drop", "double", "more"])
    if action == "flip":
        for _ in range(random.randint(1, 3)):
            mutant[random.randrange(len(mutant))] ^= 1 << random.randrange(8)
    elif action in ("cut", "empty"):
        del mutant[at if action == "cut" else 0 :]
    elif action == "zero":
        mutant[at : at + length] = bytes(len(mutant[at : at + length]))
    elif action == "drop":
        del mutant[at : at + length]
    elif action == "more":
        mutant += random.randbytes(length)
    else:
        mutant[at : at + (length if action == "splice" else 0)] = random.choice([content[:length], content[-length:]])
    return bytes(mutant)


def mutant_of(file: Path, random: Random) -> bytes:
    content = file.read_bytes()
    if file.suffix == ".json" and random.random() < 0.6:
        return json_mutant(content.decode(), random)
    if file.suffix == ".jsonl" and random.random() < 0.6:
        lines = content.decode().splitlines()
        chosen = random.randrange(len(lines))
        changed = json_mutant(lines[chosen], random).decode().replace("\n", " ")
        return "\n".join([*lines[:chosen], changed, *lines[chosen + 1 :], ""]).encode()
    if file.suffix == ".gz" and random.random() < 0.5:
        return gzip.compress(byte_mutant(gzip.decompress(content), random))
    return byte_mutant(content, random)
