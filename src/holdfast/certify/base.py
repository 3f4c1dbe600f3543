"""What a certificate is: a similarity of explanations that no perturbation inside a ball can undercut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.models.state import Model
from holdfast.parts import Part


@dataclass(frozen=True)
class Certified:
    """What is guaranteed; one row per image, one column per L2 radius."""

    maps: Tensor
    """The certified explanation, of the images' shape."""
    topk: Tensor
    """Least share (B, radii) of the k largest features that stay among the k largest."""
    cosine: Tensor
    """Least cosine (B, radii) of the map before and after."""


@dataclass(frozen=True)
class Certificate(Part, ABC):
    """``certificate(model, x, y, k=..., radii=...)`` -> `Certified`."""

    kind: ClassVar[str] = "certificate"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.certify"

    @abstractmethod
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        *,
        k: int,
        radii: Sequence[float],
        generator: torch.Generator | None = None,
    ) -> Certified:
        """The guarantees at each L2 radius; an Linf ball of radius r lies in the L2 ball of radius ``r * sqrt(d)``."""
