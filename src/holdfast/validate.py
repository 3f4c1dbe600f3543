"""Checks on what a user passes in. Each error names the value, what is allowed and the remedy."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Protocol

import torch
from torch import Tensor

from holdfast.errors import HoldfastError, HoldfastWarning, NotFinite


def pick_device(device: str | torch.device) -> str:
    """ "auto" is cuda where there is one, else cpu; anything else must exist.

    >>> pick_device("gpu")
    Traceback (most recent call last):
        ...
    holdfast.errors.HoldfastError: device 'gpu' is not available here; choose cpu or auto.
    """
    name = str(device)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # "meta" is a device, but holds no numbers
    except (RuntimeError, AssertionError):
        raise HoldfastError(f"device {name!r} is not available here; choose cpu or auto.") from None
    return name


class Titled(Protocol):
    """Whatever an error can name, when there is one."""

    @property
    def title(self) -> str: ...


def check_positive(name: str, value: float, *, zero: bool = False) -> None:
    """Raise unless ``value`` is a finite number above 0 (or at least 0 with ``zero=True``).

    >>> check_positive("eps", -0.1, zero=True)
    Traceback (most recent call last):
        ...
    holdfast.errors.HoldfastError: eps is -0.1; it must be a finite number of at least 0.
    """
    allowed = "at least 0" if zero else "more than 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HoldfastError(f"{name} is {value!r}; it must be one number of {allowed}, such as 8 / 255.")
    if not (0 <= value < float("inf")) or (value == 0 and not zero):
        raise HoldfastError(f"{name} is {value}; it must be a finite number of {allowed}.")


def question_radius(eps: float, norm: str) -> None:
    """Warn of an ``eps`` that no two images in [0, 1] are apart."""
    if norm == "Linf" and eps > 1:
        warnings.warn(
            f"eps is {eps:g} in pixels of [0, 1], so that every image is allowed; give {eps:g} / 255 if pixels of "
            "0..255 were meant.",
            HoldfastWarning,
            stacklevel=5,
        )


ONE_OUTPUT = "wrap it in holdfast.Logits, which reads one logit an image as that of the second of two."
"""What to do with the network of two classes that has one output."""


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise HoldfastError(f"{name} is {value!r}; it must be an integer of at least {least}.")


def check_images(images: Tensor) -> None:
    """Raise unless ``images`` is a non-empty floating-point batch with every pixel in [0, 1]."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise HoldfastError(f"images are {kind}; pass a float tensor in [0, 1] (uint8: divide by 255).")
    if images.ndim < 2 or images.shape[0] == 0:
        raise HoldfastError(f"images have shape {tuple(images.shape)}; pass a non-empty batch (B, C, H, W).")
    low, high = (v.item() for v in torch.aminmax(images.detach()))
    if not (low >= 0 and high <= 1):
        if low != low or high != high:
            raise NotFinite("images contain NaN; clean them before calling.")
        raise HoldfastError(
            f"images span [{low:.4g}, {high:.4g}]; pixels must lie in [0, 1]: "
            "scale them, and put any mean/std normalisation inside the model (holdfast.Normalized)."
        )


def check_labels(labels: Tensor, batch: int) -> None:
    """Raise unless ``labels`` is an int64 tensor of shape ``(batch,)``."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise HoldfastError(f"labels are {kind}; pass an int64 tensor of class indices (labels.long()).")
    if labels.shape != (batch,):
        raise HoldfastError(f"labels have shape {tuple(labels.shape)}; one class index an image is {(batch,)}.")


def check_classes(labels: Tensor, n_classes: int) -> None:
    """Raise unless every label is a class of a model with ``n_classes`` logits."""
    low, high = (int(v) for v in torch.aminmax(labels))
    if low < 0 or high >= n_classes:
        remedy = ONE_OUTPUT if n_classes == 1 else "check the labels or the model's output size."
        raise HoldfastError(
            f"labels span [{low}, {high}], but the model has {n_classes} logits: "
            f"labels must lie in [0, {n_classes - 1}]; {remedy}"
        )


def check_logits(logits: Tensor, batch: int) -> None:
    """Raise unless a model's output is ``(batch, classes)``."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != batch:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise HoldfastError(
            f"the model returned {shape}; it must return logits of shape ({batch}, classes): wrap it in "
            "holdfast.Logits, which finds them in a dict, tuple or object."
        )


def check_maps(attribution: Titled, maps: Tensor, images: Tensor) -> Tensor:
    """The ``maps`` that an attribution made; raise unless they are floats of the images' shape."""
    if not isinstance(maps, Tensor) or not maps.is_floating_point() or maps.shape != images.shape:
        raise HoldfastError(
            f"{attribution.title} returned {described(maps)} for images of shape {tuple(images.shape)}; a map has one "
            "number a feature: return a float tensor of the images' shape."
        )
    return maps


def check_values(name: str, values: Tensor, batch: int) -> None:
    """Raise unless ``values``, which the metric ``name`` returned, are a number an image."""
    if not isinstance(values, Tensor) or values.shape != (batch,):
        raise HoldfastError(
            f"{name} returned {described(values)} for {batch} pairs of maps; return a tensor of one number an image, "
            f"of shape ({batch},)."
        )


def described(value: object) -> str:
    """A tensor by its type and shape, anything else by its class."""
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
