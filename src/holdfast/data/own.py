"""Data sets that are functions of one's own: ``module:function`` or ``file.py:function``."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from holdfast.data.image_data import ImageData
from holdfast.data.images import array_images
from holdfast.data.splits import ALL
from holdfast.errors import HoldfastError, first_line
from holdfast.imports import imported


def takes_split(name: str) -> bool:
    """Whether the function takes an argument, and so divides its set itself."""
    parameters = inspect.signature(imported(name, "data set")).parameters.values()
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def call(name: str, split: str) -> tuple[ImageData, bool]:
    """What the function returns for ``split``, or for its one set, and whether it was asked for the split.

    Raises:
        HoldfastError: it fails, or returns no `ImageData`, ``(images, labels)`` or ``(images, labels, classes)``.
    """
    function, asked = imported(name, "data set"), takes_split(name)
    what = f"data set {name!r}"
    try:
        made = function(split) if asked else function()
    except HoldfastError:
        raise
    except Exception as error:
        raise HoldfastError(f"{what} failed with {type(error).__name__}: {first_line(error)}.") from error
    if isinstance(made, ImageData):
        return made, asked
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise HoldfastError(
            f"{what} returned {type(made).__name__}; give an ImageData, (images, labels) or (images, labels, classes)."
        )
    images, notes = array_images(made[0], what)
    labels, classes = _labels(made[1], tuple(map(str, made[2])) if len(made) == 3 else (), len(images), what)
    return ImageData(name, split if asked else ALL, images, torch.from_numpy(labels), classes, name, notes), asked


def _labels(given: Any, classes: tuple[str, ...], count: int, what: str) -> tuple[Any, tuple[str, ...]]:
    """Labels as int64 ``(N,)`` and the names of the classes."""
    if given is None:
        return np.full(count, -1, np.int64), classes
    labels = np.asarray(given.cpu() if isinstance(given, torch.Tensor) else given)
    if labels.dtype.kind == "U":
        classes = classes or tuple(sorted(set(labels.tolist())))
        if unknown := sorted(set(labels.tolist()) - set(classes)):
            raise HoldfastError(f"{what}: label {unknown[0]!r} is none of its classes; add it to them.")
        return np.array([classes.index(label) for label in labels.tolist()], np.int64), classes
    if labels.dtype.kind not in "iub" or labels.ndim != 1:
        found = f"{labels.dtype} {labels.shape}"
        raise HoldfastError(f"{what}: labels are {found}; give one integer or name per image, or None.")
    return labels.astype(np.int64), classes or tuple(str(i) for i in range(int(labels.max(initial=-1)) + 1))
