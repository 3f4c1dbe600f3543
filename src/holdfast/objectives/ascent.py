"""What the inner attacks of the attribution defences share: they ascend a quantity made of path integrals."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.attacks.base import GradientAscent, random_start
from holdfast.gradient.grouped import by_whole_paths
from holdfast.models.state import Model, without_checkpoints
from holdfast.models.twin import SoftplusTwin
from holdfast.validate import check_positive


@dataclass(frozen=True)
class AttributionAscent(GradientAscent):
    """Projected steepest ascent of `measure` in the Linf ball.

    The gradient goes through the softplus twin, or through the network itself with ``surrogate_beta=None``;
    restarts are compared on the network, by the measure alone.
    """

    _: KW_ONLY
    surrogate_beta: float | None = 50.0
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.surrogate_beta is not None:
            check_positive("surrogate_beta", self.surrogate_beta)

    @abstractmethod
    def measure(self, model: Model, network: Model, adv: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """What is ascended, per image; attributions are taken from ``network``: the model or its twin."""

    @property
    @abstractmethod
    def path_points(self) -> int:
        """Gradients per image that `measure` integrates."""

    @property
    def cost(self) -> float:
        return self.steps * self.restarts * 4.0 * self.path_points

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return random_start(images, self.eps, self.norm, generator) if self.random_start else images.clone()

    def value(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        return self.measure(model, model, adv, *reference)

    def gradient(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        network = model if self.surrogate_beta is None else SoftplusTwin(model, self.surrogate_beta)

        def of_some(adv: Tensor, *reference: Tensor) -> Tensor:
            with torch.enable_grad(), without_checkpoints():
                adv = adv.detach().requires_grad_()
                return torch.autograd.grad(self.measure(model, network, adv, *reference).sum(), adv)[0]

        return by_whole_paths(of_some, self.path_points, None, adv, *reference)

    def score(self, model: Model, adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
        with torch.no_grad():
            return self.value(model, adv, *reference).double()
