"""Seeds that are pure functions of what they are for, so that nothing depends on how far a run had come."""

from __future__ import annotations

import hashlib
from typing import Self

import torch


def seed_of(*key: int | str) -> int:
    """A 63-bit seed from all of ``key``.

    >>> seed_of(0, "attack", 7) == seed_of(0, "attack", 7) != seed_of(0, "attack", 8)
    True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator seeded by all of ``key``."""
    return torch.Generator(device).manual_seed(seed_of(*key))


class ImageGenerator(torch.Generator):
    """An evaluation's generator: attacks draw an image's numbers from it and from the image's pixels alone.

    So no number depends on the batch that an image is in. Training draws for the whole batch at once, which is cheaper.

    >>> isinstance(ImageGenerator.of(0, "attack"), torch.Generator)
    True
    """

    @classmethod
    def of(cls, *key: int | str, device: torch.device | str = "cpu") -> Self:
        """A fresh one seeded by all of ``key``."""
        generator = cls(device)
        generator.manual_seed(seed_of(*key))
        return generator


def fresh_generator(device: torch.device) -> torch.Generator:
    """A generator seeded by the operating system, so that the global one is never touched."""
    generator = torch.Generator(device)
    generator.seed()
    return generator
