"""Random crop and horizontal flip of a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4


def draw_crop_flip(count: int, generator: torch.Generator) -> Tensor:
    """Random choices for ``count`` images: int64 ``(count, 3)``, columns row offset, column offset, flip.

    Offsets are uniform in 0..8 (the crop's corner in the image padded by 4 pixels), flip in 0..1. They are
    drawn on the CPU so that every device gets the same ones.
    """
    offsets = torch.randint(2 * PADDING + 1, (count, 2), generator=generator)
    flips = torch.randint(2, (count, 1), generator=generator)
    return torch.cat([offsets, flips], dim=1)


def crop_flip(images: Tensor, choices: Tensor) -> Tensor:
    """Crop each image out of its zero-padded self, then mirror it where ``flip`` is 1.

    Args:
        images: ``(B, C, H, W)`` of any dtype.
        choices: from ``draw_crop_flip``, on the device of ``images``; ``(4, 4, 0)`` is the identity.

    Returns:
        ``(B, C, H, W)``, same dtype.

    >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> crop_flip(image, torch.tensor([[4, 4, 1]])).flatten().tolist()
    [1.0, 0.0, 3.0, 2.0]
    >>> crop_flip(image, torch.tensor([[5, 4, 0]])).flatten().tolist()
    [2.0, 3.0, 0.0, 0.0]
    """
    channels, height, width = images.shape[1:]
    padded = functional.pad(images, (PADDING,) * 4)
    top, left, flip = (column.unsqueeze(1) for column in choices.unbind(1))
    along_height = torch.arange(height, device=images.device)
    along_width = torch.arange(width, device=images.device)
    rows = top + along_height
    columns = left + torch.where(flip == 1, width - 1 - along_width, along_width)
    positions = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    every_channel = positions.flatten(1)[:, None].expand(-1, channels, -1)
    return padded.flatten(2).gather(2, every_channel).view(images.shape)
