"""SSR: a small largest eigenvalue of the loss's input Hessian, so that attributions turn slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.gradient.points import explained
from holdfast.gradient.second_order import SecondOrder
from holdfast.models.state import Model, evaluating, outside_inference_mode, usable, without_checkpoints
from holdfast.objectives.base import LossOutput, Objective, combine
from holdfast.validate import check_logits, check_positive


def largest_hessian_eigenvalue(model: Model, x: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    r"""The largest eigenvalue of ``H = W (diag(p) - p p^T) W^T`` of each image, differentiable.

    ``W`` (features, classes) holds the input gradients of the logits and ``p`` the predicted probabilities,
    so that ``H`` is the Hessian of the cross-entropy to the image, whatever the label. For piecewise-linear
    networks (ReLU, max pooling) it is the whole Hessian; for smooth activations its Gauss-Newton part.

    ``H`` is the covariance of the classes' gradients under ``p``. It is never formed: its spectrum is that of
    a classes x classes Gram matrix, and with its unit eigenvector ``q`` the eigenvalue is the variance under
    ``p`` of the logits' slopes ``W^T q``. Only this Rayleigh quotient is differentiated, ``q`` held fixed:
    that is the exact gradient where the largest eigenvalue is simple (a subgradient elsewhere), and no
    difference of eigenvalues is divided by.

    The model runs in evaluation mode (frozen normalisation, no dropout) and is left as it was.

    Args:
        model: maps images to logits (B, classes).
        x: images (B, ...), floating point.

    Returns:
        (B,), each at least 0; differentiable to the parameters, and to ``x`` where it requires a gradient.
        0 with a zero gradient where every logit is constant (a zero-initialised last layer).

    Raises:
        HoldfastError: if the model does not return logits (B, classes).

    Cost: ``classes + 3`` forward passes an image, and 4 more to differentiate the result (17 for ten
    classes). Memory: ``classes`` input gradients an image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> _ = torch.nn.init.constant_(net[1].weight[0], 1.0), torch.nn.init.zeros_(net[1].weight[1])
        >>> largest_hessian_eigenvalue(net, torch.zeros(1, 1, 2, 2)).item()  # 4 features, p = (1/2, 1/2)
        1.0
    """
    with outside_inference_mode(), evaluating(model), torch.enable_grad(), explained(), without_checkpoints():
        (x,) = usable(x)
        z = x if x.requires_grad else x.detach().requires_grad_()
        logits = model(z)
        check_logits(logits, len(x))
        p = F.softmax(logits, dim=1)
        with torch.autocast(x.device.type, enabled=False):
            slopes, direction = _top_eigenvector(_jacobian(logits, z), p.detach())
        centred = slopes - (p.detach() * slopes).sum(1, keepdim=True)
        with SecondOrder() as mode:
            weighted = (model(z) * (p.detach() * centred)).sum()
        slope_term = (mode.input_gradient(weighted, z).flatten(1) * direction).sum(1)
        mean = (p * slopes).sum(1, keepdim=True)
        variance = (p * (slopes - mean).square()).sum(1)
        # product rule: `variance` carries the derivative to p, 2 * `slope_term` that to the slopes
        return variance + 2 * (slope_term - slope_term.detach())


def _jacobian(logits: Tensor, z: Tensor) -> Tensor:
    """``W^T`` (B, classes, features), without a graph; the graph of the logits is kept."""
    rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0].flatten(1) for column in logits.unbind(1)]
    return torch.stack(rows, dim=1)


def _top_eigenvector(jacobian: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes ``W^T q`` (B, classes) of the logits along the top unit eigenvector ``q``, and ``q``."""
    centred = jacobian - (p[:, :, None] * jacobian).sum(1, keepdim=True)
    factor = p.sqrt()[:, :, None] * centred
    gram = (factor @ factor.mT).nan_to_num(0.0, 0.0, 0.0)  # `factor` carries what is not finite to the result
    top = torch.linalg.eigh(gram).eigenvectors[:, :, -1]
    direction = F.normalize((top[:, :, None] * factor).sum(1), dim=1)
    return (jacobian * direction[:, None]).sum(2), direction


@dataclass(frozen=True)
class SSR(Objective):
    r"""Smooth surface regularisation of Wang et al., 2020 (https://arxiv.org/abs/2006.06643; IGR paper, Eq. 52).

    .. math:: CE(f(x), y) + \lambda \max_i \xi_i, \quad \xi = eig(W (diag(p) - p p^T) W^T)

    with the `largest_hessian_eigenvalue` of each clean image, averaged over the batch; there are no
    adversarial images. The cross-entropy runs in the mode that the model is in, the eigenvalue in evaluation
    mode with no dropout.

    The published code averages the input gradients over the colour channels, works on pixels in [0, 255],
    weighs ``0.3 * 1e6 * eigenvalue + 0.7 * CE`` by the defaults of its class, and differentiates through an
    eigensolver. Here every feature counts and pixels lie in [0, 1], where those defaults amount, channels
    aside, to ``lam = 0.3 / 0.7 * 1e6 / 255**2 = 6.6``. (The defaults of its training script amount to nearly
    no regularisation.) Eq. 52 prints ``p^T p`` for ``p p^T``.

    Args:
        lam: weight of the eigenvalue.

    Raises:
        HoldfastError: on a negative weight.

    Cost for a piecewise-linear network: ``classes + 10`` forward passes an image (20 for ten classes).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> out = SSR()(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]))
        >>> list(out.parts), out.x_adv
        (['ce', 'eigenvalue'], None)
    """

    formula: ClassVar[str] = r"CE(f(x), y) + \lambda \max_i \xi_i"

    lam: float = 6.6

    def __post_init__(self) -> None:
        check_positive("lam", self.lam, zero=True)

    @property
    def cost(self) -> float:
        return 20.0

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        ce = F.cross_entropy(model(x), y)
        return combine(None, ce=(1.0, ce), eigenvalue=(self.lam, largest_hessian_eigenvalue(model, x).mean()))
