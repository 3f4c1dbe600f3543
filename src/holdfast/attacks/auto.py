"""The strongest attack on attributions: an ensemble, and the worst case of each image and metric over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import cast, get_args

import torch
from torch import Tensor

from holdfast.attacks.attribution_attack import AttributionAttack
from holdfast.attacks.auto_found import AutoFound, MemberLog
from holdfast.attacks.auto_members import Budget, Member, annealed_members, published_members
from holdfast.attacks.base import Images, Labels, project
from holdfast.attacks.block_search import BlockSearch
from holdfast.attacks.goals import MassCenterGoal
from holdfast.attacks.noise import drawn_seed, noise_of
from holdfast.attacks.worst import Compared, Worst
from holdfast.attribution import IntegratedGradients, Saliency
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, unknown_name
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

TRANSFER: tuple[Attribution, ...] = (
    IntegratedGradients(n_steps=5),
    Saliency(),
)
"""What is followed where the attacked explanation has no gradient."""
RANDOM = "random signs"
SEARCH = "block search"
QUERIES: dict[Budget, tuple[int, int]] = {"quick": (0, 200), "standard": (200, 800), "thorough": (400, 800)}
"""Maps that a budget's block search adds: for each metric, and in all where the explanation has no gradient."""
POINTS, SAMPLES = 5, 8
NEAR = 0.7
"""Kendall's tau above which a map is near the clean one, where `SpearmanGoal` lowers it further."""


@dataclass(frozen=True)
class AutoIFIA(AttributionAttack):
    """The strongest attack on attributions that we know (docs/contest.md); no settings but its budget. Distance
    measure: Linf.

    An ensemble of `AnnealedIFIA` that differ in goal and start, after random signs and (but for "quick") before a
    `BlockSearch` from what they found. For Kendall's tau images whose maps the random signs hardly move are driven by
    another goal than the rest, by both in larger budgets. Explanations without a gradient are attacked by transfer
    from integrated gradients and from saliency, and by the search, which there asks for all the maps. Of everything
    found, the worst by exact scores is kept per image and metric. Images as bad as chance in a member's metric leave
    its batch; a member may start from what earlier ones found.

    Random numbers depend on the generator's first number and each image's own pixels alone: given generators of one
    state, an image's result does not depend on the images beside it, as far as the network's arithmetic does not.

    Args:
        eps: largest perturbation, pixels in [0, 1].
        k: size of the top-k set.
        budget: "quick" (as many forward passes as 40 scored steps of IFIA for each metric), "standard", or "thorough":
            the standard one, then members with twice its steps, then attacks as they were published (IFIA on the top k
            and on the mass centre, Pearson's correlation from a random start), each with the passes of the quick one.
        metrics: what is attacked, of "topk", "kendall" and "cosine" (of signed maps), each by members of its own.
        scale: of the number of steps, to check whether more of them would do better.
        attribution: what is attacked and scored exactly; it is followed and searched with 5 points
            (8 of a sampled one).

    A call returns the worst images by the first of ``metrics``; ``run`` returns an `AutoFound` with all.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Cost: ``cost`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> images = torch.rand(3, 1, 4, 4)
        >>> found = AutoIFIA(eps=0.1, k=4, budget="quick").run(net, images, net(images).argmax(1))
        >>> sorted(found.by_metric)
        ['kendall', 'topk']
    """

    eps: float = 8 / 255
    k: int = 100
    budget: Budget = "standard"
    _: KW_ONLY
    metrics: tuple[Compared, ...] = ("topk", "kendall")
    scale: float = 1.0
    attribution: Attribution = IntegratedGradients(n_steps=50)

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        check_positive("scale", self.scale)
        check_count("k", self.k)
        if self.budget not in get_args(Budget):
            raise unknown_name("budget", str(self.budget), get_args(Budget))
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            names = ", ".join(get_args(Compared))
            raise HoldfastError(f"metrics are {self.metrics}; name each of {names} at most once.")
        for metric in self.metrics:
            if metric not in get_args(Compared):
                raise unknown_name("metric", str(metric), get_args(Compared))

    @property
    def cost(self) -> float:
        return sum(self.costs(self.attribution))

    def costs(self, attribution: Attribution) -> list[float]:
        """Forward passes per image of each member in order, the clean maps with the first one's."""
        followed = _followed(attribution)
        score, metrics = 2.0 * attribution.points + 1, len(self.metrics)
        costs = [(1 + self.draws(attribution)) * score]
        for members, queries in self.rounds(attribution):
            costs += [m.climb.passes(source, score, metrics) for source in followed for m in members]
            if queries:
                costs += [queries * (2.0 * coarse(attribution).points + 1) / metrics] * metrics
        return costs

    def draws(self, attribution: Attribution) -> int:
        """Random signs tried, more where the gradient is only another explanation's."""
        few = 1 if self.budget == "quick" else 5
        return few if attribution.differentiable else 20 + 4 * few

    def queries(self, attribution: Attribution) -> int:
        """Maps that the block search asks for, over all metrics."""
        return sum(queries for _, queries in self.rounds(attribution))

    def rounds(self, attribution: Attribution) -> list[tuple[tuple[Member, ...], int]]:
        """Members, then queries of the block search over all metrics: one round, in the thorough budget two.

        The first of the two is the standard budget, so that a larger budget is never the weaker one.
        """
        if self.budget == "quick":
            return [(self._annealed("quick"), self._searches("quick", attribution))]
        rounds = [(self._annealed("standard"), self._searches("standard", attribution))]
        if self.budget == "thorough":
            points = _followed(attribution)[0].points
            steps = sum(replace(self, budget="quick").costs(attribution)) / (8 * points + 1)
            published = published_members(self.eps, self.k, max(int(steps), 1))
            rounds.append(((*self._annealed("thorough"), *published), self._searches("thorough", attribution)))
        return rounds

    def members(self) -> tuple[Member, ...]:
        """The runs that the budget buys, in order."""
        return tuple(member for members, _ in self.rounds(self.attribution) for member in members)

    def _searches(self, budget: Budget, attribution: Attribution) -> int:
        each, without = QUERIES[budget]
        return each * len(self.metrics) if attribution.differentiable else without

    def _annealed(self, budget: Budget) -> tuple[Member, ...]:
        return annealed_members(budget, self.metrics, self.eps, self.k, self.scale)

    def attacked(self, attribution: Attribution | None) -> Attribution:
        return self.attribution if attribution is None else attribution

    def run(  # type: ignore[override]
        self,
        model: Model,
        x: Images,
        y: Labels,
        *,
        attribution: Attribution | None = None,
        generator: torch.Generator | None = None,
    ) -> AutoFound:
        """The attack with its accounting: the worst case of every metric, and what each member did.

        Args:
            model, x, y, generator: as in a call.
            attribution: what is attacked and scored exactly, in place of the attack's own.
        """
        found = super().run(model, x, y, attribution=attribution, generator=generator)
        return cast(AutoFound, found)

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> AutoFound:
        seed = drawn_seed(generator)
        worst = Worst(model, images, labels, attribution, self.metrics, self.k)
        log = MemberLog(worst)
        everyone = worst.right.nonzero()[:, 0]
        for draw in range(self.draws(attribution) if len(everyone) else 0):
            corners = project(images + 2 * self.eps * noise_of(images, seed, f"signs {draw}").sign(), images, self.eps)
            values = worst.values(corners[everyone], everyone)
            worst.take(corners[everyone], everyone, values, 0, torch.full_like(everyone, draw + 1))
            log.reached(0, everyone, values)
        log.ended(RANDOM)
        near = worst.score["kendall"] > NEAR if "kendall" in self.metrics else torch.zeros_like(worst.right)
        followed = _followed(attribution)
        for again, (members, queries) in enumerate(self.rounds(attribution)):
            for source in followed:
                for member in members:
                    if images.ndim == 4 or not isinstance(member.climb.goal, MassCenterGoal):
                        self._climb(member, worst, log, source, near, images, seed)
                    log.ended(member.name if len(followed) == 1 else f"{member.name} on {source.title}")
            for metric in self.metrics if queries else ():
                rows = worst.open(metric)
                if len(rows):
                    number = len(log.names)
                    values = self._searched(worst, metric, rows, images, queries, seed + again, number)
                    log.reached(number, rows, values)
                log.ended(f"{SEARCH} ({metric}){', again' * again}")
        return log.found()

    def _climb(
        self,
        member: Member,
        worst: Worst,
        log: MemberLog,
        source: Attribution,
        near: Tensor,
        images: Tensor,
        seed: int,
    ) -> None:
        """Run a member on the images that are open in its metric."""
        number = len(log.names)
        rows = worst.open(*([member.metric] if member.metric else self.metrics))
        for climb, part in member.climbs(rows, near):
            start = self._start(member, worst, part, images, seed)
            lost, moved, values = climb.improve(worst, part, source, start, images, number)
            log.reached(number, part, values)
            log.climbed(number, part, lost, moved)

    def _searched(
        self, worst: Worst, metric: Compared, rows: Tensor, images: Tensor, queries: int, seed: int, number: int
    ) -> Mapping[str, Tensor]:
        """Search with few points from what was found, and score the end exactly."""
        source = coarse(worst.attribution)
        search = BlockSearch(self.eps, queries // len(self.metrics), self.k, source, metric)
        rough = Worst(worst.model, images[rows], worst.labels[rows], source, search.compared, self.k)
        everyone = torch.arange(len(rows), device=rows.device)
        start = worst.images[metric][rows]
        rough.take(start, everyone, rough.values(start, everyone), 0, torch.zeros_like(rows))
        search.improve(rough, everyone, images[rows], seed)
        return worst.take_from(rough, [metric], rows, number)

    def _start(self, member: Member, worst: Worst, rows: Tensor, images: Tensor, seed: int) -> Tensor:
        if member.start == "image":
            return images[rows]
        if member.start == "found":
            return worst.images[member.metric or self.metrics[0]][rows]
        noise = noise_of(images[rows], seed, member.name)
        return project(images[rows] + self.eps * noise, images[rows], self.eps)


def _followed(attribution: Attribution) -> tuple[Attribution, ...]:
    """What members differentiate, one after the other."""
    return (coarse(attribution),) if attribution.differentiable else TRANSFER


def coarse(attribution: Attribution) -> Attribution:
    """An attribution with as few points as can be followed; random points are others than those of the score."""
    names = vars(attribution)
    if "n_samples" in names:
        return replace(attribution, n_samples=min(names["n_samples"], SAMPLES), seed=names["seed"] + 1)  # type: ignore[call-arg]
    if "n_steps" in names:
        return replace(attribution, n_steps=min(names["n_steps"], POINTS))  # type: ignore[call-arg]
    return attribution
