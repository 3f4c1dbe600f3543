"""AdvAAT: adversarial training on the prediction and on Pearson's correlation of the attributions."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.attacks import Attack
from holdfast.attribution import IntegratedGradients, attribution_penalty
from holdfast.attribution.base import Attribution
from holdfast.metrics.pairs import pearson_correlation
from holdfast.models.state import Model
from holdfast.objectives.ascent import AttributionAscent
from holdfast.objectives.base import LossOutput, Objective, combine
from holdfast.validate import check_positive


def correlation_loss(ig: Float[Tensor, "B ..."], ig_adv: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """``1 - (PCC + 1) / 2`` of each pair of maps, in [0, 1]; a constant map counts as uncorrelated, 0.5.

    >>> correlation_loss(torch.tensor([[1.0, 3.0, 2.0]] * 2), torch.tensor([[2.0, 4.0, 6.0], [1.0, 1.0, 1.0]]))
    tensor([0.2500, 0.5000])
    """
    return (1 - pearson_correlation(ig_adv, ig)) / 2


@dataclass(frozen=True)
class AdvAATAttack(AttributionAscent):
    """Ascends what `AdvAAT` descends: ``CE(f(x_adv), y) + lam * PCL(IG(x), IG(x_adv))``. Distance: Linf.

    The cross-entropy is that of the network; the correlation loss, whose gradient a ReLU network lacks but
    for the factor x_adv of IG, is followed through the softplus twin, against the network's own ``IG(x)``.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        lam: weight of the correlation loss, as in the objective.
        attribution: the map that is compared.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        random_start: start from a uniform point of the ball.
        restarts: runs from new random starts; for each image the one of the largest sum is returned.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost for a piecewise-linear network: ``4 * attribution.points + 2`` forward passes per image and step (6 instead
    of 4 in chunks; without the twin 2 and 4), and ``2 * attribution.points`` once for ``IG(x)``.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> attack = AdvAATAttack(eps=0.1, alpha=0.05, steps=4)
        >>> attack(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    _: KW_ONLY
    lam: float = 1.0
    attribution: Attribution = IntegratedGradients(n_steps=5, method="riemann_right")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lam", self.lam, zero=True)

    @property
    def path_points(self) -> int:
        return self.attribution.points

    @property
    def cost(self) -> float:
        return super().cost + 2.0 * self.steps * self.restarts

    def prepare(self, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return labels, self.attribution.map(model, images, labels).detach()

    def measure(self, model: Model, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        labels, clean = reference
        ce = F.cross_entropy(model(adv), labels, reduction="none")
        moved = self.attribution.map(network, adv, labels, create_graph=adv.requires_grad, weights=False)
        return ce + self.lam * correlation_loss(clean, moved)


@dataclass(frozen=True)
class AdvAAT(Objective):
    r"""Adversarial attributional training of Ivankay et al. (https://arxiv.org/abs/2010.07393; IGR paper, Eq. 48).

    .. math:: \max_{\tilde x} \, CE(f(\tilde x), y) + \lambda \, PCL(IG(x), IG(\tilde x)),
              \quad PCL = 1 - (PCC + 1) / 2

    with Pearson's correlation PCC of the signed integrated gradients of the label's logit from black, all
    features of an image in one vector, averaged over the batch. Beside IGR it centres the maps, halves the
    term and attacks both terms. Attributions are taken with frozen normalisation and no dropout; the
    cross-entropy runs in the mode that the model is in. A zero-initialised last layer gives PCL = 0.5 and
    finite gradients.

    Args:
        attack: makes x_adv; the method's own is `AdvAATAttack` with the same ``lam``.
        lam: weight of the correlation loss.
        attribution: the map that is compared.

    Raises:
        HoldfastError: on a negative weight; from the attack on images outside [0, 1].

    Cost beside the attack, for a piecewise-linear network: ``2 * 4 * attribution.points`` forward passes per image, 12
    instead of 8 in chunks (as IGR), and 3 for the cross-entropy. Memory does not grow with the batch.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = AdvAAT(AdvAATAttack(eps=0.1, alpha=0.05, steps=3))
        >>> list(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'pcl']
    """

    attack: Attack = AdvAATAttack()
    lam: float = 1.0
    attribution: Attribution = IntegratedGradients(n_steps=10, method="riemann_right")

    def __post_init__(self) -> None:
        check_positive("lam", self.lam, zero=True)

    @property
    def cost(self) -> float:
        return 3.0 + self.attack.cost + 2 * 4.0 * self.attribution.points

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = self.attack(model, x, y, generator=generator)
        ce = F.cross_entropy(model(x_adv), y)
        loss = attribution_penalty(
            model, x, x_adv, y, attribution=self.attribution, distance=correlation_loss, generator=generator
        )
        return combine(x_adv, ce=(1.0, ce), pcl=(self.lam, loss.mean()))
