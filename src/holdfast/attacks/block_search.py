"""A search that only asks for maps: sign flips on blocks of an image, for explanations without gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import AttributionAttack, Found
from holdfast.attacks.base import as_grid
from holdfast.attacks.noise import drawn_seed, image_generator
from holdfast.attacks.worst import SHARE, Compared, Values, Worst
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.errors import unknown_name
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the budget at which blocks are halved (Andriushchenko et al., 2020: 10, 50, 200, ... of 10,000)."""


@dataclass(frozen=True)
class BlockSearch(AttributionAttack):
    """Random search on square blocks at the faces of the ball, as Square Attack, on the similarity of maps itself.

    Andriushchenko et al., 2020 (https://arxiv.org/abs/1912.00049), with the score of maps in place of the margin.
    A change is kept if the label stays and the score does not rise; to that of "topk", which has plateaus, the share of
    the clean top k in the map is added. Distance measure: Linf. An image's random numbers
    depend on the generator's first number and its pixels alone.

    Args:
        eps: size of the perturbation, pixels in [0, 1].
        queries: maps asked for per image, at most.
        k: size of the top-k set, where ``select`` is "topk".
        attribution: whose map is attacked.
        select: the score to minimise, "topk", "kendall" or "cosine" (of signed maps).
        share: of the image that the first blocks cover.

    Shape: images (B, ...) in [0, 1], labels int64 (B,) -> adversarial images; blocks are squares on (B, C, H, W) and
    intervals of the flat image otherwise.

    Cost: at most ``queries * (1 + 2 * attribution.points)`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> BlockSearch(eps=0.1, queries=5, k=4)(net, images, net(images).argmax(1)).shape
        torch.Size([3, 1, 4, 4])
    """

    eps: float = 8 / 255
    queries: int = 1000
    k: int = 100
    attribution: Attribution = IntegratedGradients(n_steps=20)
    select: Compared = "topk"
    share: float = 0.1

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("share", self.share)
        check_count("queries", self.queries)
        check_count("k", self.k)
        if self.select not in get_args(Compared):
            raise unknown_name("select", str(self.select), get_args(Compared))

    @property
    def cost(self) -> float:
        return self.queries * (1.0 + 2 * self.attribution.points)

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        worst = Worst(model, images, labels, attribution, self.compared, self.k)
        seed = drawn_seed(generator)
        rows = worst.right.nonzero()[:, 0]
        if len(rows):
            self.improve(worst, rows, images, seed)
        return worst.found(self.select)

    @property
    def compared(self) -> tuple[str, ...]:
        """The scores that a search goes by."""
        return (self.select, SHARE) if self.select == "topk" else (self.select,)

    def _guide(self, values: Values) -> Tensor:
        return torch.stack([values[m] for m in self.compared]).sum(0)

    def improve(self, worst: Worst, rows: Tensor, images: Tensor, seed: int, member: int = 0) -> Values:
        """Search from the worst of each of ``rows`` so far and let what is found into ``worst``; the scores reached."""
        x = as_grid(images[rows])
        draws = [image_generator(image, seed, f"blocks {self.select}") for image in images[rows]]
        found = worst.images[self.select][rows]
        adv, current = as_grid(found), self._guide(worst.values(found, rows))
        stripes = torch.stack([_signs(x.shape[1] * x.shape[3], g) for g in draws]).to(x)
        stripes = (x + self.eps * stripes.view(len(x), x.shape[1], 1, x.shape[3])).clamp(0, 1)
        for query in range(self.queries):
            proposal = self._with_blocks(adv, x, draws, query) if query else stripes
            values = worst.values(proposal.reshape(found.shape), rows)
            worst.take(proposal.reshape(found.shape), rows, values, member, torch.full_like(rows, query + 1))
            now = self._guide(values)
            better = now <= current
            adv = torch.where(better.view(-1, 1, 1, 1), proposal, adv)
            current = torch.where(better, now, current)
        return {m: score[rows] for m, score in worst.score.items()}

    def _with_blocks(self, adv: Tensor, x: Tensor, draws: list[torch.Generator], query: int) -> Tensor:
        """One block of every image moved to a corner of the ball."""
        height, width = x.shape[2:]
        share = self.share / 2 ** sum(query / self.queries >= at for at in HALVINGS)
        side = max(round(math.sqrt(share * height * width)), 1)
        down, right = min(side, height), min(side if height > 1 else round(share * width), width)
        right = max(right, 1)
        adv = adv.clone()
        for i, g in enumerate(draws):
            top = int(torch.randint(height - down + 1, (), generator=g, device=g.device))
            left = int(torch.randint(width - right + 1, (), generator=g, device=g.device))
            signs = _signs(x.shape[1], g).to(x).view(-1, 1, 1)
            block = (i, slice(None), slice(top, top + down), slice(left, left + right))
            moved = (x[block] + self.eps * signs).clamp(0, 1)
            adv[block] = (x[block] - self.eps * signs).clamp(0, 1) if torch.equal(moved, adv[block]) else moved
        return adv


def _signs(count: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(2, (count,), generator=generator, device=generator.device) - 1
