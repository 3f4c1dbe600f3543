"""First-order attacks on the prediction: FGSM, PGD, TPGD (the inner attack of TRADES) and CW in Linf."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks.base import LogitAscent, Norm
from holdfast.models.state import Model


class PGD(LogitAscent):
    """Projected gradient descent, the attack of adversarial training.

    Madry et al., 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks"
    (https://arxiv.org/abs/1706.06083). Distance measure: Linf or L2.

    Args:
        model: maps images to logits.
        eps: largest perturbation, pixels in [0, 1] (for example ``8 / 255``).
        alpha: step size in the same unit.
        steps: number of steps.
        random_start: start from a uniform point of the ball.
        norm: "Linf" or "L2".
        restarts: runs from new random starts; for each image the worst is returned.
        generator: source of the random starts; None draws a fresh seed from the operating system.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: 3 forward passes a step.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> adv = PGD(net, eps=0.1, alpha=0.03, steps=5)(images, labels)
        >>> bool((adv - images).abs().max() <= 0.1 + 1e-6)
        True
    """

    def loss(self, logits: Tensor, reference: Tensor) -> Tensor:
        return F.cross_entropy(logits, reference, reduction="none")


class FGSM(PGD):
    """Fast gradient sign method: one step of size ``eps``, no random start.

    Goodfellow et al., 2015, "Explaining and Harnessing Adversarial Examples"
    (https://arxiv.org/abs/1412.6572). Distance measure: Linf.

    Args:
        model: maps images to logits.
        eps: size of the step, pixels in [0, 1].

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> FGSM(net, eps=8 / 255)(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    def __init__(self, model: Model, *, eps: float) -> None:
        super().__init__(model, eps=eps, alpha=eps or 1.0, steps=1, random_start=False)


class TPGD(LogitAscent):
    """PGD on the KL divergence from the clean prediction, the inner attack of TRADES.

    Zhang et al., 2019, "Theoretically Principled Trade-off between Robustness and Accuracy"
    (https://arxiv.org/abs/1901.08573). Distance measure: Linf. Starts at ``x + 0.001 * N(0, 1)``.

    Args and shape: as `PGD`; labels serve only to choose among restarts.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> TPGD(net, eps=0.1, alpha=0.03, steps=5)(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    start_noise = 0.001

    def __init__(
        self,
        model: Model,
        *,
        eps: float,
        alpha: float,
        steps: int,
        norm: Norm = "Linf",
        restarts: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(model, eps=eps, alpha=alpha, steps=steps, norm=norm, restarts=restarts, generator=generator)

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            return (F.softmax(self.model(images), dim=1),)

    def loss(self, logits: Tensor, reference: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(logits, dim=1), reference, reduction="none").sum(1)

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(images).normal_(generator=generator)
        return (images + self.start_noise * noise).clamp(0, 1)


class CWInf(LogitAscent):
    """PGD on the margin ``max_{j != y} z_j - z_y`` of Carlini and Wagner, in the Linf ball.

    Carlini and Wagner, 2017, "Towards Evaluating the Robustness of Neural Networks"
    (https://arxiv.org/abs/1608.04644), in the projected form that TRADES and MART evaluate with.

    Args and shape: as `PGD`.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> CWInf(net, eps=0.1, alpha=0.03, steps=5)(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    def loss(self, logits: Tensor, reference: Tensor) -> Tensor:
        true = logits.gather(1, reference[:, None])[:, 0]
        others = logits.scatter(1, reference[:, None], float("-inf"))
        return others.amax(1) - true
