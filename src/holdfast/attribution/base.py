"""What an attribution is: a map of the image's shape that says how much each feature drove a logit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.models.state import Model
from holdfast.parts import Part


@dataclass(frozen=True)
class Attribution(Part, ABC):
    """``attribution(model, x, target)`` -> a signed map of the shape of ``x``, one value a feature."""

    kind: ClassVar[str] = "attribution"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.attribution"
    differentiable: ClassVar[bool] = True
    """Whether ``create_graph=True`` gives a map that can be differentiated to inputs and weights."""

    @abstractmethod
    def __call__(
        self,
        model: Model,
        x: Tensor,
        target: Tensor,
        *,
        create_graph: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The map of each image for its ``target`` class (B,), with a graph where ``create_graph`` asks for one."""

    @abstractmethod
    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        """The same without checks, for loops that have made them; ``weights`` False if only ``x`` is differentiated."""

    @property
    def points(self) -> int:
        """Input gradients per image and map; a map costs ``2 * points`` forward passes."""
        return 1
