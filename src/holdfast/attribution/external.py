"""Anybody's explanation as an attribution."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, NotFinite
from holdfast.imports import called, imported, nameless
from holdfast.models.state import Model, evaluating

MODEL_NAMES = {"model", "net", "network", "module", "classifier", "f"}


@dataclass(frozen=True)
class External(Attribution):
    """A map that somebody else's function makes; it is taken as it is and cannot be differentiated.

    Args:
        fn: one of

            * a function ``fn(x, target)``, or ``fn(model, x, target)`` if it has three parameters without a default, or
              three of which the first is called ``model`` (``net``, ``network``, ``module``, ``classifier``, ``f``);
            * an object with ``attribute(x, target=...)``, as Captum's, bound to its own model;
            * a class of such objects, as ``captum.attr.DeepLift``: made anew as ``fn(model)`` for the model at hand;
            * the name of one of these as ``module:name`` or ``file.py:name``, by which stored records know it again.

    It gets the images, on their device, and the targets as int64 (B,); gradients are enabled, the model is in
    evaluation mode. It returns a tensor or NumPy array of the images' shape, of one that broadcasts to it, (B, H, W),
    or one channel of fewer pixels (B, 1, h, w), as Grad-CAM has it, which is enlarged bilinearly.

    Raises:
        HoldfastError: a map of another shape, or with NaN (which images).

    Cost: that of the function; tables count it as one gradient.

    Example:
        >>> def brightness(x, target):
        ...     return x.mean(1)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> External(brightness)(net, torch.rand(2, 3, 2, 2), 1).shape
        torch.Size([2, 3, 2, 2])
    """

    fn: Callable[..., Any] | str

    differentiable: ClassVar[bool] = False
    by_name: ClassVar[tuple[str, ...]] = ("fn",)

    def __new__(cls, *settings: Any, **named: Any) -> Self:
        """An explanation may be a module."""
        return object.__new__(cls)

    @property
    def title(self) -> str:
        if isinstance(self.fn, str):
            return self.fn.rpartition(":")[2]
        return called(self.fn)

    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        if create_graph:
            raise HoldfastError(f"{self.title} is an external explanation, which cannot be differentiated.")
        with evaluating(model), torch.enable_grad():
            found = self._called(model, x.detach().clone(), target.clone())
        return fitted(found, x, self.title)

    def _called(self, model: Model, x: Tensor, target: Tensor) -> Any:
        fn: Any = self._imported(self.fn) if isinstance(self.fn, str) else self.fn
        if not hasattr(fn, "attribute"):
            given = (model, x, target) if takes_model(fn) else (x, target)
            self._check_call(fn, "a function fn(x, target) or fn(model, x, target)", *given)
            return fn(*given)
        if isinstance(fn, type):
            self._check_call(fn, "a class that is made of a model alone", model)
            fn = fn(model)
        self._check_call(fn.attribute, "attribute(x, target=target)", x, target=target)
        return fn.attribute(x.requires_grad_(), target=target)

    def _imported(self, spec: str) -> Any:
        if nameless(spec):
            raise HoldfastError(
                f"the explanation {spec} was an object of the Python process that made these records, and nobody finds "
                "it again; give External that object, or its name as module:name or file.py:name."
            )
        return imported(spec, self.kind)

    def _check_call(self, function: Callable[..., Any], wanted: str, *given: Any, **named: Any) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return
        try:
            signature.bind(*given, **named)
        except TypeError as error:
            raise HoldfastError(
                f"{self.title} takes other arguments ({error}); it is called as {wanted}: wrap it, as "
                "lambda model, x, target: ..."
            ) from None


def takes_model(fn: Callable[..., Any]) -> bool:
    """Whether a function is ``fn(model, x, target)`` rather than ``fn(x, target)``.

    >>> takes_model(lambda model, x, target: x), takes_model(lambda x, target, steps=5: x)
    (True, False)
    """
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    return len(needed) >= 3 or (len(positional) >= 3 and positional[0].name in MODEL_NAMES)


def fitted(found: Any, x: Tensor, name: str) -> Tensor:
    """A returned map as a detached tensor of the shape of ``x``.

    Raises:
        HoldfastError: as `External`.
    """
    if isinstance(found, tuple | list) and len(found) == 1:
        found = found[0]
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if not isinstance(found, Tensor):
        raise HoldfastError(f"{name} returned {type(found).__name__}; a map is a tensor of shape {tuple(x.shape)}.")
    maps = found.detach().to(x.device, x.dtype)
    if maps.ndim == x.ndim - 1 == 3:
        maps = maps[:, None]
    if maps.ndim == x.ndim == 4 and maps.shape[1] == 1 and len(maps) == len(x) and _smaller(maps, x):
        maps = F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)
    try:
        if maps.shape[:1] != x.shape[:1]:
            raise RuntimeError
        maps = maps.expand_as(x)
    except RuntimeError:
        raise HoldfastError(
            f"{name} returned a map of shape {tuple(found.shape)} for images of shape {tuple(x.shape)}; return that "
            "shape, or one channel per image: (B, 1, H, W)."
        ) from None
    broken = maps.isnan().flatten(1).any(1).nonzero()[:, 0].tolist()
    if broken:
        shown = ", ".join(map(str, broken[:10])) + (", ..." if len(broken) > 10 else "")
        raise NotFinite(
            f"{name} returned NaN for {len(broken)} of {len(x)} images (numbers {shown}), which has no rank; leave "
            "those images out, or mend the explanation."
        )
    return maps.contiguous()


def _smaller(maps: Tensor, x: Tensor) -> bool:
    return maps.shape[2] <= x.shape[2] and maps.shape[3] <= x.shape[3] and 1 not in maps.shape[2:]
