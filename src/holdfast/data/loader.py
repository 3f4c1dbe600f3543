"""Batches from a split that lives on the device; each batch is a function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.data.image_data import ImageData
from holdfast.data.images import LazyImages
from holdfast.errors import HoldfastError, unknown_name
from holdfast.seeding import generator_of

PADDING = 4


def to_unit_interval(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images as floats in [0, 1] of the same shape: uint8 is divided by 255, floats are what they are.

    >>> to_unit_interval(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return images.to(dtype) if images.is_floating_point() else images.to(dtype) / 255


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


Augment = Literal["none", "crop_flip"]


@dataclass(frozen=True)
class Share:
    """Rows ``start`` up to ``stop`` of a global batch of ``total`` images.

    >>> len(Share(3, 5, 8)), Share(3, 5, 8).weight
    (2, 0.25)
    """

    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def weight(self) -> float:
        """What the mean over these rows counts in the mean over the batch."""
        return len(self) / self.total


class DeviceLoader:
    """Serve a split in batches from the memory of one device.

    ``batch(epoch, i)`` depends on nothing but the arguments of the loader, ``epoch`` and ``i``, so a run that
    was stopped goes on in the middle of an epoch with the very batches it would have seen, on any device. The
    global random state is neither read nor changed.

    Args:
        data: the split, with labels; its images move to ``device`` as they are (those of a set larger than memory are
            decoded batch by batch and follow then).
        batch_size: images per global batch, over all ranks.
        device: where the images live and the batches appear.
        dtype: floating-point type of the batches.
        augment: ``"none"``, or ``"crop_flip"``: zero-pad by 4 pixels, crop at random, mirror half of them.
        seed: of the order and the augmentation.
        shuffle: a new order each epoch; False keeps the order of the split.
        drop_last: leave out a last batch that is not full.
        rank, world_size: this process takes the ``rank``-th of ``world_size`` consecutive shares of every
            global batch, whose sizes differ by one image at most. Joined in rank order the shares are the
            batch of a single process, augmentation included. A last batch of fewer images than processes
            leaves some of them none.

    Raises:
        HoldfastError: sizes that do not fit together, an unknown ``augment``, or a ``dtype`` that is not
            floating-point.

    >>> from holdfast.data.digits import load_digits
    >>> loader = DeviceLoader(load_digits("val"), batch_size=64, seed=1)
    >>> [len(labels) for _, labels in loader.batches(epoch=0)]
    [64, 64, 64, 8]
    >>> images, labels = loader.batch(epoch=3, i=2)
    >>> images.shape, images.dtype, labels.dtype
    (torch.Size([64, 1, 8, 8]), torch.float32, torch.int64)
    """

    def __init__(
        self,
        data: ImageData,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        augment: Augment = "none",
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if augment not in get_args(Augment):
            raise unknown_name("augmentation", augment, get_args(Augment))
        if not dtype.is_floating_point:
            raise HoldfastError(f"dtype {dtype} cannot hold images in [0, 1]; use a floating-point type.")
        _check_sizes(len(data), batch_size, drop_last, rank, world_size)
        self.batch_size = batch_size
        self.dtype = dtype
        self.augment = augment
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.encoding = data.encoding
        if not data.labelled:
            raise HoldfastError(
                f"data set {data.name!r} has no labels to train on; put its images in one folder per class."
            )
        images: object = data.images
        self.device = torch.device(device)
        self._images = data.images if isinstance(images, LazyImages) else data.images.to(device)
        self._labels = data.labels.to(device)
        self._order: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self._images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def share(self, i: int) -> Share:
        """Which rows of batch ``i`` are this rank's; the same in every epoch.

        Raises:
            HoldfastError: ``i`` is not in ``0..len(self) - 1``.
        """
        if not 0 <= i < len(self):
            raise HoldfastError(f"batch {i} does not exist; an epoch has batches 0..{len(self) - 1}.")
        size = min(self.batch_size, len(self._images) - i * self.batch_size)
        return Share(size * self.rank // self.world_size, size * (self.rank + 1) // self.world_size, size)

    def batch(self, epoch: int, i: int) -> tuple[Tensor, Tensor]:
        """This rank's share of batch ``i`` of ``epoch``.

        Returns:
            images ``(B, C, H, W)`` in [0, 1], labels int64 ``(B,)``, both on the device.

        Raises:
            HoldfastError: ``i`` is not in ``0..len(self) - 1``.
        """
        share = self.share(i)
        start = i * self.batch_size
        chosen = self._epoch_order(epoch)[start : start + share.total][share.rows]
        images = self._images[chosen].to(self.device)
        if self.augment == "crop_flip":
            choices = draw_crop_flip(share.total, generator_of(self.seed, "augment", epoch, i))[share.rows]
            images = crop_flip(images, choices.to(images.device))
        return to_unit_interval(images, self.dtype), self._labels[chosen]

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of ``epoch`` in order, from batch ``start`` on."""
        for i in range(start, len(self)):
            yield self.batch(epoch, i)

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            total = len(self._images)
            order = (
                torch.randperm(total, generator=generator_of(self.seed, "order", epoch))
                if self.shuffle
                else torch.arange(total)
            )
            self._order = epoch, order.to(self.device)
        return self._order[1]


def _check_sizes(total: int, batch_size: int, drop_last: bool, rank: int, world_size: int) -> None:
    if world_size < 1 or not 0 <= rank < world_size:
        raise HoldfastError(f"rank {rank} of {world_size} does not exist; ranks are 0..world_size - 1.")
    if batch_size < 1:
        raise HoldfastError(f"batch size {batch_size} must be positive.")
    if drop_last and total < batch_size:
        raise HoldfastError(
            f"{total} images do not fill one batch of {batch_size}; reduce batch_size or keep the last batch."
        )
    if min(batch_size, total) < world_size:
        raise HoldfastError(
            f"a batch of {min(batch_size, total)} images cannot be shared by {world_size} processes; start fewer "
            f"of them, or {'choose a larger batch size' if batch_size < world_size else 'take more images'}."
        )
