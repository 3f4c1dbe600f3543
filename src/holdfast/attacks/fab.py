"""FAB: the nearest misclassified image, by projections onto where two logits are equal after linearisation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import get_args

import torch
from torch import Tensor

from holdfast.attacks.apgd import likeliest_others
from holdfast.attacks.base import Attack, Norm, lost, per_image
from holdfast.errors import unknown_name
from holdfast.gradient.second_order import first_order
from holdfast.metrics.pairs import real
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class FAB(Attack):
    """Targeted fast adaptive boundary attack (Croce and Hein, 2020, https://arxiv.org/abs/1907.02044), of AutoAttack.

    Looks for the nearest misclassified image instead of the highest loss in a ball, so that no step size and no scale
    of the logits matters. Every step goes to the hyperplane on which the linearised logits of label and target are
    equal, a little beyond it, and a little towards the projection of the clean image; from a misclassified
    point it goes back towards the clean image. Distance measure: Linf or L2. Without random numbers.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        steps: towards each target.
        norm: "Linf" or "L2".
        targets: how many of the likeliest other classes are tried, in turn.
        pull: largest weight of the clean image's projection.
        beyond: how far a step goes, as a multiple of the projection.
        back: what is left of a misclassified image's perturbation when the search goes on.

    Returns the misclassified image where one was found in the ball, else the clean one.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: at most ``3 * steps * targets`` forward passes per image while it stands.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> adv = FAB(eps=0.1, steps=5)(net, images, labels)
        >>> bool((adv - images).abs().max() <= 0.1)
        True
    """

    eps: float = 8 / 255
    steps: int = 100
    _: KW_ONLY
    norm: Norm = "Linf"
    targets: int = 9
    pull: float = 0.1
    beyond: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        for name in ("pull", "beyond", "back"):
            check_positive(name, getattr(self, name))
        for name in ("steps", "targets"):
            check_count(name, getattr(self, name))
        if self.norm not in get_args(Norm):
            raise unknown_name("norm", str(self.norm), get_args(Norm))

    @property
    def cost(self) -> float:
        return 3.0 * self.steps * self.targets

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            logits = model(images)
        others = likeliest_others(logits, labels)
        stands = logits.argmax(1) == labels
        found = images.clone()
        for way in range(min(self.targets, logits.shape[1] - 1)):
            rows = stands.nonzero()[:, 0]
            if not len(rows):
                break
            adv, inside = self._approach(model, images[rows], labels[rows], others[rows, way])
            new = inside | adv.flatten(1).isnan().any(1)
            found[rows[new]] = adv[new]
            stands[rows] = ~inside
        return found

    def _approach(self, model: Model, images: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest misclassified images found, and whether they are in the ball; NaN where a gradient was."""
        adv = nearest = images
        broken = torch.zeros_like(labels, dtype=torch.bool)
        distance = images.new_full((len(images),), float("inf"))
        for _ in range(self.steps):
            gap, gradient = self._boundary(model, adv, labels, target)
            broken = broken | gradient.flatten(1).isnan().any(1)
            from_clean = gap + (gradient * (images - adv)).flatten(1).sum(1)
            here = project_onto_hyperplane(adv, gradient, gap, self.norm)
            clean = project_onto_hyperplane(images, gradient, from_clean, self.norm)
            far, near = (self._length(delta).clamp(min=1e-8) for delta in (here, clean))
            share = per_image((far / (far + near)).clamp(max=self.pull), adv)
            adv = (1 - share) * (adv + self.beyond * here) + share * (images + self.beyond * clean)
            adv = adv.clamp(0, 1)
            with torch.no_grad():
                wrong = lost(model(adv), labels)
            length = self._length(adv - images)
            nearer = wrong & (length < distance)
            nearest = torch.where(per_image(nearer, adv), adv, nearest)
            distance = torch.where(nearer, length, distance)
            adv = torch.where(per_image(wrong, adv), images + self.back * (adv - images), adv)
        inside = distance <= self.eps
        return nearest.masked_fill(per_image(broken & ~inside, nearest), float("nan")), inside

    def _boundary(self, model: Model, adv: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The target's logit less the label's, and its gradient."""
        with torch.enable_grad(), first_order(adv.device):
            adv = adv.detach().requires_grad_()
            logits = model(adv)
            gap = (logits.gather(1, target[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
            (gradient,) = torch.autograd.grad(gap.sum(), adv)
        return gap.detach().to(adv.dtype), gradient

    def _length(self, delta: Tensor) -> Tensor:
        flat = delta.flatten(1)
        return flat.norm(dim=1) if self.norm == "L2" else flat.abs().amax(1)


def project_onto_hyperplane(points: Tensor, normal: Tensor, value: Tensor, norm: Norm = "Linf") -> Tensor:
    """The shortest moves of ``points`` inside [0, 1] that bring ``value + <normal, move>`` to 0, or as near as it gets.

    Croce and Hein, 2020, section 2.2. On the way every feature moves towards the face that changes the value the
    right way, at speed 1 (Linf) or ``|normal|`` (L2), until it gets there. The change of the value is then concave and
    piecewise linear in time, with its kinks where features arrive: sorted, they give the time at which it is enough.

    Args:
        points, normal: (B, ...).
        value: (B,).

    >>> project_onto_hyperplane(torch.tensor([[0.9, 0.5]]), torch.tensor([[1.0, 1.0]]), torch.tensor([-0.4]))
    tensor([[0.1000, 0.3000]])
    """
    x, w = points.flatten(1), -normal.flatten(1) * value.sign()[:, None]
    largest = torch.frexp(real(w).abs().amax(1)).exponent.clamp(-100, 100)
    w, value = torch.ldexp(w, -largest[:, None]), torch.ldexp(value, -largest)  # exact, and no square is 0 or infinite
    room = torch.where(w > 0, 1 - x, x) * (w != 0)
    speed = torch.ones_like(w) if norm == "Linf" else w.abs()
    arrival, order = (room / speed.clamp(min=torch.finfo(w.dtype).tiny)).sort(dim=1)
    rate = (w.abs() * speed).gather(1, order)
    arrived = (rate * arrival).cumsum(1)
    moving = rate.sum(1, keepdim=True) - rate.cumsum(1)
    reached = arrived + arrival * moving
    needed = value.abs()[:, None]
    at = torch.searchsorted(reached.contiguous(), needed).clamp(max=x.shape[1] - 1)
    before, left = arrived - rate * arrival, moving + rate
    time = (needed - before.gather(1, at)) / left.gather(1, at).clamp(min=torch.finfo(w.dtype).tiny)
    time = time.clamp(0, torch.finfo(w.dtype).max)  # infinite without a gradient
    return (w.sign() * torch.minimum(time * speed, room)).view_as(points)
