"""Theorem 1, Propositions 1 and 2, and the figures that need no trained network (1, 2a, 2c)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from matplotlib.figure import Figure as Drawing

from holdfast.paper.claims import PROVED
from holdfast.paper.study import Study
from holdfast.paper.theory import attribution_space, proposition1, proposition2, theorem1
from holdfast.paper.theory.activation import contrast_sweep, noise
from holdfast.paper.theory.attribution_space import SHOWN_IN
from holdfast.paper.theory.chain import SCALED_SWAPPED_SCALED
from holdfast.paper.theory.geometry import equal_distances, plane, simulate
from holdfast.paper.theory.gradient_norm import identical_units, orthogonal_units, random_network_pairs
from holdfast.paper.theory.kendall_cosine import random_pairs
from holdfast.paper.theory.plots import (
    figure1,
    figure2a,
    figure2c,
    proposition1_figure,
    proposition2_figure,
    theorem1_figure,
)
from holdfast.paper.theory.scale import scaled_count
from holdfast.report.claim import Claim
from holdfast.report.document import Figure
from holdfast.report.figures import figure_of

SMOKE_SCALE = 0.05
"""Share of the random cases under the profile smoke; every other profile takes them all."""
FEATURES = 50

STATEMENTS: dict[str, tuple[str, Callable[[float, int], list[Claim]], str]] = {
    "theorem1": (
        "Theorem 1. A larger cosine with Y goes with a larger expected Kendall's τ",
        theorem1,
        "Left: means of τ(X, Y) − τ(X′, Y) over Y given that X has the larger cosine, one for each random pair X, X′, "
        "and that of a chain of steps given that every step lowers the cosine. Right: that chain, for every Y of three "
        "entries divided by its sum.",
    ),
    "proposition1": (
        "Proposition 1. The cosine of integrated gradients is close to activation consistency",
        proposition1,
        "Left: both sides of Eq. 6 for random one-layer networks, and what theory gives for them, as the contrast of "
        "the two images grows. Right: how far the cosine varies from network to network.",
    ),
    "proposition2": (
        "Proposition 2. Fewer units that change state bring the gradients closer",
        proposition2,
        "Left: ratios of the expected squared and of the expected norm of the gradients' difference, for random pairs "
        "of networks that meet the assumption. Right: the pair for which only the squared norm follows it.",
    ),
}
"""Title, test and caption of the figure."""

DRAWINGS = {
    "figure1": (
        "Figure 1: attributions at one distance",
        "Three perturbed images of a shipped digit whose integrated gradients lie equally far from the clean ones in "
        "the l1 norm (0.7 of its own), and how their Kendall's τ and cosine differ. The network is a one-layer one "
        "with random features; the paper does not say which it used.",
    ),
    "figure2a": (
        "Figure 2a: Kendall's τ against the cosine, simulated",
        "Random vectors against a fixed one, u: left each shares a random part with u, right it is independent of u. "
        "The paper does not say how its vectors were drawn; independent ones show no trend worth the name.",
    ),
    "figure2c": (
        "Figure 2c: attributions of two features",
        "Two networks as arcs: at one l2 distance from g(x), g(x') and g(x'') have the largest and the smallest "
        "cosine; g(x''') is long and turned away; g and g* at x̃ have one angle to g(x) and unlike lengths.",
    ),
}
"""Title and caption."""


def scale_of(study: Study) -> float:
    """How many of the random cases are drawn."""
    return SMOKE_SCALE if study.profile == "smoke" else 1.0


def statement(study: Study, key: str) -> Figure:
    """A theorem or proposition as a figure, with what becomes of each part of it."""
    title, test, caption = STATEMENTS[key]
    scale, seed = scale_of(study), study.seeds[0]
    claims = tuple(replace(claim, whose=PROVED) for claim in test(scale, seed))
    return replace(figure_of(_statement_figure(key, scale, seed), key, title, caption), claims=claims)


def _statement_figure(key: str, scale: float, seed: int) -> Drawing:
    match key:
        case "theorem1":
            cases = scaled_count(scale, 2000, 100)
            ends = {
                "exp(1), 6 features": random_pairs(6, cases, seed),
                "normal, 6 features": random_pairs(6, cases, seed, "normal", "normal"),
            }
            return theorem1_figure(ends, SCALED_SWAPPED_SCALED)
        case "proposition1":
            networks = scaled_count(scale, 60, 8)
            powers = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0)
            deviation = noise((10, 30, 100, 300), (30, 100, 1000), scaled_count(scale, 200, 20), seed)
            return proposition1_figure(contrast_sweep(powers, networks, seed), deviation)
        case _:
            draws = scaled_count(scale, 20_000, 2000)
            pairs = random_network_pairs(scaled_count(scale, 200, 20), draws // 10, seed)
            return proposition2_figure(pairs, orthogonal_units(FEATURES), identical_units(FEATURES), draws, seed)


def drawings(study: Study, keys: list[str]) -> list[Figure]:
    """Those of Figures 1, 2a and 2c that are asked for, with the claims of Section 4 that rest on them."""
    if not keys:
        return []
    seed, scale = study.seeds[0], scale_of(study)
    claims = [replace(claim, whose=PROVED) for claim in attribution_space(scale, seed)]
    found = []
    for key in keys:
        title, caption = DRAWINGS[key]
        own = tuple(claim for claim, shown in zip(claims, SHOWN_IN, strict=True) if shown == key)
        found.append(replace(figure_of(_drawing(key, scale, seed), key, title, caption), claims=own))
    return found


def _drawing(key: str, scale: float, seed: int) -> Drawing:
    match key:
        case "figure1":
            return figure1(equal_distances(seed=seed))
        case "figure2a":
            features, vectors = scaled_count(scale, 10_000, 500), scaled_count(scale, 1000, 100)
            mixed, independent = (simulate(features, vectors, mixed=mixed, seed=seed) for mixed in (True, False))
            return figure2a(mixed, independent)
        case _:
            return figure2c(plane())
