"""The geometry and the loop that all gradient attacks share; each attack supplies only what it ascends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeVar, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from holdfast.attribution.base import check_target
from holdfast.errors import unknown_name
from holdfast.gradient.second_order import first_order
from holdfast.models.state import Model, evaluating
from holdfast.validate import (
    check_count,
    check_images,
    check_labels,
    check_positive,
)

Norm = Literal["Linf", "L2"]
Found = TypeVar("Found")
Images = Float[Tensor, "B *image"]
Labels = Int64[Tensor, " B"]


def _lengths(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).view(-1, *[1] * (x.ndim - 1))


def project(adv: Tensor, images: Tensor, eps: float, norm: Norm = "Linf") -> Tensor:
    """The nearest point to ``adv`` in the ball of radius ``eps`` around ``images`` and in [0, 1].

    >>> project(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.05]]), 0.1)
    tensor([[0.6000, 0.1000]])
    """
    delta = adv - images
    if norm == "Linf":
        return (images + delta.clamp(-eps, eps)).clamp(0, 1)
    return (images + delta * (eps / _lengths(delta).clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)


def step(adv: Tensor, gradient: Tensor, alpha: float, norm: Norm = "Linf") -> Tensor:
    """One step of length ``alpha`` in the direction of steepest ascent of the norm."""
    if norm == "Linf":
        return adv + alpha * gradient.sign()
    return adv + alpha * gradient / _lengths(gradient).clamp(min=1e-12)


def random_start(images: Tensor, eps: float, norm: Norm, generator: torch.Generator) -> Tensor:
    """A uniform point of the ball (Linf) or of a random radius in a random direction (L2), inside [0, 1]."""
    if norm == "Linf":
        noise = torch.empty_like(images).uniform_(-eps, eps, generator=generator)
    else:
        noise = torch.empty_like(images).normal_(generator=generator)
        radius = torch.rand(len(images), generator=generator, device=images.device, dtype=images.dtype)
        noise = noise * (eps * radius.view(-1, *[1] * (images.ndim - 1)) / _lengths(noise))
    return (images + noise).clamp(0, 1)


def fresh_generator(device: torch.device) -> torch.Generator:
    """A generator seeded by the operating system, so that the global one is never touched."""
    generator = torch.Generator(device)
    generator.seed()
    return generator


class Attack(ABC):
    """An attack bound to a model, called as ``attack(images, labels)`` -> adversarial images."""

    def __init__(self, model: Model, *, eps: float, generator: torch.Generator | None = None) -> None:
        check_positive("eps", eps, zero=True)
        self.model = model
        self.eps = eps
        self.generator = generator

    def __call__(self, images: Images, labels: Labels) -> Images:
        """Adversarial images of the same shape, inside the eps-ball and [0, 1], detached."""
        return self._guarded(images, labels, self.perturb)

    def _guarded(self, images: Tensor, labels: Tensor, perturb: Callable[[Tensor, Tensor], Found]) -> Found:
        self._check(images, labels)
        with evaluating(self.model):
            return perturb(images.detach(), labels)

    def _check(self, images: Tensor, labels: Tensor) -> None:
        check_images(images)
        check_labels(labels, len(images))
        check_target(self.model, images, labels)

    @abstractmethod
    def perturb(self, images: Tensor, labels: Tensor) -> Tensor:
        """The attack itself: inputs are checked, the model is in evaluation mode."""


class GradientAscent(Attack):
    """Projected steepest ascent of a per-example loss that subclasses define."""

    def __init__(
        self,
        model: Model,
        *,
        eps: float,
        alpha: float,
        steps: int,
        random_start: bool = True,
        norm: Norm = "Linf",
        restarts: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(model, eps=eps, generator=generator)
        check_positive("alpha", alpha)
        check_count("steps", steps)
        check_count("restarts", restarts)
        if norm not in get_args(Norm):
            raise unknown_name("norm", str(norm), get_args(Norm))
        self.alpha = alpha
        self.steps = steps
        self.random_start = random_start
        self.norm: Norm = norm
        self.restarts = restarts

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `value` compares with (the labels, the clean logits, a clean attribution), computed once.

        Each has one entry an image.
        """
        return (labels,)

    @abstractmethod
    def value(self, adv: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """The quantity to ascend, one number an image, differentiable to ``adv``."""

    def followed(self, adv: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """What the steps follow the gradient of: `value`, or a smoother stand-in for it."""
        return self.value(adv, *reference)

    def direction(self, adv: Tensor, *reference: Tensor) -> Tensor:
        """The gradient of `followed`."""
        return self._gradient(adv, *reference)

    def _gradient(self, adv: Tensor, *reference: Tensor) -> Tensor:
        """That of its sum, so that batch size changes nothing."""
        with torch.enable_grad():
            adv = adv.detach().requires_grad_()
            return torch.autograd.grad(self.followed(adv, *reference).sum(), adv)[0]

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if not self.random_start:
            return images.clone()
        return random_start(images, self.eps, self.norm, generator)

    def perturb(self, images: Tensor, labels: Tensor) -> Tensor:
        reference = self.prepare(images, labels)
        generator = self.generator or fresh_generator(images.device)
        best = self._ascend(images, reference, generator)
        if self.restarts == 1:
            return best
        best_score = self._score(best, reference, labels)
        for _ in range(self.restarts - 1):
            adv = self._ascend(images, reference, generator)
            score = self._score(adv, reference, labels)
            better = score > best_score
            best_score = torch.where(better, score, best_score)
            best = torch.where(better.view(-1, *[1] * (adv.ndim - 1)), adv, best)
        return best

    def _ascend(self, images: Tensor, reference: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        return self._climb(self.start(images, generator), images, reference)

    def _climb(self, adv: Tensor, images: Tensor, reference: tuple[Tensor, ...]) -> Tensor:
        for _ in range(self.steps):
            gradient = self.direction(adv, *reference)
            adv = project(step(adv, gradient, self.alpha, self.norm), images, self.eps, self.norm)
        return adv

    def _score(self, adv: Tensor, reference: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """Higher is worse for the model: a misclassified image beats every classified one."""
        with torch.no_grad():
            wrong = self.model(adv).argmax(1) != labels
            loss = self.value(adv, *reference).double()  # in float32 the offset would swallow small differences
        return torch.where(wrong, loss.abs() + 1e6, loss)


class LogitAscent(GradientAscent):
    """Ascent of a loss of the logits."""

    @abstractmethod
    def loss(self, logits: Tensor, reference: Tensor) -> Float[Tensor, " B"]:
        """The loss of each image."""

    def value(self, adv: Tensor, *reference: Tensor) -> Tensor:
        return self.loss(self.model(adv), *reference)

    def _gradient(self, adv: Tensor, *reference: Tensor) -> Tensor:
        with first_order(adv.device):
            return super()._gradient(adv, *reference)
