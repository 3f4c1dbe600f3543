"""Random numbers that belong to an image, whatever is beside it in the batch."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from holdfast.seeding import generator_of


def drawn_seed(generator: torch.Generator) -> int:
    """The number of a generator on which all else depends."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def noise_of(images: Tensor, seed: int, name: str, *, normal: bool = False) -> Tensor:
    """Uniform numbers in [-1, 1], or normal ones, that depend on ``seed``, ``name`` and each image's own pixels alone.

    So an image's noise is the same whatever is beside it in the batch, in any memory format and on any device.
    """
    pixels = images.detach().float().cpu().contiguous()
    rows = [_drawn(torch.empty_like(image), image_generator(image, seed, name), normal) for image in pixels]
    return torch.stack(rows).to(images)


def image_generator(image: Tensor, seed: int, name: str) -> torch.Generator:
    """A generator on the CPU that depends on ``seed``, ``name`` and the pixels of one image alone."""
    pixels = image.detach().float().cpu().contiguous().numpy().tobytes()
    return generator_of(seed, name, hashlib.sha256(pixels).hexdigest())


def _drawn(noise: Tensor, generator: torch.Generator, normal: bool) -> Tensor:
    return noise.normal_(generator=generator) if normal else noise.uniform_(-1, 1, generator=generator)
