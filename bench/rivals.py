"""Published attacks on attributions, each as the images that it tries one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

import holdfast as hf
from holdfast.attacks.base import ascent_of, project, step
from holdfast.attacks.goals import shares
from holdfast.attribution.base import Attribution
from holdfast.gradient.grouped import by_whole_paths
from holdfast.metrics.pairs import pearson_correlation
from holdfast.models import SoftplusTwin
from holdfast.models.state import Model

BETA = 30.0


@dataclass(frozen=True)
class Task:
    """What a rival gets: the network, correctly classified images, the ball, and how many images it may try."""

    model: Model
    images: Tensor
    labels: Tensor
    attribution: Attribution
    eps: float
    k: int
    tries: int
    generator: torch.Generator


@dataclass(frozen=True)
class Rival:
    """``attempts`` yields a batch at a time; ``gradients`` says whether it differentiates a map for each."""

    title: str
    attempts: Callable[[Task], Iterator[Tensor]]
    gradients: bool = True

    def cost(self, attribution: Attribution) -> float:
        """Forward passes per image and try, with the score: a gradient of a map costs 6 per point, a map 2."""
        return (6.0 * self.gradients + 2) * attribution.points + 1


@dataclass(frozen=True)
class PearsonGoal(hf.Goal):
    """Turns the signed map away from the clean one: minus their correlation."""

    signed: ClassVar[bool] = True

    def reference(self, clean: Tensor, k: int) -> tuple[Tensor, ...]:
        return (clean,)

    def __call__(self, share: Tensor, *reference: Tensor) -> Tensor:
        return -pearson_correlation(share, reference[0])


def signed_steps(
    goal: hf.Goal, share: float, beta: float = BETA, *, random_start: bool = False
) -> Callable[[Task], Iterator[Tensor]]:
    """Steps of ``share * eps`` along the sign of the goal's gradient on the softplus twin."""

    def attempts(task: Task) -> Iterator[Tensor]:
        surrogate = SoftplusTwin(task.model, beta)
        clean = task.attribution.map(task.model, task.images, task.labels).detach()
        reference = goal.reference_of(clean, task.k)

        def ascent(adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
            with torch.enable_grad():
                adv = adv.detach().requires_grad_()
                maps = task.attribution.map(surrogate, adv, labels, create_graph=True, weights=False)
                return ascent_of(goal.of(maps, *reference).sum(), adv)

        adv = next(uniform(task)) if random_start else task.images
        while True:
            gradient = by_whole_paths(ascent, task.attribution.points, None, adv, task.labels, *reference)
            adv = project(step(adv, gradient, share * task.eps), task.images, task.eps)
            yield adv

    return attempts


def adam_towards_a_map(task: Task, rate: float = 0.01, hold: float = 0.1) -> Iterator[Tensor]:
    """Towards the next image's map by Adam on a twin that sharpens, held to the probabilities; kept in the ball."""
    target = shares(task.attribution.map(task.model, task.images, task.labels).detach()).roll(-1, 0)
    with torch.no_grad():
        before = task.model(task.images).softmax(1)
    adv = task.images.clone().requires_grad_()
    adam = torch.optim.Adam([adv], lr=rate)
    for done in range(task.tries):
        twin = SoftplusTwin(task.model, 10 * 10 ** (done / task.tries))
        with torch.enable_grad():
            maps = shares(task.attribution.map(twin, adv, task.labels, create_graph=True, weights=False))
            away = (maps - target).square().sum() / target.square().sum()
            kept = F.mse_loss(task.model(adv).softmax(1), before)
            (adv.grad,) = torch.autograd.grad(away + hold * kept, adv)
        adam.step()
        with torch.no_grad():
            adv.copy_(project(adv, task.images, task.eps))
        yield adv.detach().clone()


def corners(task: Task) -> Iterator[Tensor]:
    """Random corners of the ball."""
    while True:
        signs = torch.empty_like(task.images).normal_(generator=task.generator).sign()
        yield project(task.images + 2 * task.eps * signs, task.images, task.eps)


def uniform(task: Task) -> Iterator[Tensor]:
    """Uniform draws, as those of Captum's ``sensitivity_max``."""
    while True:
        noise = torch.empty_like(task.images).uniform_(-task.eps, task.eps, generator=task.generator)
        yield (task.images + noise).clamp(0, 1)


RIVALS = {
    "topk": Rival("IFIA top-k, steps eps/15 (Ghorbani)", signed_steps(hf.TopKGoal(), 1 / 15)),
    "kendall": Rival("IFIA kendall (ours)", signed_steps(hf.KendallGoal(), 1 / 15)),
    "signs": Rival("random signs", corners, gradients=False),
    "adam": Rival("targeted by Adam (Dombrowski)", adam_towards_a_map),
    "chen": Rival("IFIA top-k, steps eps/30 (Chen)", signed_steps(hf.TopKGoal(), 1 / 30)),
    "mass": Rival("IFIA mass centre (Ghorbani)", signed_steps(hf.MassCenterGoal(), 1 / 15)),
    "targeted": Rival("IFIA targeted (Ghorbani)", signed_steps(hf.TargetGoal("next"), 1 / 15)),
    "pearson": Rival(
        "Pearson from a random start (Ivankay)", signed_steps(PearsonGoal(), 1 / 15, beta=50, random_start=True)
    ),
    "uniform": Rival("uniform draws (Captum)", uniform, gradients=False),
}
