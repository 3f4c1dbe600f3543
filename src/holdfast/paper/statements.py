"""Theorem 1, Propositions 1 and 2, and the figures that need no trained network (1, 2a, 2c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.figure import Figure as Drawing

from holdfast.paper.claims import PROVED
from holdfast.paper.study import Study
from holdfast.paper.theory.attribution_space import (
    SHOWN_IN,
    attribution_space,
    draw_figure1,
    draw_figure2a,
    draw_figure2c,
)
from holdfast.paper.theory.proposition1 import draw_proposition1, proposition1
from holdfast.paper.theory.proposition2 import draw_proposition2, proposition2
from holdfast.paper.theory.theorem1 import draw_theorem1, theorem1
from holdfast.report.document import Figure
from holdfast.report.figures import figure_of

SMOKE_SCALE = 0.05
"""Share of the random cases under the profile smoke; every other profile takes them all."""

Draw = Callable[[float, int], Drawing]
STATEMENTS: dict[str, tuple[str, Draw, str]] = {
    "theorem1": (
        "Theorem 1. A larger cosine with Y goes with a larger expected Kendall's τ",
        draw_theorem1,
        "Left: means of τ(X, Y) − τ(X′, Y) over Y given that X has the larger cosine, one for each random pair X, X′, "
        "and that of a chain of steps given that every step lowers the cosine. Right: that chain, for every Y of three "
        "entries divided by its sum.",
    ),
    "proposition1": (
        "Proposition 1. The cosine of integrated gradients is close to activation consistency",
        draw_proposition1,
        "Left: both sides of Eq. 6 for random one-layer networks, and what theory gives for them, as the contrast of "
        "the two images grows. Right: how far the cosine varies from network to network.",
    ),
    "proposition2": (
        "Proposition 2. Fewer units that change state bring the gradients closer",
        draw_proposition2,
        "Left: ratios of the expected squared and of the expected norm of the gradients' difference, for random pairs "
        "of networks that meet the assumption. Right: the pair for which only the squared norm follows it.",
    ),
}
"""Title, drawing and caption of the figure of each."""
CLAIMS = {"theorem1": theorem1, "proposition1": proposition1, "proposition2": proposition2}

DRAWINGS: dict[str, tuple[str, Draw, str]] = {
    "figure1": (
        "Figure 1: attributions at one distance",
        draw_figure1,
        "Three perturbed images of a shipped digit whose integrated gradients lie equally far from the clean ones in "
        "the l1 norm (0.7 of its own), and how their Kendall's τ and cosine differ. The network is a one-layer one "
        "with random features; the paper does not say which it used.",
    ),
    "figure2a": (
        "Figure 2a: Kendall's τ against the cosine, simulated",
        draw_figure2a,
        "Random vectors against a fixed one, u: left each shares a random part with u, right it is independent of u. "
        "The paper does not say how its vectors were drawn; independent ones show no trend worth the name.",
    ),
    "figure2c": (
        "Figure 2c: attributions of two features",
        draw_figure2c,
        "Two networks as arcs: at one l2 distance from g(x), g(x') and g(x'') have the largest and the smallest "
        "cosine; g(x''') is long and turned away; g and g* at x̃ have one angle to g(x) and unlike lengths.",
    ),
}
"""Likewise of the paper's drawings."""


def scale_of(study: Study) -> float:
    """How many of the random cases are drawn."""
    return SMOKE_SCALE if study.profile == "smoke" else 1.0


def statements(study: Study, keys: Sequence[str]) -> list[Figure]:
    """Those of `STATEMENTS` and `DRAWINGS` that are asked for, each with what becomes of every claim of it."""
    seed, scale = study.seeds[0], scale_of(study)
    drawn = attribution_space(scale, seed) if {*keys} & {*DRAWINGS} else []
    found = []
    for key in keys:
        title, draw, caption = {**STATEMENTS, **DRAWINGS}[key]
        own = (
            CLAIMS[key](scale, seed)
            if key in CLAIMS
            else [c for c, at in zip(drawn, SHOWN_IN, strict=True) if at == key]
        )
        claims = tuple(replace(claim, whose=PROVED) for claim in own)
        found.append(replace(figure_of(draw(scale, seed), key, title, caption), claims=claims))
    return found
