"""Square Attack: a search that only asks for logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.attacks.base import Attack, per_image, project
from holdfast.attacks.noise import drawn_seed, noise_of
from holdfast.attacks.pgd import margin
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which the area of squares is halved."""


@dataclass(frozen=True)
class Square(Attack):
    """Square Attack (Andriushchenko et al., 2020, https://arxiv.org/abs/1912.00049), a member of AutoAttack.

    Starts from vertical stripes at the faces of the ball; each query moves one random square of every image that still
    stands to corners of the ball, and is kept where the margin falls. Uses no gradient, so that it sees through masked
    ones. Distance measure: Linf. Random numbers depend on the generator's first number, and the stripes on each image's
    own pixels.

    Args:
        eps: size of the perturbation, pixels in [0, 1].
        queries: forward passes per image, at most.
        share: of the image that the first squares cover.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: at most ``queries + 1`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> Square(eps=0.1, queries=20)(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 2, 2])
    """

    eps: float = 8 / 255
    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("share", self.share)
        check_count("queries", self.queries)

    @property
    def cost(self) -> float:
        return self.queries + 1.0

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        seed = drawn_seed(generator)
        draws = torch.Generator().manual_seed(seed)
        stripes = noise_of(images[:, :, :1], seed, "stripes").sign()
        with torch.no_grad():
            clean = margin(model(images), labels)
            adv = (images + self.eps * stripes).clamp(0, 1)
            lowest = margin(model(adv), labels)
            adv = torch.where(per_image(clean <= 0, adv), images, adv)
            lowest = torch.where(clean <= 0, clean, lowest)
            for query in range(self.queries):
                delta = self._square(images, query, draws)
                rows = (lowest > 0).nonzero()[:, 0]
                if not len(rows):
                    break
                proposal = project(adv[rows] + delta, images[rows], self.eps)
                value = margin(model(proposal), labels[rows])
                better = value < lowest[rows]
                lowest[rows[better]] = value[better]
                adv[rows[better]] = proposal[better]
        return adv

    def _square(self, images: Tensor, query: int, draws: torch.Generator) -> Tensor:
        """One square of ``2 eps`` of either sign per channel, the same for every image."""
        _, channels, height, width = images.shape
        at = query * 10_000 // self.queries
        share = self.share / 2 ** sum(at > h for h in HALVINGS)
        side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        top = int(torch.randint(height - side + 1, (), generator=draws, device=draws.device))
        left = int(torch.randint(width - side + 1, (), generator=draws, device=draws.device))
        signs = 2.0 * torch.randint(2, (channels, 1, 1), generator=draws, device=draws.device) - 1
        delta = torch.zeros(channels, height, width, device=draws.device)
        delta[:, top : top + side, left : left + side] = 2 * self.eps * signs
        return delta.to(images)
