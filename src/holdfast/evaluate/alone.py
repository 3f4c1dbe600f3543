"""Attacks on batches in which one image may break: it is found, reported and left out, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import torch
from torch import Tensor

from holdfast.errors import NotFinite

Work = Callable[[Tensor, Tensor], dict[str, Tensor]]


def each_alone(
    work: Work, images: Tensor, labels: Tensor, sound: Tensor, otherwise: Mapping[str, float]
) -> dict[str, Tensor]:
    """What ``work(images, labels)`` gives, one entry per image, with ``otherwise`` where it cannot.

    Images that are not ``sound`` are left out. Where the rest raises `NotFinite`, each image is tried alone, and left
    out where that raises it too; any other error of ``work`` goes through.
    """
    rows = sound.nonzero()[:, 0]
    if len(rows) == 0:
        return _spread([], images, otherwise)
    try:
        return _spread([(rows, work(images[rows], labels[rows]))], images, otherwise)
    except NotFinite:
        pass
    done = []
    for row in rows.split(1):
        with suppress(NotFinite):
            done.append((row, work(images[row], labels[row])))
    return _spread(done, images, otherwise)


def _spread(
    done: list[tuple[Tensor, dict[str, Tensor]]], images: Tensor, otherwise: Mapping[str, float]
) -> dict[str, Tensor]:
    """Values of some rows in their places."""
    found: dict[str, Tensor] = {}
    for name, value in otherwise.items():
        kind = done[0][1][name] if done else torch.tensor(value, device=images.device)
        whole = torch.full((len(images), *kind.shape[1:]), value, dtype=kind.dtype, device=images.device)
        for rows, values in done:
            whole[rows] = values[name]
        found[name] = whole
    return found
