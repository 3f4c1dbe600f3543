"""Published attacks on attributions, each as the images that it tries one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import holdfast as hf
from holdfast.attacks import ifia
from holdfast.attacks.base import project
from holdfast.attacks.goals import shares
from holdfast.attribution.base import Attribution
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


def signed_steps(
    goal: hf.Goal, share: float, beta: float = BETA, *, random_start: bool = False
) -> Callable[[Task], Iterator[Tensor]]:
    """Steps of ``share * eps`` along the sign of the goal's gradient on the softplus twin."""

    def attempts(task: Task) -> Iterator[Tensor]:
        clean = task.attribution.map(task.model, task.images, task.labels).detach()
        start = next(uniform(task)) if random_start else task.images
        return ifia.signed_steps(
            SoftplusTwin(task.model, beta),
            task.images,
            task.labels,
            task.attribution,
            goal,
            goal.reference_of(clean, task.k),
            start,
            share * task.eps,
            task.eps,
        )

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
        "Pearson from a random start (Ivankay)", signed_steps(hf.PearsonGoal(), 1 / 15, beta=50, random_start=True)
    ),
    "uniform": Rival("uniform draws (Captum)", uniform, gradients=False),
}
