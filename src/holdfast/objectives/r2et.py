"""R2ET: a wide gap between the most salient features and the next, and a flat loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.metrics.rank import topk_indices
from holdfast.models.state import Model, evaluating, outside_inference_mode, usable
from holdfast.objectives.base import LossOutput, Objective, combine
from holdfast.objectives.ig_norm import LossPath
from holdfast.objectives.ssr import largest_hessian_eigenvalue
from holdfast.validate import check_count, check_positive


def thickness(saliency: Float[Tensor, "B ..."], k: int) -> Float[Tensor, " B"]:
    """Mean of the ``k`` largest features less the mean of the next ``k`` (of all others, where fewer).

    >>> thickness(torch.tensor([[1.0, 7.0, 0.0, 5.0, 2.0]]), k=2)
    tensor([4.5000])
    """
    flat = saliency.flatten(1)
    if k >= flat.shape[1]:
        raise HoldfastError(f"k is {k}; it must be less than the {flat.shape[1]} features, or none is left to rank.")
    ranked = flat.gather(1, topk_indices(flat, min(2 * k, flat.shape[1])))
    return ranked[:, :k].mean(1) - ranked[:, k:].mean(1)


@dataclass(frozen=True)
class R2ET(Objective):
    r"""R2ET, training for thick rankings, of Chen et al., 2024 (https://arxiv.org/abs/2212.14106).

    .. math:: CE(f(x), y) - \lambda_1 \, thickness_k(|\nabla_x CE|) + \lambda_2 \|H\|_2

    averaged over the batch: the `thickness` of the ranking of the loss's absolute input gradient, and the
    spectral norm of the loss's input Hessian. Both are taken with frozen normalisation and no dropout; the
    cross-entropy runs in the mode that the model is in. There are no adversarial images. A zero-initialised
    last layer gives finite gradients.

    As in the published CIFAR-10 code: the gradient of the cross-entropy, ranked anew in each step, and the
    pairs compared, each of the first k with the k-th and the k-th with each of the next k, whose gaps add up
    to the sum of the first k less the sum of the next k. Ours:

    - every feature is ranked (there: sums over the colour channels), and the sum over pairs is a mean;
    - the norm of H is the `largest_hessian_eigenvalue`, exact for piecewise-linear networks. The code
      estimates H along the gradient's signs by one finite difference, which is no estimate on such networks;
    - the weights are constants. The code rescales each term to ``weight * (CE + 1)`` and fine-tunes a trained
      softplus network for ten epochs; from scratch that rescaling let the two terms outgrow the
      cross-entropy on the digits. The defaults are ours, tried on the digits alone.

    Args:
        k: number of features on top of the ranking, fewer than all.
        lam1: weight of the thickness.
        lam2: weight of the curvature.

    Raises:
        HoldfastError: on a negative weight, or k not below the number of features.

    Cost for a piecewise-linear network: ``classes + 16`` forward passes per image (26 for ten classes).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> out = R2ET(k=2)(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]))
        >>> list(out.parts), out.x_adv
        (['ce', 'thickness', 'curvature'], None)
    """

    formula: ClassVar[str] = r"CE(f(x), y) - \lambda_1\, thickness_k(|\nabla_x CE|) + \lambda_2 \|H\|_2"

    k: int = 100
    lam1: float = 1.0
    lam2: float = 0.1

    def __post_init__(self) -> None:
        check_count("k", self.k)
        check_positive("lam1", self.lam1, zero=True)
        check_positive("lam2", self.lam2, zero=True)

    @property
    def cost(self) -> float:
        return 26.0

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        ce = F.cross_entropy(model(x), y)
        with outside_inference_mode(), evaluating(model), torch.enable_grad():
            x, y = usable(x, y)
            loss_path = LossPath(model, y, "riemann_right", n_steps=1, create_graph=True)
            saliency = loss_path.gradient_with_graph(x.detach().requires_grad_(), y).abs()
        gap = thickness(saliency, self.k).mean()
        curvature = largest_hessian_eigenvalue(model, x).mean()
        return combine(None, ce=(1.0, ce), thickness=(-self.lam1, gap), curvature=(self.lam2, curvature))
