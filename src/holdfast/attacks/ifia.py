"""The iterative feature importance attack (IFIA): change the attribution, keep the prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from holdfast.attacks.base import Attack, Norm, fresh_generator, project, random_start, step
from holdfast.attacks.graphs import replayed
from holdfast.attribution.compiled import compiling
from holdfast.attribution.integrated_gradients import path_attribution
from holdfast.attribution.path import Path, by_whole_paths
from holdfast.config import IFIAObjective, Method
from holdfast.errors import HoldfastError, unknown_name
from holdfast.metrics.rank import average_ranks, check_k, check_ranked, tau_b, topk_indices, topk_share
from holdfast.models.arithmetic import float32_products
from holdfast.models.gates import SoftplusTwin
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

Select = Literal["kendall", "topk"]
NORM: Norm = "Linf"
READABLE = {"cpu"}
"""Where asking which labels are kept costs nothing, so that only those images are scored."""
LOG_FLOOR = 0.05
"""Objective "kendall": shares this far below the mean count as equal, so that faint features do not dominate."""


@dataclass(frozen=True)
class IFIAResult:
    """What the attack found; every tensor has one entry an image.

    ``adv_images`` holds the clean image where the attack failed (``succeeded`` False), so that every
    similarity of such a pair is 1, as the protocol counts it. ``best_step`` is 0 there.
    ``history`` (restarts * steps,) is the batch mean of the best score so far after each step.
    """

    adv_images: Tensor
    succeeded: Tensor
    score: Tensor
    best_step: Tensor
    history: Tensor


class IFIA(Attack):
    """Iterative feature importance attack on integrated gradients.

    Ghorbani et al., 2019, "Interpretation of Neural Networks is Fragile"
    (https://arxiv.org/abs/1710.10547), with the protocol of Chen et al., 2019
    (https://arxiv.org/abs/1905.09957). Distance measure: Linf.

    Signed gradient steps on an attribution of the *softplus twin* of the network (a ReLU network's own
    attribution has no useful second derivatives); every iterate is scored on the network itself, and among
    those that keep the label the one with the smallest score is returned. An attribution is ``|IG|`` of the
    label's logit, one value a feature; ties rank by lowest index.

    Args:
        model: maps images to logits.
        eps: largest perturbation, pixels in [0, 1].
        alpha: step size in the same unit.
        steps: number of steps.
        k: size of the top-k set that the objective "topk" pushes down.
        objective: "topk" (shrink the share of the clean top-k features, the paper's), "kendall" (reverse the
            clean ranking as a whole; ours, far stronger in Kendall's tau), "mass_center" (move the centre of
            mass of the map, images only), "random" (random signs: the control, no gradient).
        n_steps: quadrature nodes of the attribution, in the gradient and in the score.
        method: quadrature rule.
        surrogate_beta: sharpness of the softplus twin; None uses the network itself.
        restarts: independent runs; the best iterate of all is kept. Useful with ``random_start``.
        random_start: start from a uniform point of the ball instead of the image.
        select: the score to minimise, "kendall" or "topk".
        internal_batch_size: path points in memory at once; None takes whole paths of as many images as run fastest.
        generator: source of randomness; None draws a fresh seed from the operating system.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    An image whose prediction is not its label cannot be attacked and comes back as it is.

    Under ``torch.autocast``, or where TF32 is allowed (as PyTorch allows it for convolutions), the gradient that
    is followed runs in the lower precision; scores never do.

    Cost: about ``6 * n_steps`` forward passes an image and step (8 where ``internal_batch_size`` is below
    ``n_steps``), on a CPU less by the scores (2) of iterates that lose the label.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> attack = IFIA(net, eps=0.1, alpha=0.02, steps=5, k=4)
        >>> adv = attack(images, net(images).argmax(1))
        >>> bool((net(adv).argmax(1) == net(images).argmax(1)).all())
        True
    """

    def __init__(
        self,
        model: Model,
        *,
        eps: float,
        alpha: float,
        steps: int = 200,
        k: int,
        objective: IFIAObjective = "topk",
        n_steps: int = 20,
        method: Method = "riemann_middle",
        surrogate_beta: float | None = 30.0,
        restarts: int = 1,
        random_start: bool = False,
        select: Select = "kendall",
        internal_batch_size: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(model, eps=eps, generator=generator)
        check_positive("alpha", alpha)
        for name, value in (("steps", steps), ("k", k), ("n_steps", n_steps), ("restarts", restarts)):
            check_count(name, value)
        if internal_batch_size is not None:
            check_count("internal_batch_size", internal_batch_size)
        if objective not in get_args(IFIAObjective):
            raise unknown_name("objective", str(objective), get_args(IFIAObjective))
        if select not in get_args(Select):
            raise unknown_name("select", str(select), get_args(Select))
        self.alpha = alpha
        self.steps = steps
        self.k = k
        self.objective: IFIAObjective = objective
        self.n_steps = n_steps
        self.method: Method = method
        self.surrogate_beta = surrogate_beta
        self.restarts = restarts
        self.random_start = random_start
        self.select: Select = select
        self.internal_batch_size = internal_batch_size
        self.surrogate = model if surrogate_beta is None else SoftplusTwin(model, surrogate_beta)

    def perturb(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.search(images, labels).adv_images

    def run(self, images: Tensor, labels: Tensor) -> IFIAResult:
        """The attack with its accounting: which images it failed on, the score reached, and when."""
        return self._guarded(images, labels, self.search)

    def search(self, images: Tensor, labels: Tensor) -> IFIAResult:
        generator = self.generator or fresh_generator(images.device)
        clean = self._scored_map(images, labels)
        check_ranked(clean)
        if self.select == "topk":
            check_k(self.k, clean.shape[1])
        reference = self._reference(images, clean)
        best = images
        best_score = torch.ones(len(images), dtype=clean.dtype, device=images.device)
        best_step = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        done = torch.zeros((), dtype=torch.int64, device=images.device)
        broken = torch.zeros((), dtype=torch.bool, device=images.device)
        history = []
        for _ in range(self.restarts):
            adv = random_start(images, self.eps, NORM, generator) if self.random_start else images
            for _ in range(self.steps):
                if self.objective == "random":
                    reference = (torch.empty_like(adv).normal_(generator=generator),)
                adv, best, best_score, best_step, done, broken = replayed(
                    self, self._advance, adv, best, best_score, best_step, done, broken,
                    images, labels, clean, *reference,
                )  # fmt: skip
                history.append(best_score.mean())
        if broken:
            raise HoldfastError("an attribution contains NaN, which has no rank; find out where the network breaks.")
        return IFIAResult(best, best_step > 0, best_score, best_step, torch.stack(history))

    def _advance(
        self, adv: Tensor, best: Tensor, best_score: Tensor, best_step: Tensor, done: Tensor, broken: Tensor,
        images: Tensor, labels: Tensor, clean: Tensor, *reference: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """One step from ``adv``, and the best iterate so far; never waits for the device."""
        direction = reference[0] if self.objective == "random" else self._gradient(adv, labels, *reference)
        adv = project(step(adv, direction, self.alpha), images, self.eps)
        done = done + 1
        score = self._score(adv, labels, clean)
        better = score < best_score
        best = torch.where(better.view(-1, *[1] * (adv.ndim - 1)), adv, best)
        best_score = torch.where(better, score, best_score)
        best_step = torch.where(better, done, best_step)
        return adv, best, best_score, best_step, done, broken | score.isnan().any()

    def _path(self, model: Model, labels: Tensor, create_graph: bool) -> Path:
        return Path(model, labels, self.method, self.n_steps, create_graph, weights=False)

    def _scored_map(self, images: Tensor, labels: Tensor) -> Tensor:
        path = self._path(self.model, labels, create_graph=False)
        with _exactly(images.device):
            return path_attribution(path, images, rows=self.internal_batch_size).abs().flatten(1)

    def _score(self, adv: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
        """The similarity to minimise; infinite where the label is lost or the map has no order, NaN as the map is."""
        with torch.no_grad(), _exactly(adv.device):
            logits = self.model(adv)
        kept = logits.argmax(1) == labels
        if adv.device.type in READABLE and not compiling():  # compiled code keeps to one shape
            rows = kept.nonzero()[:, 0]
            score = clean.new_full((len(adv),), float("inf"))
            if len(rows):
                score[rows] = self._similarity(adv[rows], labels[rows], clean[rows])
        else:
            score = self._similarity(adv, labels, clean).masked_fill(~kept, float("inf"))
        return score.masked_fill(logits.isnan().any(1), float("nan"))

    def _similarity(self, adv: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
        current = self._scored_map(adv, labels)
        similarity = tau_b(current, clean) if self.select == "kendall" else topk_share(current, clean, self.k)
        ordered = current.amax(1) > current.amin(1)
        similarity = similarity.masked_fill(~ordered, float("inf"))
        return similarity.masked_fill(current.isnan().any(1), float("nan"))

    def _gradient(self, adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
        """The gradient to follow."""
        rows = self.internal_batch_size
        at_once = partial(self._compiled, self._gradient_at_once)
        return by_whole_paths(at_once, self.n_steps, rows, adv, labels, *reference)

    def _gradient_at_once(self, adv: Tensor, labels: Tensor, *reference: Tensor) -> Tensor:
        path = self._path(self.surrogate, labels, create_graph=True)
        with torch.enable_grad():
            adv = adv.detach().requires_grad_()
            attribution = path_attribution(path, adv, rows=self.internal_batch_size).abs()
            share = attribution / attribution.flatten(1).sum(1).clamp(min=1e-12).view(-1, *[1] * (adv.ndim - 1))
            return torch.autograd.grad(self._dissimilarity(share, *reference).sum(), adv)[0]

    def _reference(self, images: Tensor, clean: Tensor) -> tuple[Tensor, ...]:
        """What `_dissimilarity` compares with, computed once."""
        if self.objective == "topk":
            return (topk_indices(clean, self.k),)
        if self.objective == "kendall":
            ranks = average_ranks(clean).to(clean)
            return ((ranks - ranks.mean(1, keepdim=True)) / ranks.shape[1],)
        if self.objective == "mass_center":
            if images.ndim != 4:
                raise HoldfastError(
                    f"images have shape {tuple(images.shape)}; the objective mass_center needs (B, C, H, W)."
                )
            return (_mass_center(clean.view_as(images)).round(),)
        return ()

    def _dissimilarity(self, share: Tensor, reference: Tensor) -> Tensor:
        if self.objective == "topk":
            return -share.flatten(1).gather(1, reference).sum(1)
        if self.objective == "kendall":
            return -(reference * torch.log(share.flatten(1) * reference.shape[1] + LOG_FLOOR)).sum(1)
        return (_mass_center(share) - reference).square().sum(1)


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Full float32, whatever the caller allows elsewhere."""
    with torch.autocast(device.type, enabled=False), float32_products(tf32=False):
        yield


def _mass_center(maps: Tensor) -> Tensor:
    """Row and column (B, 2) of the centre of mass of non-negative maps (B, C, H, W), in pixels."""
    mass = maps.sum(1)
    mass = mass / mass.sum((1, 2), keepdim=True).clamp(min=1e-12)
    rows = torch.arange(mass.shape[1], device=mass.device, dtype=mass.dtype)
    columns = torch.arange(mass.shape[2], device=mass.device, dtype=mass.dtype)
    return torch.stack([(mass.sum(2) * rows).sum(1), (mass.sum(1) * columns).sum(1)], dim=1)
