"""The iterative feature importance attack (IFIA): change the attribution, keep the prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import get_args

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import AttributionAttack, Found, Scores, Select
from holdfast.attacks.base import ascent_of, normal, project, random_start, step
from holdfast.attacks.goals import Goal, TopKGoal
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.errors import unknown_name
from holdfast.gradient.grouped import by_whole_paths
from holdfast.models.state import Model
from holdfast.models.twin import SoftplusTwin
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class IFIA(AttributionAttack):
    """Iterative feature importance attack.

    Ghorbani et al., 2019, "Interpretation of Neural Networks is Fragile"
    (https://arxiv.org/abs/1710.10547), with the protocol of Chen et al., 2019
    (https://arxiv.org/abs/1905.09957). Distance measure: Linf.

    Signed gradient steps on an attribution of the *softplus twin* of the network (a ReLU network's own
    attribution has no useful second derivatives); every iterate is scored on the network itself, and among
    those that keep the label the one with the smallest score is returned. Magnitudes are compared, one value
    a feature; ties rank by lowest index.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        k: size of the top-k set that `TopKGoal` pushes down.
        goal: what is driven: `TopKGoal` (the paper's), `KendallGoal` (ours, far stronger in Kendall's tau),
            `MassCenterGoal` (images only), or one of your own.
        attribution: whose map is attacked, in the gradient and in the score.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        restarts: independent runs; the best iterate of all is kept. Useful with ``random_start``.
        random_start: start from a uniform point of the ball instead of the image.
        select: the score to minimise, "kendall" or "topk".

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    An image whose prediction is not its label cannot be attacked and comes back as it is.

    Under ``torch.autocast``, or where TF32 is allowed (as PyTorch allows it for convolutions), the gradient that
    is followed runs in the lower precision; scores never do.

    Cost: about ``6 * attribution.points`` forward passes per image and step, on a CPU less by the scores (2) of
    iterates that lose the label.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> attack = IFIA(eps=0.1, alpha=0.02, steps=5, k=4)
        >>> adv = attack(net, images, net(images).argmax(1))
        >>> bool((net(adv).argmax(1) == net(images).argmax(1)).all())
        True
    """

    eps: float = 8 / 255
    alpha: float = 1 / 255
    steps: int = 200
    k: int = 100
    goal: Goal = TopKGoal()
    attribution: Attribution = IntegratedGradients(n_steps=20)
    surrogate_beta: float | None = 30.0
    restarts: int = 1
    random_start: bool = False
    select: Select = "kendall"

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("alpha", self.alpha)
        for name in ("steps", "k", "restarts"):
            check_count(name, getattr(self, name))
        if self.surrogate_beta is not None:
            check_positive("surrogate_beta", self.surrogate_beta)
        if self.select not in get_args(Select):
            raise unknown_name("select", str(self.select), get_args(Select))

    @property
    def cost(self) -> float:
        return 6.0 * self.attribution.points * self.steps * self.restarts

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        followed = attribution if attribution.differentiable else self.attribution
        surrogate = model if self.surrogate_beta is None else SoftplusTwin(model, self.surrogate_beta)
        scores = Scores(model, images, labels, attribution, self.select, self.k)
        own = followed is not attribution or self.goal.signed
        clean = followed.map(model, images, labels).detach() if own else scores.clean
        reference = self.goal.reference_of(clean, self.k)

        for _ in range(self.restarts):
            start = random_start(images, self.eps, "Linf", generator) if self.random_start else images
            steps = signed_steps(surrogate, images, labels, followed, self.goal, reference, start, self.alpha, self.eps)
            for adv in islice(steps, self.steps):
                scores.see(adv)
        return scores.found()


def signed_steps(
    surrogate: Model,
    images: Tensor,
    labels: Tensor,
    followed: Attribution,
    goal: Goal,
    reference: tuple[Tensor, ...],
    start: Tensor,
    alpha: float,
    eps: float,
) -> Iterator[Tensor]:
    """Iterates without end: steps of ``alpha`` from ``start`` along the sign of the goal's gradient, in the ball."""

    def ascent(adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
        with torch.enable_grad():
            adv = adv.detach().requires_grad_()
            maps = followed.map(surrogate, adv, labels, create_graph=True, weights=False)
            return ascent_of(goal.of(maps, *reference).sum(), adv)

    adv = start
    while True:
        gradient = by_whole_paths(ascent, followed.points, None, adv, labels, *reference)
        adv = project(step(adv, gradient, alpha), images, eps)
        yield adv


@dataclass(frozen=True)
class RandomSigns(AttributionAttack):
    """Random corners of the ball: the control that every attack has to beat. Distance measure: Linf.

    Args:
        eps: size of the perturbation of every pixel, in [0, 1].
        draws: perturbations tried per image; the one of the smallest score that keeps the label is returned.
        k: size of the top-k set, where ``select`` is "topk".
        attribution: whose map is scored.
        select: the score to minimise, "kendall" or "topk".

    Cost: ``draws * (1 + 2 * attribution.points)`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> RandomSigns(eps=0.1)(net, images, net(images).argmax(1)).shape
        torch.Size([3, 1, 4, 4])
    """

    eps: float = 8 / 255
    draws: int = 10
    k: int = 100
    attribution: Attribution = IntegratedGradients(n_steps=20)
    select: Select = "kendall"

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_count("draws", self.draws)
        check_count("k", self.k)
        if self.select not in get_args(Select):
            raise unknown_name("select", str(self.select), get_args(Select))

    @property
    def cost(self) -> float:
        return self.draws * (1.0 + 2 * self.attribution.points)

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        scores = Scores(model, images, labels, attribution, self.select, self.k)
        for _ in range(self.draws):
            signs = normal(images, generator).sign()
            scores.see(project(images + 2 * self.eps * signs, images, self.eps))
        return scores.found()
