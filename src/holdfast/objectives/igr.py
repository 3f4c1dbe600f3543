"""IGR over any training (paper, Eq. 3), and its own adversary (Eq. 5)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from holdfast.attacks.base import Attack
from holdfast.attribution.igr import igr_penalty
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.metrics.linear import cosine_similarity
from holdfast.models.state import Model
from holdfast.objectives.ascent import AttributionAscent
from holdfast.objectives.base import AttackFactory, LossOutput, Objective, adversarial_images
from holdfast.validate import check_count, check_positive


class IGR:
    """``base + lam * mean(1 - cos(IG(x), IG(x_adv)))``, reusing the very x_adv of its base (Eq. 3).

    Args:
        base: an objective that attacks (AT, TRADES, MART, or one of your own).
        lam: weight of the regulariser, the paper's lambda.
        n_steps, method, internal_batch_size: as in `igr_penalty`.
        attack: an attack or a factory that makes the x_adv of the regulariser instead of the base, which then
            need not attack; the paper's Eq. 5 is `IGRAttack`. Given a base that attacks too, the
            result's ``x_adv`` remains that of the base.

    Raises:
        HoldfastError: on a negative weight or no steps; when called, if neither base nor attack makes images.

    Cost beside the base: ``2 * 4 * n_steps`` forward passes an image, 12 instead of 8 in chunks.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from holdfast.attacks import PGD
        >>> from holdfast.objectives import AT
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = IGR(AT(partial(PGD, eps=0.1, alpha=0.05, steps=3)), lam=1.0)
        >>> sorted(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'igr']
    """

    def __init__(
        self,
        base: Objective,
        lam: float = 1.0,
        n_steps: int = 10,
        method: Method = "riemann_right",
        internal_batch_size: int | None = None,
        attack: Attack | AttackFactory | None = None,
    ) -> None:
        check_positive("lam", lam, zero=True)
        check_count("n_steps", n_steps)
        self.base = base
        self.lam = lam
        self.n_steps = n_steps
        self.method: Method = method
        self.internal_batch_size = internal_batch_size
        self.attack = attack

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        out = self.base(model, x, y)
        x_adv = out.x_adv if self.attack is None else adversarial_images(self.attack, model, x, y)
        if x_adv is None:
            raise HoldfastError(
                f"{type(self.base).__name__} makes no adversarial images; IGR compares IG(x) with IG(x_adv): "
                "build it over AT, TRADES or MART, or give IGR an attack of its own."
            )
        penalty = igr_penalty(
            model,
            x,
            x_adv,
            y,
            n_steps=self.n_steps,
            method=self.method,
            internal_batch_size=self.internal_batch_size,
        ).mean()
        parts = {**out.parts, "igr": penalty.detach()}
        shown = x_adv if out.x_adv is None else out.x_adv
        return replace(out, loss=out.loss + self.lam * penalty, parts=parts, x_adv=shown)


class IGRAttack(AttributionAscent):
    """Ascends ``1 - cos(IG(x), IG(x_adv))`` of each image: the adversary of IGR (Eq. 5). Distance: Linf.

    A ReLU network's own IG has no useful second derivatives, so the gradient goes through its softplus twin,
    against the network's own ``IG(x)``. The prediction is free to change. Without twin and random start the
    first step follows rounding noise, since the cosine is largest at the image itself.

    Args:
        model: maps images to logits.
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        n_steps: points of the path in each step.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        method: quadrature rule.
        internal_batch_size: path points in memory at once; None takes as many as run fastest.
        random_start: start from a uniform point of the ball.
        restarts: runs from new random starts; for each image the one of the smallest cosine is returned.
        generator: source of the random starts; None draws a fresh seed from the operating system.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost for a piecewise-linear network: ``4 * n_steps`` forward passes an image and step (6 in chunks; without
    the twin 2 and 4), and ``2 * n_steps`` once for ``IG(x)``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> attack = IGRAttack(net, eps=0.1, alpha=0.05, steps=4)
        >>> attack(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return labels, self.attribution(self.model, images, labels)

    def measure(self, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        labels, clean = reference
        return 1 - cosine_similarity(self.attribution(network, adv, labels), clean)
