"""IG-NORM and IG-SUM-NORM: a small attribution of the change in loss between an image and its attack."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks import Attack
from holdfast.attribution.base import path_attribution
from holdfast.attribution.compare import in_constant_memory
from holdfast.errors import HoldfastError
from holdfast.gradient.points import Method, Path
from holdfast.models.state import Model, outside_inference_mode, usable
from holdfast.objectives.ascent import AttributionAscent
from holdfast.objectives.base import LossOutput, Objective, combine
from holdfast.validate import check_count, check_positive

LossPath = partial(Path, value=partial(F.cross_entropy, reduction="sum"))
"""A path along which the gradient of the cross-entropy is integrated."""


def segment_norm(path: Path, x: Tensor, x_adv: Tensor, rows: int | None) -> Tensor:
    """The l1 norm (B,) of ``(x_adv - x) * sum_k w_k grad(x + alpha_k (x_adv - x))`` of each pair."""
    return path_attribution(path, x_adv, x, rows).abs().flatten(1).sum(1)


@dataclass(frozen=True)
class IGNormAttack(AttributionAscent):
    """Ascends the norm of `IGNorm`: ``||IG(x, x_adv)||_1`` of each image. Distance measure: Linf.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        n_steps: points of the path in each step, by the right rule (the published code takes 10).
        internal_batch_size: path points in memory at once; None takes as many as run fastest.
        random_start: must be true, since the gradient of the norm is 0 at the image itself.
        restarts: runs from new random starts; for each image the one of the largest norm is returned.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost for a piecewise-linear network: ``4 * n_steps`` forward passes per image and step, 6 instead of 4 in chunks.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> adv = IGNormAttack(eps=0.1, alpha=0.05, steps=4)(net, images, labels)
        >>> bool((adv - images).abs().max() <= 0.1 + 1e-6)
        True
    """

    _: KW_ONLY
    surrogate_beta: float | None = None
    n_steps: int = 5
    method: Method = "riemann_right"
    internal_batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_steps", self.n_steps)
        if self.internal_batch_size is not None:
            check_count("internal_batch_size", self.internal_batch_size)
        if not self.random_start and type(self) is IGNormAttack:
            raise HoldfastError(
                "random_start is False, but ||IG(x, x_adv)||_1 has gradient 0 at x_adv = x, where the attack would "
                "stay; leave random_start at True, or use IGSumNormAttack."
            )

    @property
    def path_points(self) -> int:
        return self.n_steps

    def prepare(self, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return images, labels

    def measure(self, model: Model, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        images, labels = reference
        path = LossPath(network, labels, self.method, self.n_steps, create_graph=adv.requires_grad, weights=False)
        return segment_norm(path, images, adv, self.internal_batch_size)


@dataclass(frozen=True)
class IGSumNormAttack(IGNormAttack):
    """Ascends what `IGSumNorm` descends: ``CE(f(x_adv), y) + lam * ||IG(x, x_adv)||_1`` of each image.

    Args:
        lam: weight of the norm, as in the objective.
        random_start: start from a uniform point of the ball.

    Other arguments and shape: as `IGNormAttack`.

    Cost for a piecewise-linear network: ``4 * n_steps + 2`` forward passes per image and step (6 instead of 4 in
    chunks).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> attack = IGSumNormAttack(eps=0.1, alpha=0.05, steps=4)
        >>> attack(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    _: KW_ONLY
    lam: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lam", self.lam, zero=True)

    @property
    def cost(self) -> float:
        return super().cost + 2.0 * self.steps * self.restarts

    def measure(self, model: Model, network: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        ce = F.cross_entropy(network(adv), reference[1], reduction="none")
        return ce + self.lam * super().measure(model, network, adv, *reference)


@dataclass(frozen=True)
class IGNorm(Objective):
    r"""IG-NORM of Chen et al., 2019 (https://arxiv.org/abs/1905.09957; IGR paper, Eq. 46).

    .. math:: CE(f(x), y) + \lambda \max_{\tilde x} \|IG(x, \tilde x)\|_1

    with the integrated gradients of the cross-entropy along the segment from x to x_adv,
    ``IG(x, x_adv) = (x_adv - x) * mean_k grad CE(f(x + k/m (x_adv - x)), y)``: its entries sum, as ``n_steps``
    grows, to the change of the loss. The norm is that of each image over all features, averaged over the
    batch (the published code sums both terms over the batch). It is taken with frozen normalisation and no
    dropout; the cross-entropy runs in the mode that the model is in.

    Args:
        attack: makes x_adv; the method's own is `IGNormAttack`.
        lam: weight of the norm.
        n_steps: points of the path (the published code takes 50).
        method: quadrature rule.
        internal_batch_size: path points evaluated at once, as in `igr_penalty`; one image's path has ``n_steps``.

    Raises:
        HoldfastError: on a negative weight or a count below 1; from the attack on images outside [0, 1].

    Cost beside the attack, for a piecewise-linear network: ``6 * n_steps`` forward passes per image, 8 instead
    of 6 in chunks (IGR pays 2 * 4 and 2 * 6), and 3 for the cross-entropy. Memory does not grow with the batch.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = IGNorm(IGNormAttack(eps=0.1, alpha=0.05, steps=3))
        >>> list(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'ig_norm']
    """

    formula: ClassVar[str] = r"CE(f(x), y) + \lambda \max_{\tilde x} \|IG(x, \tilde x)\|_1"

    attack: Attack = IGNormAttack()
    lam: float = 1.0
    n_steps: int = 10
    method: Method = "riemann_right"
    internal_batch_size: int | None = None

    def __post_init__(self) -> None:
        check_positive("lam", self.lam, zero=True)
        check_count("n_steps", self.n_steps)
        if self.internal_batch_size is not None:
            check_count("internal_batch_size", self.internal_batch_size)

    @property
    def title(self) -> str:
        return "IG-NORM"

    @property
    def cost(self) -> float:
        return 3.0 + self.attack.cost + 6.0 * self.n_steps

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = self.attack(model, x, y, generator=generator)
        ce = F.cross_entropy(model(self._classified(x, x_adv)), y)
        with outside_inference_mode():
            x, end, y = usable(x, x_adv, y)
            path = LossPath(model, y, self.method, self.n_steps, create_graph=True)
            norms = partial(_norms, model, self.method, self.n_steps)
            norm = in_constant_memory(norms, path, 1, self.internal_batch_size, x, end, y).mean()
        return combine(x_adv, ce=(1.0, ce), ig_norm=(self.lam, norm))

    def _classified(self, x: Tensor, x_adv: Tensor) -> Tensor:
        """The images of the cross-entropy."""
        return x


@dataclass(frozen=True)
class IGSumNorm(IGNorm):
    r"""IG-SUM-NORM of Chen et al., 2019 (IGR paper, Eq. 47): adversarial training plus the norm.

    .. math:: \max_{\tilde x} \, CE(f(\tilde x), y) + \lambda \|IG(x, \tilde x)\|_1

    Args:
        attack: makes x_adv; the method's own is `IGSumNormAttack` with the same ``lam``.
        lam: weight of the norm (0.1 in the published settings of MNIST and Fashion-MNIST).
        n_steps, method, internal_batch_size: as in `IGNorm`, whose norm, batch mean and cost it has.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = IGSumNorm(IGSumNormAttack(eps=0.1, alpha=0.05, steps=3, lam=0.1), lam=0.1)
        >>> list(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'ig_norm']
    """

    formula: ClassVar[str] = r"CE(f(\tilde x), y) + \lambda \|IG(x, \tilde x)\|_1"

    attack: Attack = IGSumNormAttack()
    lam: float = 0.1

    @property
    def title(self) -> str:
        return "IG-SUM-NORM"

    def _classified(self, x: Tensor, x_adv: Tensor) -> Tensor:
        return x_adv


def _norms(model: Model, method: Method, n_steps: int, rows: int | None, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    return segment_norm(LossPath(model, y, method, n_steps, create_graph=True), x, x_adv, rows)
