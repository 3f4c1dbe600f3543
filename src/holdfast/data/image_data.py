"""One split of an image classification data set, decoded and validated."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from holdfast.data.images import LazyImages, named
from holdfast.errors import HoldfastError


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and labels of one split.

    Args:
        name: data set, as given to ``load_dataset``.
        split: ``train``, ``val``, ``test`` or ``all``.
        images: ``(N, C, H, W)``: uint8, 0 to 255, or float32 in [0, 1] where the files have more than 8 bits a value. A
            set too large for the memory has an object here that decodes what is indexed, into a tensor of that type.
        labels: int64 ``(N,)``, each in ``[0, len(classes))``; all -1 for images without labels.
        classes: one name per class, in label order; empty where nothing is known of them. Names are data: whoever
            prints them escapes them.
        source: where the images came from, for people to read; ends with their file format in brackets, if any.
        notes: what was done to the images and found in the folder, a sentence each.
        left_out: the files that were not read, each with its reason.

    Raises:
        HoldfastError: an empty split, a wrong dtype or shape, values outside [0, 1], or a label without a class.

    >>> data = ImageData("mine", "test", torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
    ...                  torch.tensor([0, 1]), ("cat", "dog"), "made by hand")
    >>> len(data), data.shape, data.num_classes, data.labelled
    (2, (1, 4, 4), 2, True)
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        return f"ImageData({self.name}, {self.split}: {len(self)} images of {size}, {len(self.classes)} classes)"

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.images.dtype not in (torch.uint8, torch.float32) or self.images.ndim != 4:
            found = f"{self.images.dtype} {tuple(self.images.shape)}"
            raise HoldfastError(
                f"{where}: images are {found}; give a uint8 tensor (N, C, H, W) in 0..255, or float32 in [0, 1]."
            )
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
        if self.images.dtype == torch.float32 and isinstance(self.images, Tensor):
            least, most = (float(bound) for bound in self.images.aminmax())
            if not (least >= 0 and most <= 1):
                raise HoldfastError(f"{where}: images span {least:g}..{most:g}; give values in [0, 1].")
        low, high = (int(bound) for bound in self.labels.aminmax())
        if (low < 0 or high >= len(self.classes)) and (low, high) != (-1, -1):
            bad = low if low < 0 else high
            raise HoldfastError(
                f"{where}: label {bad} is outside 0..{len(self.classes) - 1} ({len(self.classes)} classes); "
                "remove unlabelled images or name every class."
            )

    @property
    def labelled(self) -> bool:
        """False where every label is -1."""
        return int(self.labels[0]) >= 0

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 digits of `checksum`: the same pixels and labels, wherever they came from."""
        return self.checksum()[:16]

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
        images: object = self.images
        picked = images.select(chosen) if isinstance(images, LazyImages) else self.images[chosen]
        return dataclasses.replace(self, images=cast(Tensor, picked), labels=self.labels[chosen])

    def first(self, n: int) -> ImageData:
        """The first ``n`` images, sharing memory with this split; decoded and held if they were not.

        Raises:
            HoldfastError: ``n`` is not between 1 and the size of the split.
        """
        if not 1 <= n <= len(self):
            raise HoldfastError(
                f"data set {self.name!r}, split {self.split!r}: cannot take the first {n} images; "
                f"choose 1 to {len(self)}."
            )
        images: object = self.images
        if isinstance(images, LazyImages):
            return self._first_sound(images, n)
        return dataclasses.replace(self, images=self.images[:n], labels=self.labels[:n])

    def _first_sound(self, images: LazyImages, n: int) -> ImageData:
        """Decode until ``n`` images are there; damaged ones on the way are left out and named."""
        end, short = n, True
        while short:
            read = images.read(torch.arange(end))
            short = len(read.kept) < n and end < len(self)
            end = min(len(self), end + n - len(read.kept))
        kept = torch.from_numpy(read.kept)[:n]
        return dataclasses.replace(
            self,
            images=read.images[: len(kept)],
            labels=self.labels[kept],
            notes=self.notes + read.notes,
            left_out=self.left_out + read.left_out,
        )

    def checksum(self) -> str:
        """SHA-256 over shape, images and labels, as 64 hexadecimal digits."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for start in range(0, len(self), 1024):
            digest.update(self.images[start : start + 1024].cpu().contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def labels_for(data: ImageData, model_classes: Sequence[str] | Mapping[int, str]) -> Tensor:
    """The labels of ``data`` in the numbering of a model that names its classes, int64 ``(N,)``.

    A class matches by its name, or else by its name without regard to case, hyphens and underscores, or by one of the
    synonyms that a model lists with commas (``"tench, Tinca tinca"``).

    Args:
        model_classes: names in the order of the logits, or ``id2label``.

    Raises:
        HoldfastError: images without labels, classes with images that match no class of the model, or two of them.

    >>> data = ImageData("mine", "test", torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
    ...                  torch.tensor([0, 1]), ("great_dane", "tench"), "made by hand")
    >>> labels_for(data, ["tench, Tinca tinca", "goldfish", "Great Dane"]).tolist()
    [2, 0]
    """
    if not data.labelled:
        raise HoldfastError(f"data set {data.name!r} has no labels to map; put its images in one folder per class.")
    pairs = model_classes.items() if isinstance(model_classes, Mapping) else enumerate(model_classes)
    exact: dict[str, set[int]] = defaultdict(set)
    loose: dict[str, set[int]] = defaultdict(set)
    for index, name in pairs:
        exact[name].add(int(index))
        for synonym in (name, *name.split(",")):
            loose[_loosely(synonym)].add(int(index))
    chosen: dict[int, int] = {}
    wrong = []
    for label in data.labels.unique().tolist():
        name = data.classes[label]
        matches = exact.get(name) or loose.get(_loosely(name)) or set()
        if len(matches) == 1:
            chosen[label] = matches.pop()
        else:
            wrong.append(f"{name!r} ({f'{len(matches)} classes of that name' if matches else 'none'})")
    if wrong:
        known = named([repr(name) for name in exact], 5)
        raise HoldfastError(
            f"classes of {data.name!r} that are not one class of the model: {named(wrong)}; the model has {known}: "
            "rename the folders as the model names its classes."
        )
    return torch.tensor([chosen[label] for label in data.labels.tolist()])


def _loosely(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
