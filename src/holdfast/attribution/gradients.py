"""The input gradient itself, and times the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from holdfast.attribution.base import PathAttribution
from holdfast.gradient.points import Path
from holdfast.models.state import Model


@dataclass(frozen=True)
class Saliency(PathAttribution):
    """The gradient of the target's logit to the image, signed (Simonyan et al., 2014, https://arxiv.org/abs/1312.6034).

    Simonyan et al. show its absolute value; every metric and attack here takes that of any map itself.

    Cost: 2 forward passes per image; 4 with the gradient of a piecewise-linear network.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> bool((Saliency()(net, torch.rand(3, 1, 2, 2), 1).flatten(1) == net[1].weight[1]).all())
        True
    """

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        return Path(model, target, "riemann_right", 1, multiply=False, **options)


@dataclass(frozen=True)
class InputXGradient(PathAttribution):
    """The image times the gradient of the target's logit (Shrikumar et al., 2016, https://arxiv.org/abs/1605.01713).

    Cost: 2 forward passes per image; 4 with the gradient of a piecewise-linear network.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> torch.allclose(InputXGradient()(net, x, 1).flatten(1).sum(1), net(x)[:, 1])
        True
    """

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        return Path(model, target, "riemann_right", 1, **options)
