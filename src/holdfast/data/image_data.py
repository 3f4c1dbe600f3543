"""One split of an image classification data set, decoded and validated."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.errors import HoldfastError


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and labels of one split, held in memory as integers.

    Args:
        name: data set, as given to ``load_dataset``.
        split: ``train``, ``val`` or ``test``.
        images: uint8 ``(N, C, H, W)``, 0 to 255.
        labels: int64 ``(N,)``, each in ``[0, len(classes))``.
        classes: one name per class, in label order.
        source: where the images came from, for people to read; ends with their file format in brackets, if any.

    Raises:
        HoldfastError: an empty split, a wrong dtype or shape, or a label without a class.

    >>> data = ImageData("mine", "test", torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
    ...                  torch.tensor([0, 1]), ("cat", "dog"), "made by hand")
    >>> len(data), data.shape, data.num_classes
    (2, (1, 4, 4), 2)
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {tuple(self.images.shape)}"
            raise HoldfastError(f"{where}: images are {found}; give a uint8 tensor (N, C, H, W) in 0..255.")
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            found = f"{self.labels.dtype} {tuple(self.labels.shape)}"
            raise HoldfastError(f"{where}: labels are {found}; give an int64 tensor (N,).")
        if len(self.images) != len(self.labels):
            raise HoldfastError(
                f"{where}: {len(self.images)} images but {len(self.labels)} labels; give one label per image."
            )
        if self.images.numel() == 0:
            raise HoldfastError(
                f"{where}: empty, shape {tuple(self.images.shape)}; give at least one image of one pixel."
            )
        low, high = (int(bound) for bound in self.labels.aminmax())
        if low < 0 or high >= len(self.classes):
            bad = low if low < 0 else high
            raise HoldfastError(
                f"{where}: label {bad} is outside 0..{len(self.classes) - 1} ({len(self.classes)} classes); "
                "remove unlabelled images or name every class."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def encoding(self) -> str | None:
        """The file format that the images were decoded from.

        >>> ImageData("mine", "test", torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.tensor([0]), ("cat",),
        ...           "data/mine (JPEG)").encoding
        'JPEG'
        """
        found = re.search(r"\((\w+)\)$", self.source)
        return found[1] if found else None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def take(self, indices: Tensor | Sequence[int]) -> ImageData:
        """The images at ``indices`` (integers in ``[0, N)``), in that order.

        Raises:
            HoldfastError: no index, or one outside the split.
        """
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        if chosen.numel() == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= len(self):
            raise HoldfastError(
                f"data set {self.name!r}, split {self.split!r}: indices must be one or more integers in "
                f"0..{len(self) - 1}, got {chosen.numel()} indices"
                + (f" from {int(chosen.min())} to {int(chosen.max())}." if chosen.numel() else ".")
            )
        return dataclasses.replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def first(self, n: int) -> ImageData:
        """The first ``n`` images, sharing memory with this split.

        Raises:
            HoldfastError: ``n`` is not between 1 and the size of the split.
        """
        if not 1 <= n <= len(self):
            raise HoldfastError(
                f"data set {self.name!r}, split {self.split!r}: cannot take the first {n} images; "
                f"choose 1 to {len(self)}."
            )
        return dataclasses.replace(self, images=self.images[:n], labels=self.labels[:n])

    def checksum(self) -> str:
        """SHA-256 over shape, images and labels, as 64 hexadecimal digits."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def to_unit_interval(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images as floats in [0, 1] of the same shape: ``images / 255``.

    >>> to_unit_interval(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return images.to(dtype) / 255
