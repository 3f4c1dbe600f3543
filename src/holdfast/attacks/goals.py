"""What an attack on attributions drives: a goal makes a reference of the clean map, and a value of a perturbed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError, unknown_name
from holdfast.metrics.pairs import pearson_correlation
from holdfast.metrics.rank import average_ranks, topk_indices
from holdfast.parts import Part
from holdfast.validate import check_count, check_positive

LEAST_WIDTH = 0.02
"""Of a bin, in log shares, so that equal features have no infinite slope."""


@dataclass(frozen=True)
class Goal(Part, ABC):
    """``goal(share, *reference)`` -> the dissimilarity to raise, one number per image.

    ``share`` is the magnitude of a map divided by its sum, of the images' shape; for a goal that is ``signed``, the
    map itself.
    """

    kind: ClassVar[str] = "goal"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.attacks"
    signed: ClassVar[bool] = False

    @abstractmethod
    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        """What the goal compares with, one entry per image, from the clean map's magnitudes (or itself, ``signed``)."""

    @abstractmethod
    def __call__(self, share: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """The dissimilarity of each image's map."""

    def of(self, maps: Tensor, *reference: Tensor) -> Tensor:
        """The dissimilarity of signed maps."""
        return self(maps if self.signed else shares(maps), *reference)

    def reference_of(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        """`reference` from the signed clean maps."""
        return self.reference(clean if self.signed else clean.abs(), k)


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
        return -(ranks * log_shares(share, self.floor)).sum(1)


@dataclass(frozen=True)
class SpearmanGoal(Goal):
    """Lowers the correlation of clean and perturbed ranks, both read off the clean map's own distribution (ours).

    A feature's place is where its log share falls among the quantiles of the clean ones, linear between two of them,
    plus ``slope`` times the log share itself. A map with the clean order is a maximum, so that near it every change of
    the order counts, whichever its direction; `KendallGoal` pushes along one there, which hardly changes the order.

    Args:
        bins: between the quantiles.
        slope: keeps a gradient where the clean map has few features.
        floor: as in `KendallGoal`.
    """

    bins: int = 64
    slope: float = 0.05
    floor: float = 0.05

    def __post_init__(self) -> None:
        check_count("bins", self.bins)
        check_positive("slope", self.slope, zero=True)
        check_positive("floor", self.floor)

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        ordered = log_shares(shares(clean), self.floor).sort(1).values
        at = torch.linspace(0, ordered.shape[1] - 1, self.bins + 1, device=clean.device).round().long()
        return (*KendallGoal().reference(clean, k), ordered[:, at].contiguous())

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        ranks, edges = reference
        size = log_shares(share, self.floor)
        left, right = (torch.searchsorted(edges, size.detach().contiguous(), right=r) for r in (False, True))
        upper = left.clamp(1, self.bins)
        low, high = edges.gather(1, upper - 1), edges.gather(1, upper)
        within = (size - low) / (high - low + LEAST_WIDTH)
        tied = (left + right - 1) / 2 - within.detach()
        place = torch.where(left == right, (upper - 1).to(tied), tied) + within
        return -pearson_correlation(place / self.bins + self.slope * size, ranks)


@dataclass(frozen=True)
class SoftTopKGoal(Goal):
    """Pushes the clean top-k features out of the top k and others into it, those nearest to its edge first (ours).

    A feature belongs by a sigmoid of its log share above that of the edge, which lies between the k-th and the next
    and is not differentiated.

    Args:
        width: of the edge, in log shares.
        floor: as in `KendallGoal`.
    """

    width: float = 0.3
    floor: float = 0.05

    def __post_init__(self) -> None:
        check_positive("width", self.width)
        check_positive("floor", self.floor)

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        top = topk_indices(clean, k)
        return (torch.zeros_like(clean.flatten(1)).scatter(1, top, 1.0),)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        top = reference[0]
        features = top.shape[1]
        size = log_shares(share, self.floor)
        k = int(top[0].sum())
        edge = size.detach().topk(min(k + 1, features), dim=1).values[:, k - 1 :].mean(1, keepdim=True)
        return ((1 - 2 * top) * torch.sigmoid((size - edge) / self.width)).sum(1)


@dataclass(frozen=True)
class CosineGoal(Goal):
    """Turns the signed map away from the clean one: minus their cosine."""

    signed: ClassVar[bool] = True

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        return (clean.flatten(1),)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return -F.cosine_similarity(share.flatten(1), reference[0], dim=1, eps=torch.finfo(share.dtype).tiny)


@dataclass(frozen=True)
class PearsonGoal(Goal):
    """Turns the signed map away from the clean one: minus their correlation (Ivankay et al., 2020)."""

    signed: ClassVar[bool] = True

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        return (clean,)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return -pearson_correlation(share, reference[0])


@dataclass(frozen=True)
class TargetGoal(Goal):
    """Draws another map: minus the squared distance of shares (Ghorbani et al., 2019; Dombrowski et al., 2019).

    Args:
        towards: "inverted", the largest magnitude minus each, or "next", the clean map of the next image of the batch
            (of the first for the last one), so that the result depends on the batch.
    """

    towards: Literal["inverted", "next"] = "inverted"

    def __post_init__(self) -> None:
        if self.towards not in ("inverted", "next"):
            raise unknown_name("towards", str(self.towards), ("inverted", "next"))

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        if self.towards == "next":
            return (shares(clean.roll(-1, 0)).flatten(1),)
        flat = clean.flatten(1)
        return (shares(flat.amax(1, keepdim=True) - flat),)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return -(share.flatten(1) - reference[0]).square().sum(1)


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


def log_shares(share: Tensor, floor: float) -> Tensor:
    """Logarithms (B, features) of shares over the mean share, ``floor`` added so that a share of 0 has one."""
    flat = share.flatten(1)
    return torch.log(flat * flat.shape[1] + floor)
