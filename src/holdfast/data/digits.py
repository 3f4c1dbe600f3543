"""The UCI optical digits that ship inside the package: 1,797 grey images of 8x8 pixels."""

from __future__ import annotations

from importlib.resources import files

import safetensors.torch
import torch

from holdfast.data.catalogue import KNOWN, SPLITS
from holdfast.data.image_data import ImageData
from holdfast.data.splits import ALL


def load_digits(split: str) -> ImageData:
    """One split of the shipped digits: 1,197 train, 200 val, 400 test, stratified by class; or ``all``.

    >>> data = load_digits("test")
    >>> len(data), data.shape, data.num_classes
    (400, (1, 8, 8), 10)
    """
    stored = safetensors.torch.load(files("holdfast.data").joinpath("assets/digits.safetensors").read_bytes())
    chosen = torch.cat([stored[s] for s in SPLITS]) if split == ALL else stored[split]
    known = KNOWN["digits"]
    return ImageData(
        name=known.name,
        split=split,
        images=stored["images"][chosen],
        labels=stored["labels"][chosen],
        classes=known.classes,
        source="shipped with holdfast: UCI Optical Recognition of Handwritten Digits, CC BY 4.0",
    )
