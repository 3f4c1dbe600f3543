"""IGR over any training (paper, Eq. 3), and its own adversary (Eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from holdfast.attacks import Attack
from holdfast.attribution import IntegratedGradients, attribution_penalty
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError
from holdfast.metrics.pairs import cosine_similarity
from holdfast.models.state import Model
from holdfast.objectives.ascent import AttributionAscent
from holdfast.objectives.base import AT, LossOutput, Objective
from holdfast.seeding import fresh_generator
from holdfast.validate import check_positive


@dataclass(frozen=True)
class IGR(Objective):
    """``base + lam * mean(1 - cos(A(x), A(x_adv)))``, reusing the very x_adv of its base (Eq. 3).

    Args:
        base: an objective that attacks (AT, TRADES, MART, or one of your own).
        lam: weight of the regulariser, the paper's lambda.
        attribution: the map A that is compared; the paper's is integrated gradients by the right rule.
        share: part of each batch, drawn anew in every step, that the penalty is taken on: its mean over a random
            part is an unbiased estimate of that over the batch, at that part of its cost. 1 takes all images.
        attack: makes the x_adv of the regulariser instead of the base, which then need not attack; the paper's
            Eq. 5 is `IGRAttack`. Given a base that attacks too, the result's ``x_adv`` remains that of the base.

    Raises:
        HoldfastError: on a negative weight, a share outside (0, 1], an attribution that cannot be differentiated;
            when called, if neither base nor attack makes images.

    Cost beside the base: ``2 * 4 * attribution.points * share`` forward passes per image, 12 instead of 8 in chunks.

    Example:
        >>> from holdfast.attacks import PGD
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = IGR(AT(PGD(eps=0.1, alpha=0.05, steps=3)), lam=1.0)
        >>> sorted(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'igr']
    """

    base: Objective = AT()
    lam: float = 1.0
    attribution: Attribution = IntegratedGradients(n_steps=10, method="riemann_right")
    share: float = 1.0
    attack: Attack | None = None

    def __post_init__(self) -> None:
        check_positive("lam", self.lam, zero=True)
        if not 0 < self.share <= 1:
            raise HoldfastError(f"share is {self.share}; it must be more than 0 and at most 1 (all of the batch).")
        if not self.attribution.differentiable:
            raise HoldfastError(
                f"IGR cannot train through {self.attribution.title}, which has no gradient; choose a differentiable "
                "attribution such as IntegratedGradients or Saliency."
            )

    @property
    def title(self) -> str:
        own = " (Eq. 5)" if isinstance(self.attack, IGRAttack) else ""
        other = "" if isinstance(self.attribution, IntegratedGradients) else f" [{self.attribution.title}]"
        return f"{self.base.title}+IGR{own}{other}"

    @property
    def cost(self) -> float:
        attack = 0.0 if self.attack is None else self.attack.cost
        return self.base.cost + self.share * 2 * 4 * self.attribution.points + attack

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        out = self.base(model, x, y, generator=generator)
        x_adv = out.x_adv if self.attack is None else self.attack(model, x, y, generator=generator)
        if x_adv is None:
            raise HoldfastError(
                f"{self.base.title} makes no adversarial images; IGR compares IG(x) with IG(x_adv): "
                "build it over AT, TRADES or MART, or give IGR an attack of its own."
            )
        some = self._drawn(len(x), generator, x.device)
        penalty = attribution_penalty(
            model, x[some], x_adv[some], y[some], attribution=self.attribution, generator=generator
        ).mean()
        parts = {**out.parts, "igr": penalty.detach()}
        shown = x_adv if out.x_adv is None else out.x_adv
        return replace(out, loss=out.loss + self.lam * penalty, parts=parts, x_adv=shown)

    def _drawn(self, batch: int, generator: torch.Generator | None, device: torch.device) -> Tensor | slice:
        """The images of the batch that the penalty is taken on."""
        if self.share == 1:
            return slice(None)
        count = max(1, round(self.share * batch))
        return torch.randperm(batch, generator=generator or fresh_generator(device), device=device)[:count]


@dataclass(frozen=True)
class IGRAttack(AttributionAscent):
    """Ascends ``1 - cos(IG(x), IG(x_adv))`` of each image: the adversary of IGR (Eq. 5). Distance: Linf.

    A ReLU network's own IG has no useful second derivatives, so the gradient goes through its softplus twin,
    against the network's own ``IG(x)``. The prediction is free to change. Without twin and random start the
    first step follows rounding noise, since the cosine is largest at the image itself.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        attribution: the map that is compared.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        random_start: start from a uniform point of the ball.
        restarts: runs from new random starts; for each image the one of the smallest cosine is returned.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost for a piecewise-linear network: ``4 * attribution.points`` forward passes per image and step (6 in chunks;
    without the twin 2 and 4), and ``2 * attribution.points`` once for ``IG(x)``.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> attack = IGRAttack(eps=0.1, alpha=0.05, steps=4)
        >>> attack(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    attribution: Attribution = IntegratedGradients(n_steps=5, method="riemann_right")

    @property
    def path_points(self) -> int:
        return self.attribution.points

    def prepare(self, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return labels, self.attribution.map(model, images, labels).detach()

    def measure(self, model: Model, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        labels, clean = reference
        moved = self.attribution.map(network, adv, labels, create_graph=adv.requires_grad, weights=False)
        return 1 - cosine_similarity(moved, clean)
