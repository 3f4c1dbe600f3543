"""Auto-PGD: projected ascent that chooses its step sizes itself, on the cross-entropy or on a ratio of logits."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks.base import Attack, Norm, lost, per_image, project, step, unit
from holdfast.attacks.noise import drawn_seed, noise_of
from holdfast.errors import HoldfastError, unknown_name
from holdfast.gradient.second_order import first_order
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

Loss = Literal["ce", "dlr", "targeted"]
CLASSES = {"ce": 2, "dlr": 3, "targeted": 4}
"""How many classes each loss needs."""


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD, members of AutoAttack (Croce and Hein, 2020, https://arxiv.org/abs/2003.01690).

    Ascent with momentum from a step of ``2 eps``, halved at checkpoints where the loss rose in too few steps or found
    nothing better since the last halving; it then goes on from the best point. Distance measure: Linf or L2.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        steps: of each run.
        loss: "ce", the cross-entropy; "dlr", the margin over the gap of the largest and third largest logit; or
            "targeted", the same towards each of the ``targets`` likeliest other classes in turn.
        norm: "Linf" or "L2".
        restarts: runs from new random starts of what still stands.
        targets: classes that "targeted" tries.
        rho: share of steps that must raise the loss between checkpoints.

    Returns a misclassified image where one was found, else the one of the highest loss. Random numbers depend on the
    generator's first number and each image's own pixels alone.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Raises:
        HoldfastError: fewer classes than the loss needs (dlr 3, targeted 4); as any attack.

    Cost: ``2 * (steps + 1) * restarts`` forward passes per image (times ``targets``) while it stands.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> adv = APGD(eps=0.1, steps=5)(net, images, labels)
        >>> bool((adv - images).abs().max() <= 0.1 + 1e-6)
        True
    """

    eps: float = 8 / 255
    steps: int = 100
    loss: Loss = "ce"
    _: KW_ONLY
    norm: Norm = "Linf"
    restarts: int = 1
    targets: int = 9
    rho: float = 0.75

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("rho", self.rho)
        for name in ("steps", "restarts", "targets"):
            check_count(name, getattr(self, name))
        for name, options in (("loss", get_args(Loss)), ("norm", get_args(Norm))):
            if getattr(self, name) not in options:
                raise unknown_name(name, str(getattr(self, name)), options)

    @property
    def cost(self) -> float:
        return 2.0 * (self.steps + 1) * self.restarts * (self.targets if self.loss == "targeted" else 1)

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        seed = drawn_seed(generator)
        with torch.no_grad():
            logits = model(images)
        classes = logits.shape[1]
        if classes < CLASSES[self.loss]:
            needed = CLASSES[self.loss]
            raise HoldfastError(f"the model has {classes} classes; the loss {self.loss} needs {needed}: use ce.")
        others = likeliest_others(logits, labels)
        ways = min(self.targets, classes - 1) if self.loss == "targeted" else 1
        stands = logits.argmax(1) == labels
        found = images.clone()
        best = torch.full((len(images),), float("-inf"), dtype=torch.float64, device=images.device)
        for run in range(self.restarts):
            for way in range(ways):
                rows = stands.nonzero()[:, 0]
                if not len(rows):
                    return found
                start = self._start(images[rows], seed, f"apgd {self.loss} {run} {way}")
                adv, loss, fooled = self._climb(model, images[rows], start, labels[rows], others[rows, way])
                better = fooled | (loss > best[rows]) | loss.isnan()
                found[rows[better]] = adv[better]
                best[rows] = torch.maximum(best[rows], loss.double())
                stands[rows] = ~fooled
        return found

    def _start(self, images: Tensor, seed: int, name: str) -> Tensor:
        """A point on the surface of the ball."""
        noise = noise_of(images, seed, name, normal=self.norm == "L2")
        if self.norm == "L2":
            return (images + self.eps * unit(noise)).clamp(0, 1)
        return (images + self.eps * noise / per_image(noise.flatten(1).abs().amax(1), noise)).clamp(0, 1)

    def _climb(
        self, model: Model, images: Tensor, start: Tensor, labels: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One run: the misclassified or else best images, the highest loss, and whether the label was lost.

        Images and loss are NaN where the gradient was and the label was not lost.
        """
        adv = previous = start
        loss, gradient, wrong = self._ascent(model, adv, labels, target)
        best, best_adv, best_gradient = loss, adv, gradient
        fooled, fooling, broken = wrong, adv, gradient.flatten(1).isnan().any(1)
        size = torch.full_like(loss, 2 * self.eps, dtype=images.dtype)
        period, shorter, shortest = (max(int(share * self.steps), 1) for share in (0.22, 0.03, 0.06))
        rises, since = torch.zeros_like(loss), 0
        best_then, halved_then = best, torch.ones_like(wrong)
        for t in range(self.steps):
            ahead = project(step(adv, gradient, per_image(size, adv), self.norm), images, self.eps, self.norm)
            if t:
                ahead = project(adv + 0.75 * (ahead - adv) + 0.25 * (adv - previous), images, self.eps, self.norm)
            previous, adv, before = adv, ahead, loss
            loss, gradient, wrong = self._ascent(model, adv, labels, target)
            fooling = torch.where(per_image(wrong, adv), adv, fooling)
            fooled, broken = fooled | wrong, broken | gradient.flatten(1).isnan().any(1)
            rises = rises + (loss > before)
            better = loss > best
            best_adv = torch.where(per_image(better, adv), adv, best_adv)
            best_gradient = torch.where(per_image(better, adv), gradient, best_gradient)
            best = torch.where(better, loss, best)
            since += 1
            if since == period:
                halve = (rises <= self.rho * period) | (~halved_then & (best_then >= best))
                size = torch.where(halve, size / 2, size)
                adv = torch.where(per_image(halve, adv), best_adv, adv)
                gradient = torch.where(per_image(halve, adv), best_gradient, gradient)
                loss = torch.where(halve, best, loss)
                best_then, halved_then, rises, since = best, halve, torch.zeros_like(rises), 0
                period = max(period - shorter, shortest)
        broken = broken & ~fooled
        best_adv = best_adv.masked_fill(per_image(broken, adv), float("nan"))
        return torch.where(per_image(fooled, adv), fooling, best_adv), best.masked_fill(broken, float("nan")), fooled

    def _ascent(self, model: Model, adv: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, its gradient, and whether the label is lost."""
        with torch.enable_grad(), first_order(adv.device):
            adv = adv.detach().requires_grad_()
            logits = model(adv)
            loss = self._value(logits, labels, target)
            (gradient,) = torch.autograd.grad(loss.sum(), adv)
        return loss.detach(), gradient, lost(logits.detach(), labels)

    def _value(self, logits: Tensor, labels: Tensor, target: Tensor) -> Tensor:
        if self.loss == "ce":
            return F.cross_entropy(logits, labels, reduction="none")
        ordered = logits.sort(dim=1, descending=True).values
        true = logits.gather(1, labels[:, None])[:, 0]
        if self.loss == "targeted":
            other = logits.gather(1, target[:, None])[:, 0]
            gap = ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
        else:
            other = logits.scatter(1, labels[:, None], float("-inf")).amax(1)
            gap = ordered[:, 0] - ordered[:, 2]
        return (other - true) / (gap + 1e-12)


def likeliest_others(logits: Tensor, labels: Tensor) -> Tensor:
    """All classes (B, K) in the order of their logits, the label last."""
    return logits.scatter(1, labels[:, None], float("-inf")).argsort(dim=1, descending=True, stable=True)
