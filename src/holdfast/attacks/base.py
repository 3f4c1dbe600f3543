"""What an attack is, and the geometry and the loop that all gradient attacks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from holdfast.attacks.noise import drawn_seed, noise_of
from holdfast.attribution.base import check_target
from holdfast.errors import HoldfastError, NotFinite, unknown_name
from holdfast.gradient.points import explained
from holdfast.gradient.second_order import first_order
from holdfast.models.state import Model, evaluating
from holdfast.parts import Part
from holdfast.seeding import ImageGenerator, fresh_generator
from holdfast.validate import (
    ONE_OUTPUT,
    check_count,
    check_images,
    check_labels,
    check_positive,
    described,
    question_radius,
)

Norm = Literal["Linf", "L2"]
Images = Float[Tensor, "B *image"]
Labels = Int64[Tensor, " B"]


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """One value per image in the shape that multiplies images."""
    return values.view(-1, *[1] * (like.ndim - 1))


def as_grid(images: Tensor) -> Tensor:
    """Images (B, C, H, W) as they are; all else as one row of its features (B, 1, 1, D)."""
    return images if images.ndim == 4 else images.flatten(1)[:, None, None, :]


def lost(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether another class than the label is predicted; logits with NaN predict none."""
    return (logits.argmax(1) != labels) & ~logits.isnan().any(1)


def unit(x: Tensor) -> Tensor:
    """Each image's vector at length 1 (0 stays 0), also where its square would vanish or overflow."""
    largest = per_image(x.flatten(1).abs().amax(1), x)
    scaled = x / torch.where(largest > 0, largest, 1)
    return scaled / per_image(scaled.flatten(1).norm(dim=1), x).clamp(min=1)


def project(adv: Tensor, images: Tensor, eps: float, norm: Norm = "Linf") -> Tensor:
    """The nearest point to ``adv`` in the ball of radius ``eps`` around ``images``, clamped to [0, 1].

    >>> project(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.05]]), 0.1)
    tensor([[0.6000, 0.1000]])
    """
    delta = adv - images
    if norm == "Linf":
        return (images + delta.clamp(-eps, eps)).clamp(0, 1)
    length = per_image(delta.flatten(1).norm(dim=1), delta)
    return (images + torch.where(length > eps, eps * unit(delta), delta)).clamp(0, 1)


def step(adv: Tensor, gradient: Tensor, alpha: float | Tensor, norm: Norm = "Linf") -> Tensor:
    """One step of length ``alpha`` in the direction of steepest ascent of the norm; NaN where the gradient is."""
    if norm == "L2":
        return adv + alpha * unit(gradient)
    return adv + alpha * gradient.sign().masked_fill(gradient.isnan(), float("nan"))  # torch's sign of NaN is 0


def ascent_of(value: Tensor, adv: Tensor) -> Tensor:
    """The gradient of ``value`` to the images; 0 where it does not depend on them (the map of a linear network)."""
    if not value.requires_grad:
        return torch.zeros_like(adv)
    (gradient,) = torch.autograd.grad(value, adv, allow_unused=True)
    return torch.zeros_like(adv) if gradient is None else gradient


def uniform(images: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Numbers in [-size, size] of the shape of ``images``; an `ImageGenerator` gives each image its own."""
    if isinstance(generator, ImageGenerator):
        return size * noise_of(images, drawn_seed(generator), "uniform")
    return torch.empty_like(images).uniform_(-size, size, generator=generator)


def normal(images: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers of the shape of ``images``; an `ImageGenerator` gives each image its own."""
    if isinstance(generator, ImageGenerator):
        return noise_of(images, drawn_seed(generator), "normal", normal=True)
    return torch.empty_like(images).normal_(generator=generator)


def random_start(images: Tensor, eps: float, norm: Norm, generator: torch.Generator) -> Tensor:
    """A uniform point of the ball (Linf) or of a random radius in a random direction (L2), inside [0, 1]."""
    if norm == "Linf":
        noise = uniform(images, eps, generator)
    else:
        direction = normal(images, generator)
        radius = uniform(images, 1.0, generator).flatten(1)[:, 0].abs()
        noise = eps * per_image(radius, images) * unit(direction)
    return (images + noise).clamp(0, 1)


@dataclass(frozen=True)
class Attacked:
    """What an attack on predictions found: one entry per image."""

    adv_images: Tensor
    succeeded: Tensor
    """Whether the prediction is no longer the label."""


@dataclass(frozen=True)
class Attack(Part, ABC):
    """An attack is its settings; ``attack(model, x, y)`` -> adversarial images.

    One of your own is a frozen dataclass that defines `perturb`.
    """

    kind: ClassVar[str] = "attack"
    package: ClassVar[str | tuple[str, ...]] = ("holdfast.attacks", "holdfast.objectives")

    @property
    def cost(self) -> float:
        """Forward passes per image, as far as the settings tell."""
        return 0.0

    def __call__(self, model: Model, x: Images, y: Labels, *, generator: torch.Generator | None = None) -> Images:
        """Adversarial images of the shape of ``x``, in the ball and in [0, 1], detached.

        The model runs in evaluation mode and is left as it was. ``generator`` is the source of randomness; None
        draws a fresh seed from the operating system.

        Raises:
            HoldfastError: pixels outside [0, 1], labels that are no classes, a gradient that is NaN.
        """
        with borrowed(self, model, x, y) as (images, labels):
            return sound(self, self.perturb(model, images, labels, generator or fresh_generator(x.device)), x)

    def run(self, model: Model, x: Images, y: Labels, *, generator: torch.Generator | None = None) -> Attacked:
        """The attack with its accounting."""
        adv = self(model, x, y, generator=generator)
        with evaluating(model), torch.no_grad():
            return Attacked(adv, lost(model(adv), y))

    def on(self, model: Model, *, generator: torch.Generator | None = None) -> Callable[[Images, Labels], Images]:
        """The attack bound to a model, called as ``attack(images, labels)``."""
        return lambda images, labels: self(model, images, labels, generator=generator)

    @abstractmethod
    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The attack itself: inputs are checked, the model is in evaluation mode."""


@contextmanager
def borrowed(attack: Part, model: Model, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Inside, the model is in evaluation mode; yields copies of the checked inputs, outside any graph."""
    question_radius(getattr(attack, "eps", 0.0), getattr(attack, "norm", "Linf"))
    check_images(x)
    check_labels(y, len(x))
    if check_target(model, x, y) < 2:
        raise HoldfastError(f"the model has one logit, which no attack turns into another class: {ONE_OUTPUT}")
    with torch.inference_mode(False), evaluating(model), explained():
        yield x.detach().clone(), y.clone()


def sound(attack: Part, adv: Tensor, images: Tensor) -> Tensor:
    """What an attack made of ``images``, without a graph; an error where that is no image of their kind."""
    if not isinstance(adv, Tensor) or adv.shape != images.shape or adv.dtype != images.dtype:
        raise HoldfastError(
            f"{type(attack).__name__} made {described(adv)} of images that are {described(images)}; "
            "return images of their type and shape."
        )
    low, high = torch.stack(torch.aminmax(adv.detach())).tolist()
    if low != low:
        broken = adv.flatten(1).isnan().any(1)
        raise NotFinite(
            f"the gradient at image {int(broken.nonzero()[0])} of the batch is NaN; find out where the network "
            "breaks (a square root or a logarithm at 0?)."
        )
    if low < 0 or high > 1:
        raise HoldfastError(
            f"{type(attack).__name__} made pixels in [{low:.4g}, {high:.4g}]; cut them to [0, 1] with clamp(0, 1)."
        )
    return adv.detach() if adv.requires_grad else adv


@dataclass(frozen=True)
class GradientAscent(Attack):
    """Projected steepest ascent of a quantity per image that subclasses define."""

    eps: float = 8 / 255
    alpha: float = 2 / 255
    steps: int = 10
    _: KW_ONLY
    norm: Norm = "Linf"
    restarts: int = 1

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("alpha", self.alpha)
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)
        if self.norm not in get_args(Norm):
            raise unknown_name("norm", str(self.norm), get_args(Norm))

    @property
    def cost(self) -> float:
        return 2.0 * self.steps * self.restarts

    def prepare(self, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `value` compares with (labels, clean logits, a clean map), one entry per image, computed once."""
        return (labels,)

    @abstractmethod
    def value(self, model: Model, adv: Tensor, *reference: Tensor) -> Float[Tensor, " B"]:
        """The quantity to ascend, one number per image, differentiable to ``adv``."""

    def gradient(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        """The gradient of the sum of `value`, so that the size of the batch changes nothing."""
        with torch.enable_grad(), first_order(adv.device):
            adv = adv.detach().requires_grad_()
            return torch.autograd.grad(self.value(model, adv, *reference).sum(), adv)[0]

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Where a run starts."""
        return images.clone()

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        reference = self.prepare(model, images, labels)
        best = self.ascend(model, images, reference, generator)
        if self.restarts == 1:
            return best
        best_score = self.score(model, best, labels, *reference)
        for _ in range(self.restarts - 1):
            adv = self.ascend(model, images, reference, generator)
            score = self.score(model, adv, labels, *reference)
            worse = (score > best_score) | score.isnan()
            best_score = torch.where(worse, score, best_score)
            best = torch.where(per_image(worse, adv), adv, best)
        return best

    def ascend(self, model: Model, images: Tensor, reference: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """One run."""
        return self.climb(model, self.start(images, generator), images, reference)

    def climb(self, model: Model, adv: Tensor, images: Tensor, reference: tuple[Tensor, ...]) -> Tensor:
        """The steps of one run from ``adv``."""
        for _ in range(self.steps):
            gradient = self.gradient(model, adv, *reference)
            adv = project(step(adv, gradient, self.alpha, self.norm), images, self.eps, self.norm)
        return adv

    def score(self, model: Model, adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
        """What restarts are compared by; higher is worse: a misclassified image beats every classified one."""
        with torch.no_grad():
            wrong = model(adv).argmax(1) != labels
            loss = self.value(model, adv, *reference).double()  # in float32 the offset would swallow small differences
        return torch.where(wrong, loss.abs() + 1e6, loss)
