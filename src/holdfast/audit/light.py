"""The cheap attack of large images: one climb at the reference radius, whose end the other radii start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from holdfast.attacks.annealed import AnnealedIFIA
from holdfast.attacks.attribution_attack import exactly
from holdfast.attacks.auto import RANDOM, coarse
from holdfast.attacks.base import project
from holdfast.attacks.goals import SoftTopKGoal
from holdfast.attacks.noise import drawn_seed, noise_of
from holdfast.attribution import Saliency
from holdfast.attribution.base import Attribution
from holdfast.errors import NotFinite
from holdfast.metrics.rank import check_ranked, topk_share
from holdfast.models.state import Model, evaluating

STEPS, MORE = 10, 2
"""Steps at the reference radius and from there at each of the others."""
POINTS, SAMPLES = 1, 4
"""Points of a path, and samples of an average, that the attack follows."""
FIRST, LATER = 0.4, 0.2
"""Size of the first step as a share of the radius."""


@dataclass(frozen=True)
class Explanation:
    """One explanation of one image (1, C, H, W): its map of the ``target``, and what made it."""

    model: Model
    x: Tensor
    target: Tensor
    attribution: Attribution
    clean: Tensor


@dataclass(frozen=True)
class Moved:
    """A perturbed image that keeps its label, its map, and the share of the top features left in it."""

    adv: Tensor
    after: Tensor
    topk: float
    member: str


@dataclass(frozen=True)
class LightAttack:
    """What becomes of one explanation of one image at every radius, by few maps of that image.

    One draw of random signs a radius counts as noise. At the ``reference`` radius `AnnealedIFIA` climbs `STEPS` steps
    on `POINTS` points, and its iterate with the lowest cheap score is scored exactly; at each other radius `MORE`
    steps go on from the perturbation found nearest to it, scaled to the radius. An explanation
    without a gradient is followed by saliency. The worst that keeps the label counts, noise included.
    """

    radii: tuple[float, ...]
    reference: float
    k: int

    @staticmethod
    def cost(attribution: Attribution, radii: int) -> float:
        """Forward passes for one image."""
        step = 6.0 * _followed(attribution).points + 2
        return step * (STEPS + MORE * (radii - 1)) + 2 * radii * (2.0 * attribution.points + 1)

    def run(self, of: Explanation, generator: torch.Generator) -> list[tuple[float, Moved, Moved]]:
        """Radius, what the attack found and what noise did, the reference radius first."""
        seed, x = drawn_seed(generator), of.x
        unmoved = Moved(x, of.clean, 1.0, "")
        known: dict[float, Moved] = {}
        noises: dict[float, Moved] = {}
        with evaluating(of.model):
            for eps in sorted(self.radii, key=lambda e: abs(e - self.reference)):
                corner = project(x + eps * noise_of(x, seed, f"signs {eps!r}").sign(), x, eps)
                noise = self._scored(of, corner, RANDOM)
                start, steps = x, STEPS
                if known:
                    near = min(known, key=lambda e: abs(e - eps))
                    start, steps = project(x + eps / near * (known[near].adv - x), x, eps), MORE
                climbed = self._climbed(of, start, eps, steps)
                found = [moved for moved in (noise, climbed) if moved is not None]
                known[eps] = min(found, key=lambda moved: moved.topk, default=unmoved)
                noises[eps] = noise or unmoved
        within = {eps: [moved for other, moved in known.items() if other <= eps] for eps in known}
        return [(eps, min(within[eps], key=lambda moved: moved.topk), noises[eps]) for eps in known]

    def _climbed(self, of: Explanation, start: Tensor, eps: float, steps: int) -> Moved | None:
        first = FIRST if steps == STEPS else LATER
        climb = AnnealedIFIA(eps, steps, self.k, SoftTopKGoal(), first_step=first)
        best, value = None, float("inf")
        followed, draws = _followed(of.attribution), torch.Generator().manual_seed(steps)
        way = climb.climb(of.model, of.x, of.target, followed, of.clean, start, ("topk",), draws)
        for iterate in islice(way, steps):
            score = float(iterate.values["topk"])
            if score < value:
                best, value = iterate.adv, score
        if best is None:
            return None
        name = "light climb" if steps == STEPS else "light climb from another radius"
        return self._scored(of, best, name)

    def _scored(self, of: Explanation, adv: Tensor, name: str) -> Moved | None:
        """None where the label is lost or the map is the same everywhere."""
        with exactly(adv.device), torch.no_grad():
            logits = of.model(adv)
            if bool(logits.isnan().any()):
                raise NotFinite("the logits of an attacked image are NaN; find out where the network breaks.")
            if int(logits.argmax(1)) != int(of.target):
                return None
            after = of.attribution.map(of.model, adv, of.target).detach()
        check_ranked(after)
        size = after.flatten(1).abs()
        if bool(size.amax() == size.amin()):
            return None
        return Moved(adv, after, float(topk_share(size, of.clean.flatten(1).abs(), self.k)), name)


def _followed(attribution: Attribution) -> Attribution:
    """What the climb differentiates."""
    if not attribution.differentiable:
        return Saliency()
    rough = coarse(attribution)
    few = {"n_steps": POINTS, "n_samples": SAMPLES}
    return replace(rough, **{name: min(count, vars(rough)[name]) for name, count in few.items() if name in vars(rough)})
