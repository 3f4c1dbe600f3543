"""Images that a user holds in Python: tensors, arrays, a PyTorch data set or loader."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from holdfast.errors import HoldfastError, HoldfastWarning

MOST_BYTES = 8 * 2**30
GIVE = "an image folder or data set by its name, what hf.load_dataset returns, a pair (images, labels) of tensors or \
arrays, or a PyTorch Dataset or DataLoader"


@dataclass(frozen=True)
class Given:
    """Images (N, ...) as they were given, labels int64 (N,), and the names of the classes where they are known."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()


def given_images(data: Any, most: int | None = None) -> Given | None:
    """The images and labels in a pair, a PyTorch data set or a loader of pairs; None if ``data`` is none of these.

    A set or loader is read in its order, up to ``most`` images, and held in memory.

    Raises:
        HoldfastError: no such pairs in it, images of several shapes, or more than 8 GiB of them.

    >>> from torch.utils.data import TensorDataset
    >>> found = given_images(TensorDataset(torch.rand(5, 1, 4, 4), torch.arange(5)), most=3)
    >>> found.images.shape, found.labels.tolist()
    (torch.Size([3, 1, 4, 4]), [0, 1, 2])
    """
    if isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(t, Tensor | np.ndarray) for t in data):
        return Given(as_images(data[0]), _as_labels(data[1]))
    if not isinstance(data, Dataset | DataLoader):
        return None
    if isinstance(data, DataLoader) and isinstance(data.sampler, RandomSampler):
        warnings.warn(
            "the DataLoader shuffles, so that another run sees other images first and cannot go on where this one "
            "stopped: give it shuffle=False.",
            HoldfastWarning,
            stacklevel=3,
        )
    parts = list(_parts(data, most))
    if not parts:
        raise HoldfastError(f"the {type(data).__name__} is empty; give one of at least one image.")
    images, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    owner = data.dataset if isinstance(data, DataLoader) else data
    classes = getattr(owner, "classes", None)
    names = tuple(map(str, classes)) if isinstance(classes, list | tuple) else ()
    return Given(images[:most], labels[:most], names)


def as_images(images: Tensor | np.ndarray) -> Tensor:
    """A tensor as it is; an array as one, float32 where it is float64, NumPy's default."""
    if isinstance(images, Tensor):
        return images
    return torch.from_numpy(np.ascontiguousarray(images.astype(np.float32) if images.dtype == np.float64 else images))


def _as_labels(labels: Tensor | np.ndarray) -> Tensor:
    if isinstance(labels, Tensor):
        return labels
    return torch.from_numpy(labels.astype(np.int64) if labels.dtype.kind in "iu" else labels)


def _parts(data: Any, most: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels batch by batch, those of a data set one by one, until there are ``most``."""
    name, done, shape = type(data).__name__, 0, None
    for item in _items(data):
        images, labels = _pair(item, name, done)
        if not isinstance(data, DataLoader):
            images, labels = images[None], labels[None]
        labels = labels.reshape(-1).to(torch.int64)
        if shape is None:
            shape = images.shape[1:]
            _refuse_too_many(data, images, most)
        if images.shape[1:] != shape or len(images) != len(labels):
            raise HoldfastError(
                f"the {name} has an image of shape {tuple(images.shape[1:])} after ones of {tuple(shape)}, or not one "
                f"label per image, at place {done}; crop or scale the images to one shape in its transform."
            )
        yield images, labels
        done += len(images)
        if most is not None and done >= most:
            return


def _items(data: Any) -> Iterator[Any]:
    if isinstance(data, DataLoader | IterableDataset):
        yield from data
        return
    if not hasattr(data, "__len__"):
        raise HoldfastError(f"the {type(data).__name__} has no length; wrap it in a DataLoader.")
    for place in range(len(data)):
        yield data[place]


def _pair(item: Any, name: str, place: int) -> tuple[Tensor, Tensor]:
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise HoldfastError(
            f"the {name} gives a {type(item).__name__} at place {place}; give one of pairs (image, label)."
        )
    image, label = item[:2]
    if not isinstance(image, Tensor | np.ndarray):
        raise HoldfastError(
            f"the {name} gives an image of type {type(image).__name__} at place {place}; give it a transform that "
            "makes tensors (C, H, W) in [0, 1], such as torchvision's ToTensor."
        )
    try:
        label = torch.as_tensor(label)
    except (TypeError, ValueError, RuntimeError):
        label = torch.tensor(0.5)
    if label.is_floating_point():
        raise HoldfastError(f"the {name} gives {item[1]!r} as a label at place {place}; give class indices.")
    return as_images(image), label


def _refuse_too_many(data: Any, first: Tensor, most: int | None) -> None:
    owner = data.dataset if isinstance(data, DataLoader) else data
    count = len(owner) if hasattr(owner, "__len__") else 0
    count = count if most is None else min(count, most)
    bytes_of_all = count * first[0].numel() * first.element_size()
    if bytes_of_all > MOST_BYTES:
        raise HoldfastError(
            f"{count:,} images of shape {tuple(first.shape[1:])} take {bytes_of_all / 2**30:.0f} GiB in memory, more "
            f"than {MOST_BYTES // 2**30}; ask for fewer (n_examples=1000, AuditSettings(images=100)), or give the "
            "folder of the images, which is read as it is needed."
        )
