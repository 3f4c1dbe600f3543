"""What an audit is of: a model and images, by name or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.data import default_split, load_dataset
from holdfast.data.given import GIVE, Given, as_images, given_images
from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError
from holdfast.models.find import find_model
from holdfast.models.libraries import FoundModel
from holdfast.report.words import counted


def model_of(model: str | nn.Module | FoundModel, own: dict[str, Any]) -> FoundModel:
    """The model by its name and ``own`` (weights, checkpoint, mean, std), or the module that was given."""
    if isinstance(model, str):
        return find_model(model, **own)
    if own != {"weights": None, "checkpoint": "last", "mean": None, "std": None}:
        raise HoldfastError(
            "weights, checkpoint, mean and std are for a model given by its name; load them into the module, or wrap "
            "it in holdfast.Normalized."
        )
    if not isinstance(model, FoundModel | nn.Module):
        raise HoldfastError(
            f"the model is a {type(model).__name__}; give an nn.Module (holdfast.Logits(function) for a function), or "
            "the name of one."
        )
    return model if isinstance(model, FoundModel) else FoundModel(model, type(model).__name__)


def numbers_of(values: Sequence[float] | None) -> tuple[float, ...] | None:
    """Any numbers as a tuple of floats."""
    return None if values is None else tuple(map(float, values))


def images_of(
    images: Any,
    found: FoundModel | None,
    image_size: int | tuple[int, int] | None,
    strict: bool,
    data_dir: str | None,
    most: int,
) -> ImageData:
    """The images by their name, made to fit the model if that is known, or those that were given (``most`` of them)."""
    if isinstance(images, ImageData):
        return images
    if not isinstance(images, str):
        return _held(images, most)
    split = default_split(images, data_dir)
    if found is None:
        return load_dataset(images, split, data_dir=data_dir, image_size=image_size, strict=strict)
    return load_dataset(
        images,
        split,
        data_dir=data_dir,
        image_size=found.image_size if image_size is None else image_size,
        interpolation=found.interpolation,
        crop=found.crop,
        channels=found.channels,
        strict=strict,
    )


def _held(images: Any, most: int) -> ImageData:
    """Images that were given in Python, with their labels if there are any."""
    if isinstance(images, Tensor | np.ndarray):
        values = as_images(images)
        found = Given(values, torch.full((len(values),), -1, dtype=torch.int64))
    else:
        held = given_images(images, most)
        if held is None:
            raise HoldfastError(f"the images are a {type(images).__name__}; give {GIVE}, or images alone.")
        found = held
    values = found.images if found.images.dtype == torch.uint8 else found.images.float()
    classes = found.classes or tuple(f"class {i}" for i in range(int(found.labels.max()) + 1))
    return ImageData("images", "all", values.cpu(), found.labels.cpu(), classes, counted(len(values), "image"))
