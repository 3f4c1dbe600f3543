"""One member of the strongest attack: large steps that decay, on a surrogate that sharpens, with the label held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import get_args

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import READABLE, AttributionAttack, Found
from holdfast.attacks.base import ascent_of, per_image, project, unit
from holdfast.attacks.goals import Goal, TopKGoal
from holdfast.attacks.pgd import margin
from holdfast.attacks.worst import Compared, Shortlist, Values, Worst, similarity
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, unknown_name
from holdfast.gradient.grouped import by_whole_paths
from holdfast.models import SoftplusTwin
from holdfast.models.state import Model, without_checkpoints
from holdfast.validate import check_count, check_positive

POOLING = 30.0
"""Sharpness of the surrogate's max pooling."""


@dataclass(frozen=True)
class Iterate:
    """One point on the way.

    Attributes:
        adv: the images.
        values: cheap scores, from the surrogate's few points; infinite where the label is lost, and in the first half
            of the way.
        kept: whether the network gives the label.
        moved: whether the goal had a gradient.
    """

    adv: Tensor
    values: Values
    kept: Tensor
    moved: Tensor


@dataclass(frozen=True)
class AnnealedIFIA(AttributionAttack):
    """IFIA with a large step that decays, on a surrogate that sharpens on the way, with the label held (ours).

    Distance measure: Linf. Steps follow the sign of the goal's gradient, at length 1, plus ``hold`` times that of the
    network's margin, at length 1, as far as the margin is below ``least_margin`` of the clean one: so neither the
    scale of the logits nor that of the goal matters. Step sizes fall from ``first_step`` as a cosine to 0; the
    softplus's sharpness rises geometrically. Where a map is made of random points, each step draws new ones, so that
    what is found holds for others than those that were followed (docs/choices.md). Iterates are compared by the
    surrogate's own maps, which cost nothing; the ``shortlist`` best and the last one are scored exactly.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        steps: number of steps.
        k: size of the top-k set.
        goal: what is driven.
        attribution: what is attacked and, in `search`, scored unless another is asked for.
        select: the score to minimise, "topk", "kendall" or "cosine" (of signed maps).
        first_step: size of the first step as a share of ``eps``.
        surrogate_beta: sharpness of the softplus twin in the first step and after the last.
        hold: weight of the margin; 0 lets the label go.
        least_margin: share of the clean margin that is to be left.
        shortlist: iterates scored exactly, beside the last.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: about ``steps * (6 * attribution.points + 2) + (shortlist + 1) * (2 * attribution.points + 1)`` forward passes
    per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> adv = AnnealedIFIA(eps=0.1, steps=5, k=4)(net, images, net(images).argmax(1))
        >>> bool((net(adv).argmax(1) == net(images).argmax(1)).all())
        True
    """

    eps: float = 8 / 255
    steps: int = 40
    k: int = 100
    goal: Goal = TopKGoal()
    attribution: Attribution = IntegratedGradients(n_steps=5)
    select: Compared = "topk"
    _: KW_ONLY
    first_step: float = 0.4
    surrogate_beta: tuple[float, float] = (8.0, 120.0)
    hold: float = 2.0
    least_margin: float = 0.1
    shortlist: int = 2

    def __post_init__(self) -> None:
        for name, zero in (("eps", True), ("first_step", False), ("hold", True), ("least_margin", True)):
            check_positive(name, getattr(self, name), zero=zero)
        if not isinstance(self.surrogate_beta, tuple) or len(self.surrogate_beta) != 2:
            raise HoldfastError(f"surrogate_beta is {self.surrogate_beta!r}; it must be two numbers, such as (8, 120).")
        for beta in self.surrogate_beta:
            check_positive("surrogate_beta", beta)
        for name in ("steps", "k", "shortlist"):
            check_count(name, getattr(self, name))
        if self.select not in get_args(Compared):
            raise unknown_name("select", str(self.select), get_args(Compared))

    @property
    def cost(self) -> float:
        return self.passes(self.attribution, 2.0 * self.attribution.points + 1, metrics=1)

    def passes(self, followed: Attribution, score: float, metrics: int) -> float:
        """Forward passes per image, where an exact score costs ``score``."""
        return self.steps * (6.0 * followed.points + 2) + (self.shortlist * metrics + 1) * score

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        worst = Worst(model, images, labels, attribution, (self.select,), self.k)
        followed = attribution if attribution.differentiable else self.attribution
        rows = worst.right.nonzero()[:, 0]
        if len(rows):
            self.improve(worst, rows, followed, images[rows], images)
        return worst.found(self.select)

    def improve(
        self, worst: Worst, rows: Tensor, followed: Attribution, start: Tensor, images: Tensor, member: int = 0
    ) -> tuple[Tensor, Tensor, Values]:
        """Run on ``rows`` from ``start`` and let what is found into ``worst``.

        Returns:
            Per row: the share of iterates that lost the label, whether the goal ever had a gradient, the best scores.
        """
        metrics = tuple(worst.score)
        best = Shortlist(start, metrics, self.shortlist)
        kept, moved = [], torch.zeros_like(rows, dtype=torch.bool)
        clean = worst.clean[rows]
        draws = torch.Generator().manual_seed(member)
        for step, iterate in enumerate(
            self.climb(worst.model, images[rows], worst.labels[rows], followed, clean, start, metrics, draws)
        ):
            kept.append(iterate.kept)
            moved |= iterate.moved
            best.see(iterate.adv, iterate.values, step)
        everyone = torch.ones_like(moved)
        candidates = [*best.each(), (iterate.adv, torch.full_like(rows, self.steps), everyone)]
        reached = {m: worst.clean.new_full((len(rows),), float("inf")) for m in metrics}
        for adv, at, there in candidates:
            chosen = there.nonzero()[:, 0]
            if not len(chosen):
                continue
            values = worst.values(adv[chosen], rows[chosen])
            worst.take(adv[chosen], rows[chosen], values, member, at[chosen])
            for m in metrics:
                reached[m][chosen] = torch.minimum(reached[m][chosen], values[m])
        return 1 - torch.stack(kept).float().mean(0), moved, reached

    def climb(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        followed: Attribution,
        clean: Tensor,
        adv: Tensor,
        metrics: tuple[str, ...],
        draws: torch.Generator,
    ) -> Iterator[Iterate]:
        """The iterates before each step from ``adv``, scored from the middle on, and the last one, which has no scores.

        Random points of ``followed`` are drawn anew from ``draws`` at each step.
        """
        reference = self.goal.reference_of(clean, self.k)
        with torch.no_grad():
            least = self.least_margin * margin(model(images), labels).to(images.dtype).clamp(min=0)
        first, last = self.surrogate_beta
        unknown = {m: clean.new_full((len(adv),), float("inf")) for m in metrics}
        for t in range(self.steps):
            done = t / self.steps
            surrogate = SoftplusTwin(model, first * (last / first) ** done, POOLING)
            gradient, maps = self._gradient(surrogate, followed.drawn(draws))(adv, labels, *reference)
            keep, now = _margin_gradient(model, adv, labels, least)
            lacking = ((least - now) / least.clamp(min=torch.finfo(least.dtype).tiny)).clamp(0, 1)
            values = unknown
            if t >= self.steps // 2:
                values = {m: similarity(m, maps, clean, self.k).masked_fill(now <= 0, float("inf")) for m in metrics}
            yield Iterate(adv, values, now > 0, gradient.flatten(1).any(1))
            direction = unit(gradient) + self.hold * per_image(lacking, adv) * unit(keep)
            size = self.first_step * self.eps * 0.5 * (1 + math.cos(math.pi * done))
            adv = project(adv + size * direction.sign(), images, self.eps)
        with torch.no_grad():
            kept = model(adv).argmax(1) == labels
        yield Iterate(adv, unknown, kept, torch.zeros_like(kept))

    def _gradient(self, surrogate: Model, followed: Attribution) -> Callable[..., tuple[Tensor, Tensor]]:
        def both(adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
            with torch.enable_grad():
                adv = adv.detach().requires_grad_()
                maps = followed.map(surrogate, adv, labels, create_graph=True, weights=False)
                gradient = ascent_of(self.goal.of(maps, *reference).sum(), adv)
            return torch.stack([gradient.nan_to_num(0, 0, 0), maps.detach().to(adv.dtype)], dim=1)

        def gradient(adv: Tensor, labels: Tensor, *reference: Tensor) -> tuple[Tensor, Tensor]:
            ascent, maps = by_whole_paths(both, followed.points, None, adv, labels, *reference).unbind(1)
            return ascent, maps

        return gradient


def _margin_gradient(model: Model, adv: Tensor, labels: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The margin's gradient and the margin; the gradient is 0 where that is cheap to know to be of no use."""
    with torch.enable_grad(), without_checkpoints():
        adv = adv.detach().requires_grad_()
        value = margin(model(adv), labels)
        useless = adv.device.type in READABLE and bool((value >= least).all())
        gradient = torch.zeros_like(adv) if useless else torch.autograd.grad(value.sum(), adv)[0]
    return gradient, value.detach().to(adv.dtype)
