"""First-order attacks on the prediction: FGSM, PGD, TPGD (the inner attack of TRADES) and CW in Linf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks.base import Attack, GradientAscent, normal, random_start
from holdfast.models.state import Model
from holdfast.validate import check_positive


@dataclass(frozen=True)
class PGD(GradientAscent):
    """Projected gradient descent, the attack of adversarial training.

    Madry et al., 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks"
    (https://arxiv.org/abs/1706.06083). Distance measure: Linf or L2.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        random_start: start from a uniform point of the ball.
        norm: "Linf" or "L2".
        restarts: runs from new random starts; for each image the worst is returned.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: 2 forward passes per image and step (3 where the model's weights require gradients).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> adv = PGD(eps=0.1, alpha=0.03, steps=5)(net, images, labels)
        >>> bool((adv - images).abs().max() <= 0.1 + 1e-6)
        True
    """

    random_start: bool = True

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return random_start(images, self.eps, self.norm, generator) if self.random_start else images.clone()

    def value(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        return F.cross_entropy(model(adv), reference[0], reduction="none")


@dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of size ``eps``, no random start.

    Goodfellow et al., 2015, "Explaining and Harnessing Adversarial Examples"
    (https://arxiv.org/abs/1412.6572). Distance measure: Linf.

    Args:
        eps: size of the step, pixels in [0, 1].

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> FGSM(eps=8 / 255)(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)

    @property
    def cost(self) -> float:
        return 2.0

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        one_step = PGD(self.eps, self.eps or 1.0, 1, random_start=False)
        return one_step.perturb(model, images, labels, generator)


@dataclass(frozen=True)
class TPGD(GradientAscent):
    """PGD on the KL divergence from the clean prediction, the inner attack of TRADES.

    Zhang et al., 2019, "Theoretically Principled Trade-off between Robustness and Accuracy"
    (https://arxiv.org/abs/1901.08573). Distance measure: Linf. Starts at ``x + 0.001 * N(0, 1)``, clamped to [0, 1].

    Args and shape: as `PGD`; labels serve only to choose among restarts.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> attack = TPGD(eps=0.1, alpha=0.03, steps=5)
        >>> attack(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    START_NOISE: ClassVar[float] = 0.001

    def prepare(self, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            return (F.softmax(model(images), dim=1),)

    def value(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(model(adv), dim=1), reference[0], reduction="none").sum(1)

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return (images + self.START_NOISE * normal(images, generator)).clamp(0, 1)


@dataclass(frozen=True)
class CWInf(PGD):
    """PGD on the margin ``max_{j != y} z_j - z_y`` of Carlini and Wagner, in the Linf ball.

    Carlini and Wagner, 2017, "Towards Evaluating the Robustness of Neural Networks"
    (https://arxiv.org/abs/1608.04644), in the projected form that TRADES and MART evaluate with.

    Args and shape: as `PGD`.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> attack = CWInf(eps=0.1, alpha=0.03, steps=5)
        >>> attack(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    def value(self, model: Model, adv: Tensor, *reference: Tensor) -> Tensor:
        return -margin(model(adv), reference[0])


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """``z_y - max_{j != y} z_j`` per image: above 0 where the label is predicted."""
    true = logits.gather(1, labels[:, None])[:, 0]
    return true - logits.scatter(1, labels[:, None], float("-inf")).amax(1)
