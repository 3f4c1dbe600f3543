"""What may be given to be evaluated: a data set by name, its images, or tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from holdfast.data import load_dataset
from holdfast.data.image_data import ImageData, to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.validate import check_images, check_labels


@dataclass(frozen=True, eq=False)
class TensorData:
    """Inputs (N, ...) in [0, 1] and labels (N,) that a user has in memory."""

    images: Tensor
    labels: Tensor
    name: str = "tensors"
    split: str = "test"

    def __post_init__(self) -> None:
        check_images(self.images)
        check_labels(self.labels, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:])

    def first(self, n: int) -> TensorData:
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def checksum(self) -> str:
        """SHA-256 over shape, dtype, inputs and labels."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.images.dtype}".encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


Data = ImageData | TensorData


def data_of(given: Any, split: str = "test", data_dir: str | None = None) -> Data:
    """The data behind a name or folder, ``ImageData``, or a pair of tensors (inputs in [0, 1], int64 labels).

    Raises:
        HoldfastError: anything else.

    >>> len(data_of((torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 1]))))
    3
    """
    if isinstance(given, str | Path):
        return load_dataset(str(given), split, data_dir=data_dir)
    if isinstance(given, ImageData | TensorData):
        return given
    if isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(t, Tensor) for t in given):
        images, labels = given
        return TensorData(to_unit_interval(images) if images.dtype == torch.uint8 else images, labels)
    raise HoldfastError(
        f"data is {type(given).__name__}; give a data set's name or folder, what hf.load_dataset returns, or a pair "
        "(images, labels) of tensors."
    )


def batch_of(data: Data, index: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Inputs in [0, 1] and labels at ``index``, on ``device``."""
    images = data.images[index].to(device)
    return images if images.is_floating_point() else to_unit_interval(images), data.labels[index].to(device)
