"""The worst case of each image and metric: what was found so far, and which iterates are worth an exact score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import Found, exactly
from holdfast.attribution.base import Attribution
from holdfast.errors import NotFinite
from holdfast.metrics.pairs import cosine_similarity, real
from holdfast.metrics.rank import check_k, check_ranked, tau_b, topk_indices, topk_share
from holdfast.models.state import Model
from holdfast.validate import check_maps

Compared = Literal["topk", "kendall", "cosine"]
SHARE = "share"
"""Of the clean top k in a map's magnitude: a score that has no plateaus, to go by where the top-k share stays."""
Values = Mapping[str, Tensor]
"""One number per image for each metric."""


def similarity(metric: str, maps: Tensor, clean: Tensor, k: int) -> Tensor:
    """What an attack lowers: the share of the top k and Kendall's tau of magnitudes, or the cosine of signed maps."""
    maps, clean = maps.flatten(1), clean.flatten(1)
    if metric == "cosine":
        return cosine_similarity(maps, clean)
    if metric == "kendall":
        return tau_b(maps.abs(), clean.abs())
    if metric == SHARE:
        size = maps.abs()
        return size.gather(1, topk_indices(clean.abs(), k)).sum(1) / size.sum(1).clamp(min=torch.finfo(size.dtype).tiny)
    return topk_share(maps.abs(), clean.abs(), k)


def chance(metric: str, features: int, k: int) -> float:
    """The mean similarity of unrelated maps, below which nothing is left to attack."""
    return k / features if metric == "topk" else 0.0


class Worst:
    """The running minimum of each metric and image, by exact scores on the network itself, and where it was found.

    Attributes:
        clean: the signed clean maps.
        right: whether an image has its label, without which it cannot be attacked.
        score, images, member, step: for each metric one entry per image; member is -1 and score 1 at the start.
        scored: maps made so far, of all images together.
    """

    def __init__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        attribution: Attribution,
        metrics: tuple[str, ...],
        k: int,
    ) -> None:
        self.model, self.labels, self.attribution, self.k = model, labels, attribution, k
        with exactly(images.device), torch.no_grad():
            self.right = model(images).argmax(1) == labels
            self.clean = real(check_maps(attribution, attribution.map(model, images, labels), images).detach())
        check_ranked(self.clean)
        if {"topk", SHARE} & set(metrics):
            check_k(k, self.clean.flatten(1).shape[1])
        self.scored = len(images)
        self.score = {m: self.clean.new_ones(len(images)) for m in metrics}
        self.images = dict.fromkeys(metrics, images)
        self.member = {m: torch.full_like(labels, -1) for m in metrics}
        self.step = {m: torch.zeros_like(labels) for m in metrics}

    def found(self, metric: str, history: list[Tensor] | None = None) -> Found:
        """The worst of one metric; without a ``history``, its mean now."""
        score = self.score[metric]
        means = torch.stack(history or [score.mean()])
        return Found(self.images[metric], self.member[metric] >= 0, score, self.step[metric], means)

    def open(self, *metrics: str) -> Tensor:
        """Rows of the images that can still become worse than chance in any of the metrics."""
        features = self.clean[0].numel()
        left = torch.stack([self.score[m] > chance(m, features, self.k) for m in metrics]).any(0)
        return (left & self.right).nonzero()[:, 0]

    def values(self, adv: Tensor, rows: Tensor) -> Values:
        """The exact scores; infinite where the label is lost or the map has no order.

        Raises:
            NotFinite: a map or logits with NaN.
        """
        with exactly(adv.device), torch.no_grad():
            logits = self.model(adv)
            kept = logits.argmax(1) == self.labels[rows]
            values = {m: self.clean.new_full((len(rows),), float("inf")) for m in self.score}
            if bool(logits.isnan().any()):
                raise NotFinite("the logits of an attacked image are NaN; find out where the network breaks.")
            chosen = kept.nonzero()[:, 0]
            if not len(chosen):
                return values
            maps = real(self.attribution.map(self.model, adv[chosen], self.labels[rows[chosen]]).detach())
        self.scored += len(chosen)
        check_ranked(maps)
        size = maps.flatten(1).abs()
        ordered = size.amax(1) > size.amin(1)
        for m, value in values.items():
            found = similarity(m, maps, self.clean[rows[chosen]], self.k)
            value[chosen] = found.masked_fill(~ordered, float("inf"))
        return values

    def take_from(self, other: Worst, metrics: Iterable[str], rows: Tensor, member: int) -> Values:
        """Score exactly what another one, of ``rows`` alone, found for each of ``metrics``; the scores reached."""
        if other.attribution == self.attribution:
            self.scored += other.scored
        reached: Values = {m: self.clean.new_full((len(rows),), float("inf")) for m in self.score}
        for metric in metrics:
            values = self.values(other.images[metric], rows)
            self.take(other.images[metric], rows, values, member, other.step[metric])
            reached = {m: torch.minimum(reached[m], values[m]) for m in reached}
        return reached

    def take(self, adv: Tensor, rows: Tensor, values: Values, member: int, step: Tensor) -> None:
        """Keep what is below the minimum so far: ``adv`` and ``step`` have an entry for each of ``rows``."""
        for m, value in values.items():
            chosen = value < self.score[m][rows]
            where = rows[chosen]
            self.score[m] = self.score[m].index_copy(0, where, value[chosen])
            self.images[m] = self.images[m].index_copy(0, where, adv[chosen])
            self.member[m] = self.member[m].index_fill(0, where, member)
            self.step[m] = self.step[m].index_copy(0, where, step[chosen])


class Shortlist:
    """The iterates of each image that score lowest by a cheap score, ``size`` of them for each metric."""

    def __init__(self, images: Tensor, metrics: tuple[str, ...], size: int) -> None:
        self.score = {m: real(images).new_full((size, len(images)), float("inf")) for m in metrics}
        self.images = {m: images.expand(size, *images.shape).clone() for m in metrics}
        self.step = {m: torch.zeros(size, len(images), dtype=torch.int64, device=images.device) for m in metrics}

    def see(self, adv: Tensor, values: Values, step: int) -> None:
        """Let an iterate of every image in where it beats the worst of its list."""
        everyone = torch.arange(len(adv), device=adv.device)
        for m, score in self.score.items():
            place = score.argmax(0)
            better = values[m] < score[place, everyone]
            at = (place[better], everyone[better])
            score[at] = values[m][better].to(score.dtype)
            self.images[m][at] = adv[better]
            self.step[m][at] = step

    def each(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Candidates as (images, steps, whether there is one), a row of one metric's list at a time."""
        return [
            (self.images[m][i], self.step[m][i], score[i].isfinite())
            for m, score in self.score.items()
            for i in range(len(score))
        ]
