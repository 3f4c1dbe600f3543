"""What an attribution is: a map of the image's shape that says how much each feature drove a logit."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.gradient.chunks import sum_in_chunks
from holdfast.gradient.points import Path, block_rows, holds_graph, sum_with_graph, sum_without_graph
from holdfast.models.state import Model, evaluating, naming_misfits, outside_inference_mode, usable
from holdfast.parts import Part
from holdfast.validate import check_classes, check_count, check_labels, check_logits, check_maps, described

Target = Tensor | int | np.ndarray
"""The class whose logit is attributed: int64 (B,), or one class for all."""


@dataclass(frozen=True)
class Attribution(Part, ABC):
    """``attribution(model, x, target)`` -> a signed map of the shape of ``x``, one value per feature.

    One of your own is a frozen dataclass that defines `map`; a function becomes one by `External`.
    """

    kind: ClassVar[str] = "attribution"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.attribution"
    differentiable: ClassVar[bool] = True
    """Whether ``create_graph=True`` gives a map that can be differentiated to inputs and weights."""

    def __call__(
        self,
        model: Model,
        x: Float[Tensor, "B ..."],
        target: Target,
        *,
        create_graph: bool = False,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B ..."]:
        """The map of each image for its ``target`` class.

        Args:
            model: maps images to logits (B, classes); runs in evaluation mode and is left as it was.
            x: (B, ...), float, usually images in [0, 1].
            target: int64 (B,), or one class for all; NumPy's integers too.
            create_graph: make the map differentiable to ``x`` and the weights.
            generator: where a map takes random numbers, draw a new seed for them from here.

        Raises:
            HoldfastError: wrong shapes, of the map too, targets outside the model's classes, ``create_graph`` of a map
                that cannot be differentiated.
        """
        if create_graph and not self.differentiable:
            raise HoldfastError(
                f"{self.title} cannot be differentiated; leave create_graph out, or choose another attribution."
            )
        with outside_inference_mode():
            x, target = checked(model, x, target)
            return check_maps(self, self.drawn(generator).map(model, x, target, create_graph=create_graph), x)

    @abstractmethod
    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        """The same without checks, for loops that have made them.

        ``weights`` False says that the map will be differentiated to ``x`` alone.
        """

    @property
    def points(self) -> int:
        """Input gradients per image and map; a map costs ``2 * points`` forward passes."""
        return 1

    def drawn(self, generator: torch.Generator | None) -> Self:
        """This attribution with a seed from ``generator``; without one, or where nothing is random, itself."""
        return self

    def in_blocks(self, rows: int | None) -> Self:
        """This attribution with ``rows`` points evaluated at once, where it has that setting."""
        names = {field.name for field in fields(self)}
        return replace(self, **{"internal_batch_size": rows}) if "internal_batch_size" in names else self


@dataclass(frozen=True)
class PathAttribution(Attribution):
    """A weighted sum of input gradients at `points` points per image; a subclass says which in `path`."""

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_samples", "internal_batch_size"):
            if (value := getattr(self, name, None)) is not None:
                check_count(name, value)

    @abstractmethod
    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        """Where the gradients are taken; ``options`` are those of `Path`."""

    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        path = self.path(model, x, target, create_graph=create_graph, weights=weights)
        return path_attribution(path, x, getattr(self, "baseline", 0.0), getattr(self, "internal_batch_size", None))


def path_attribution(path: Path, inputs: Tensor, baselines: Tensor | float = 0.0, rows: int | None = None) -> Tensor:
    """The map of each input, unchecked; differentiable where ``path.create_graph`` says so.

    Args:
        path: what is summed.
        inputs: (B, ...).
        baselines: where the way starts: a number, or a tensor that broadcasts to ``inputs``.
        rows: points evaluated at once. None takes as many as run fastest, and holds the whole graph if it fits.
    """
    baseline = expanded_baseline(baselines, inputs)
    if not path.create_graph:
        with torch.no_grad():
            return _multiplied(path, inputs, baseline, sum_without_graph(path, inputs, baseline, _rows(rows, inputs)))
    with torch.enable_grad():
        if holds_graph(path, inputs) if rows is None else rows >= path.n_steps * len(inputs):
            total = sum_with_graph(path, inputs, baseline, block_rows(inputs))
        else:
            total = sum_in_chunks(path, inputs, baseline, _rows(rows, inputs))
        return _multiplied(path, inputs, baseline, total)


def _rows(rows: int | None, inputs: Tensor) -> int:
    return rows or block_rows(inputs)


def _multiplied(path: Path, inputs: Tensor, baseline: Tensor, total: Tensor) -> Tensor:
    inside = path.own is not None and path.own.starts is not None
    return (total if inside or not path.multiply else (inputs - baseline) * total).to(inputs.dtype)


def expanded_baseline(baselines: Tensor | float, inputs: Tensor) -> Tensor:
    """The baseline of each input."""
    try:
        baseline = torch.as_tensor(baselines, dtype=inputs.dtype, device=inputs.device)
    except (TypeError, ValueError, RuntimeError):
        raise HoldfastError(
            f"baselines are {type(baselines).__name__}; pass a number, or one tensor that broadcasts to the inputs."
        ) from None
    try:
        return baseline.expand_as(inputs)
    except RuntimeError:
        raise HoldfastError(
            f"baselines have shape {tuple(baseline.shape)}, which does not broadcast to the inputs' "
            f"{tuple(inputs.shape)}; pass a number or a tensor of the inputs' shape."
        ) from None


def checked(model: Model, x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Images and targets (int64, (B,)) as autograd can use them, or the error that says what is wrong with them."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2 or len(x) == 0:
        raise HoldfastError(f"inputs are {described(x)}; pass a non-empty float batch (B, ...).")
    if not isinstance(target, Tensor):
        values = np.asarray(target)
        if values.dtype.kind not in "iu":
            raise HoldfastError(f"the target is {target!r}; pass class indices, one per image or one for all.")
        target = torch.as_tensor(values.astype(np.int64), device=x.device)
    if target.ndim == 0 and not target.is_floating_point():
        target = target.to(torch.int64).expand(len(x))
    check_labels(target, len(x))
    x, target = usable(x, target)
    check_target(model, x, target)
    return x, target


def check_target(model: Model, x: Tensor, target: Tensor) -> int:
    """How many logits the model has, by one forward pass of one image; every target is one of its classes.

    Raises:
        HoldfastError: if not, or if images and weights are of two types.
    """
    if isinstance(model, nn.Module):
        _check_batch_norm(model)
    with naming_misfits(model, x), evaluating(model), torch.no_grad():
        logits = model(x[:1])
    check_logits(logits, 1)
    check_classes(target, logits.shape[1])
    return logits.shape[1]


def _check_batch_norm(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            warnings.warn(
                f"{name or type(model).__name__} normalises by the statistics of the batch "
                "(track_running_stats=False), so that an image's logits and maps depend on the images beside it; "
                "attribute one image at a time, or track statistics.",
                HoldfastWarning,
                stacklevel=5,
            )
            return
