"""What the inner attacks of the attribution defences share: they ascend a quantity made of path integrals."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.attacks.base import GradientAscent
from holdfast.config import Method
from holdfast.gradient.grouped import by_whole_paths
from holdfast.gradient.integral import path_attribution
from holdfast.gradient.points import Path
from holdfast.models.gates import SoftplusTwin
from holdfast.models.state import Model
from holdfast.validate import check_count


class AttributionAscent(GradientAscent):
    """Projected steepest ascent of `measure` in the Linf ball.

    The gradient goes through the softplus twin, or through the network itself with ``surrogate_beta=None``;
    restarts are compared on the network, by the measure alone.
    """

    def __init__(
        self,
        model: Model,
        *,
        eps: float,
        alpha: float,
        steps: int,
        n_steps: int = 5,
        method: Method = "riemann_right",
        surrogate_beta: float | None = 50.0,
        internal_batch_size: int | None = None,
        random_start: bool = True,
        restarts: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            model,
            eps=eps,
            alpha=alpha,
            steps=steps,
            random_start=random_start,
            restarts=restarts,
            generator=generator,
        )
        check_count("n_steps", n_steps)
        if internal_batch_size is not None:
            check_count("internal_batch_size", internal_batch_size)
        self.n_steps = n_steps
        self.method: Method = method
        self.surrogate_beta = surrogate_beta
        self.internal_batch_size = internal_batch_size
        self.surrogate = model if surrogate_beta is None else SoftplusTwin(model, surrogate_beta)

    @abstractmethod
    def measure(self, network: Model, adv: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """What is ascended, attributions taken from ``network``: the model or its twin."""

    def value(self, adv: Tensor, *reference: Tensor) -> Tensor:
        return self.measure(self.model, adv, *reference)

    def followed(self, adv: Tensor, *reference: Tensor) -> Tensor:
        return self.measure(self.surrogate, adv, *reference)

    def direction(self, adv: Tensor, *reference: Tensor) -> Tensor:
        return by_whole_paths(self._gradient, self.n_steps, self.internal_batch_size, adv, *reference)

    def attribution(self, network: Model, images: Tensor, labels: Tensor) -> Tensor:
        """Integrated gradients of the labels' logits from black, differentiable where the images are."""
        path = Path(network, labels, self.method, self.n_steps, create_graph=images.requires_grad, weights=False)
        return path_attribution(path, images, rows=self.internal_batch_size)

    def _score(self, adv: Tensor, reference: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        with torch.no_grad():
            return self.value(adv, *reference).double()
