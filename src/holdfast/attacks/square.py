"""Square Attack: a search that only asks for logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.attacks.base import Attack, as_grid, per_image, project
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

    Shape: images (B, ...) in [0, 1], labels int64 (B,) -> adversarial images; squares are intervals of the flat image
    where that is not (B, C, H, W).

    Cost: at most ``queries + 2`` forward passes per image.

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
        return self.queries + 2.0

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        seed = drawn_seed(generator)
        draws = torch.Generator().manual_seed(seed)
        grid = as_grid(images)
        stripes = noise_of(grid[:, :, :1], seed, "stripes").sign()
        with torch.no_grad():
            clean = standing_margin(model(images), labels)
            adv = (grid + self.eps * stripes).clamp(0, 1).reshape(images.shape)
            lowest = standing_margin(model(adv), labels)
            stay = (clean <= 0) | lowest.isinf()
            adv = torch.where(per_image(stay, adv), images, adv)
            lowest = torch.where(stay, clean, lowest)
            for query in range(self.queries):
                delta = self._square(grid, query, draws).view(images.shape[1:])
                rows = (lowest > 0).nonzero()[:, 0]
                if not len(rows):
                    break
                proposal = project(adv[rows] + delta, images[rows], self.eps)
                value = standing_margin(model(proposal), labels[rows])
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
        right = side if height > 1 else min(max(round(share * width), 1), width)
        top = int(torch.randint(height - side + 1, (), generator=draws, device=draws.device))
        left = int(torch.randint(width - right + 1, (), generator=draws, device=draws.device))
        signs = 2.0 * torch.randint(2, (channels, 1, 1), generator=draws, device=draws.device) - 1
        delta = torch.zeros(channels, height, width, device=draws.device)
        delta[:, top : top + side, left : left + right] = 2 * self.eps * signs
        return delta.to(images)


def standing_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """`margin`, above 0 also where another class ties with the label that is predicted; infinite where it is NaN."""
    value = margin(logits, labels)
    tied = (value == 0) & (logits.argmax(1) == labels)
    return value.masked_fill(tied, torch.finfo(value.dtype).tiny).masked_fill(value.isnan(), float("inf"))
