"""What attacks on attributions share: what is attacked, how an iterate is scored, and which one is kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from holdfast.attacks.base import Attack, Images, Labels, borrowed, per_image
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, NotFinite
from holdfast.metrics.pairs import real
from holdfast.metrics.rank import check_k, check_ranked, tau_b, topk_share
from holdfast.models.arithmetic import float32_products
from holdfast.models.state import Model
from holdfast.seeding import fresh_generator
from holdfast.validate import check_maps

Select = Literal["kendall", "topk"]
READABLE = {"cpu"}
"""Where asking which labels are kept costs nothing, so that only those images are scored."""


@dataclass(frozen=True)
class Found:
    """What an attack on attributions found; every tensor has one entry per image.

    ``adv_images`` holds the clean image where the attack failed (``succeeded`` False), so that every
    similarity of such a pair is 1, as the protocol counts it. ``best_step`` is 0 there.
    ``history`` is the batch mean of the best score so far after each step.
    """

    adv_images: Tensor
    succeeded: Tensor
    score: Tensor
    best_step: Tensor
    history: Tensor


@dataclass(frozen=True)
class AttributionAttack(Attack):
    """An attack that moves the map of an attribution and keeps the prediction.

    A subclass has a field ``attribution`` and defines `search`.
    """

    @abstractmethod
    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        """The attack on the maps of ``attribution``: inputs are checked, the model is in evaluation mode."""

    def run(  # type: ignore[override]
        self,
        model: Model,
        x: Images,
        y: Labels,
        *,
        attribution: Attribution | None = None,
        generator: torch.Generator | None = None,
    ) -> Found:
        """The attack with its accounting: which images it failed on, the score reached, and when.

        Args:
            model, x, y, generator: as in a call.
            attribution: what is attacked. None, and any of the kind of the attack's own ``attribution`` that can be
                differentiated, is attacked with the settings of that one (few points in the attack, many in the score).
        """
        with borrowed(self, model, x, y) as (images, labels):
            generator = generator or fresh_generator(x.device)
            return self.search(model, images, labels, self.attacked(attribution), generator)

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return self.search(model, images, labels, self.attacked(None), generator).adv_images

    def attacked(self, attribution: Attribution | None) -> Attribution:
        """What is attacked where ``attribution`` is asked for."""
        own = getattr(self, "attribution", None)
        if not isinstance(own, Attribution):
            raise HoldfastError(
                f"{type(self).__name__} has no field attribution; give it one, such as attribution: Attribution = "
                "Saliency(), the explanation that it attacks."
            )
        if attribution is None or (type(attribution) is type(own) and own.differentiable):
            return own
        return attribution


class Scores:
    """The score of iterates and the best of each image so far. Lower is worse for the model; nothing here waits."""

    def __init__(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, select: Select, k: int
    ) -> None:
        self.model, self.labels, self.attribution = model, labels, attribution
        self.select, self.k = select, k
        self.clean = real(self.magnitudes(images, labels))
        check_ranked(self.clean)
        if select == "topk":
            check_k(k, self.clean.flatten(1).shape[1])
        self.best = images
        self.best_score = torch.ones(len(images), dtype=self.clean.dtype, device=images.device)
        self.best_step = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        self.broken = torch.zeros((), dtype=torch.bool, device=images.device)
        self.history: list[Tensor] = []

    def see(self, adv: Tensor) -> None:
        """Score an iterate of every image, and keep it where it is the best."""
        score = self.score(adv)
        better = score < self.best_score
        self.best = torch.where(per_image(better, adv), adv, self.best)
        self.best_score = torch.where(better, score, self.best_score)
        self.best_step = torch.where(better, len(self.history) + 1, self.best_step)
        self.broken = self.broken | score.isnan().any()
        self.history.append(self.best_score.mean())

    def found(self) -> Found:
        """The best of all.

        Raises:
            NotFinite: a map that contained NaN.
        """
        if self.broken:
            raise NotFinite("an attribution contains NaN, which has no rank; find out where the network breaks.")
        return Found(self.best, self.best_step > 0, self.best_score, self.best_step, torch.stack(self.history))

    def score(self, adv: Tensor) -> Tensor:
        """The similarity to lower; infinite where the label is lost or the map has no order, NaN as the map is."""
        with torch.no_grad(), exactly(adv.device):
            logits = self.model(adv)
        kept = logits.argmax(1) == self.labels
        if adv.device.type in READABLE:
            rows = kept.nonzero()[:, 0]
            score = self.clean.new_full((len(adv),), float("inf"))
            if len(rows):
                score[rows] = self._similarity(adv[rows], self.labels[rows], self.clean[rows])
        else:
            score = self._similarity(adv, self.labels, self.clean).masked_fill(~kept, float("inf"))
        return score.masked_fill(logits.isnan().any(1), float("nan"))

    def magnitudes(self, images: Tensor, labels: Tensor) -> Tensor:
        """The magnitudes of the scored maps, of the images' shape."""
        with exactly(images.device):
            maps = self.attribution.map(self.model, images, labels)
            return check_maps(self.attribution, maps, images).detach().abs()

    def _similarity(self, adv: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
        current, clean = self.magnitudes(adv, labels).flatten(1), clean.flatten(1)
        similarity = tau_b(current, clean) if self.select == "kendall" else topk_share(current, clean, self.k)
        ordered = current.amax(1) > current.amin(1)
        similarity = similarity.masked_fill(~ordered, float("inf"))
        return similarity.masked_fill(current.isnan().any(1), float("nan"))


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Inside, products are in full float32, whatever the caller allows elsewhere."""
    with torch.autocast(device.type, enabled=False), float32_products(tf32=False):
        yield
