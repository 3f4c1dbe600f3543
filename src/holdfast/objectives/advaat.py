"""AdvAAT: adversarial training on the prediction and on Pearson's correlation of the attributions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.attribution.igr import pair_penalty
from holdfast.metrics.linear import pearson_correlation
from holdfast.models.state import Model
from holdfast.objectives.ascent import AttributionAscent
from holdfast.objectives.base import AttributionObjective, LossOutput, adversarial_images, combine
from holdfast.validate import check_positive


def correlation_loss(ig: Float[Tensor, "B ..."], ig_adv: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """``1 - (PCC + 1) / 2`` of each pair of maps, in [0, 1]; a constant map counts as uncorrelated, 0.5.

    >>> correlation_loss(torch.tensor([[1.0, 3.0, 2.0]] * 2), torch.tensor([[2.0, 4.0, 6.0], [1.0, 1.0, 1.0]]))
    tensor([0.2500, 0.5000])
    """
    return (1 - pearson_correlation(ig_adv, ig)) / 2


class AdvAAT(AttributionObjective):
    r"""Adversarial attributional training of Ivankay et al. (https://arxiv.org/abs/2010.07393; IGR paper, Eq. 48).

    .. math:: \max_{\tilde x} \, CE(f(\tilde x), y) + \lambda \, PCL(IG(x), IG(\tilde x)),
              \quad PCL = 1 - (PCC + 1) / 2

    with Pearson's correlation PCC of the signed integrated gradients of the label's logit from black, all
    features of an image in one vector, averaged over the batch. Beside IGR it centres the maps, halves the
    term and attacks both terms. Attributions are taken with frozen normalisation and no dropout; the
    cross-entropy runs in the mode that the model is in. A zero-initialised last layer gives PCL = 0.5 and
    finite gradients.

    Args:
        attack: an attack or a factory; the method's own is `AdvAATAttack` with the same ``lam``.
        lam: weight of the correlation loss.
        n_steps, method, internal_batch_size: as in `igr_penalty`.

    Raises:
        HoldfastError: on a negative weight or a count below 1; from the attack on images outside [0, 1].

    Cost beside the attack, for a piecewise-linear network: ``2 * 4 * n_steps`` forward passes an image, 12
    instead of 8 in chunks (as IGR), and 3 for the cross-entropy. Memory does not grow with the batch.

    Example:
        >>> from functools import partial
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = AdvAAT(partial(AdvAATAttack, eps=0.1, alpha=0.05, steps=3))
        >>> list(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'pcl']
    """

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        x_adv = adversarial_images(self.attack, model, x, y)
        ce = F.cross_entropy(model(x_adv), y)
        loss = pair_penalty(
            correlation_loss,
            model,
            x,
            x_adv,
            y,
            n_steps=self.n_steps,
            method=self.method,
            internal_batch_size=self.internal_batch_size,
        )
        return combine(x_adv, ce=(1.0, ce), pcl=(self.lam, loss.mean()))


class AdvAATAttack(AttributionAscent):
    """Ascends what `AdvAAT` descends: ``CE(f(x_adv), y) + lam * PCL(IG(x), IG(x_adv))``. Distance: Linf.

    The cross-entropy is that of the network; the correlation loss, whose gradient a ReLU network lacks but
    for the factor x_adv of IG, is followed through the softplus twin, against the network's own ``IG(x)``.

    Args:
        model: maps images to logits.
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        lam: weight of the correlation loss, as in the objective.
        n_steps: points of the path in each step, by the right rule.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        internal_batch_size: path points in memory at once; None takes as many as run fastest.
        random_start: start from a uniform point of the ball.
        restarts: runs from new random starts; for each image the one of the largest sum is returned.
        generator: source of the random starts; None draws a fresh seed from the operating system.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost for a piecewise-linear network: ``4 * n_steps + 2`` forward passes an image and step (6 instead of 4 in
    chunks; without the twin 2 and 4), and ``2 * n_steps`` once for ``IG(x)``.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> attack = AdvAATAttack(net, eps=0.1, alpha=0.05, steps=4)
        >>> attack(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    def __init__(
        self,
        model: Model,
        *,
        eps: float,
        alpha: float,
        steps: int,
        lam: float = 1.0,
        n_steps: int = 5,
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
            n_steps=n_steps,
            surrogate_beta=surrogate_beta,
            internal_batch_size=internal_batch_size,
            random_start=random_start,
            restarts=restarts,
            generator=generator,
        )
        check_positive("lam", lam, zero=True)
        self.lam = lam

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return labels, self.attribution(self.model, images, labels)

    def measure(self, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        labels, clean = reference
        ce = F.cross_entropy(self.model(adv), labels, reduction="none")
        return ce + self.lam * correlation_loss(clean, self.attribution(network, adv, labels))
