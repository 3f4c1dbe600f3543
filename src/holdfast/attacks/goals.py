"""What an attack on attributions drives: a goal makes a reference of the clean map, and a value of a perturbed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.metrics.rank import average_ranks, topk_indices
from holdfast.parts import Part
from holdfast.validate import check_positive


@dataclass(frozen=True)
class Goal(Part, ABC):
    """``goal(share, *reference)`` -> the dissimilarity to raise, one number per image.

    ``share`` is the magnitude of a map divided by its sum, of the images' shape.
    """

    kind: ClassVar[str] = "goal"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.attacks"

    @abstractmethod
    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        """What the goal compares with, one entry per image, from the magnitudes of the clean map."""

    @abstractmethod
    def __call__(self, share: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """The dissimilarity of each image's map."""


@dataclass(frozen=True)
class TopKGoal(Goal):
    """Shrinks the share of the clean top-k features (Ghorbani et al., 2019; the paper's objective)."""

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        return (topk_indices(clean, k),)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return -share.flatten(1).gather(1, reference[0]).sum(1)


@dataclass(frozen=True)
class KendallGoal(Goal):
    """Reverses the clean ranking as a whole: minus the covariance of clean ranks and log shares (ours).

    Shares more than ``floor`` below the mean share count as equal, so that faint features do not dominate.
    """

    floor: float = 0.05

    def __post_init__(self) -> None:
        check_positive("floor", self.floor)

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        ranks = average_ranks(clean.flatten(1)).to(clean)
        return ((ranks - ranks.mean(1, keepdim=True)) / ranks.shape[1],)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        ranks = reference[0]
        return -(ranks * torch.log(share.flatten(1) * ranks.shape[1] + self.floor)).sum(1)


@dataclass(frozen=True)
class MassCenterGoal(Goal):
    """Moves the centre of mass of the map away from the clean one (Ghorbani et al., 2019); images (B, C, H, W) only."""

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        if clean.ndim != 4:
            raise HoldfastError(f"images have shape {tuple(clean.shape)}; the goal mass_center needs (B, C, H, W).")
        return (mass_center(clean).round(),)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return (mass_center(share) - reference[0]).square().sum(1)


def mass_center(maps: Tensor) -> Tensor:
    """Row and column (B, 2) of the centre of mass of non-negative maps (B, C, H, W), in pixels."""
    mass = maps.sum(1)
    mass = mass / mass.sum((1, 2), keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
    rows = torch.arange(mass.shape[1], device=mass.device, dtype=mass.dtype)
    columns = torch.arange(mass.shape[2], device=mass.device, dtype=mass.dtype)
    return torch.stack([(mass.sum(2) * rows).sum(1), (mass.sum(1) * columns).sum(1)], dim=1)


def shares(maps: Tensor) -> Tensor:
    """Magnitudes divided by their sum over each image; a map of zeros stays one."""
    magnitude = maps.abs()
    total = magnitude.flatten(1).sum(1).clamp(min=torch.finfo(maps.dtype).tiny)
    return magnitude / total.view(-1, *[1] * (maps.ndim - 1))
