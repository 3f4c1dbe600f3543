"""Section 4 statement by statement, and Figures 1, 2a and 2c: distances, angles and rank correlations."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from scipy.stats import rankdata

from holdfast.palette import BLUE, GREEN, INK, MUTED, PURPLE, RED
from holdfast.paper.theory import scaled_count
from holdfast.paper.theory.geometry import (
    EqualDistances,
    Plane,
    Simulation,
    equal_distances,
    independent_deviation,
    plane,
    simulate,
)
from holdfast.report.claim import Z_LIMIT, Claim, exact_verdict, sign_verdict
from holdfast.report.figures import named, panels

SPREAD = 0.2
SHOWN_IN = ("figure1", "figure1", "figure2a", "figure2c")
"""The figure of each claim of `attribution_space`."""


def attribution_space(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Figure 1 on the shipped digits, Figure 2a simulated, and the bound on the length of an attribution.

    ``scale`` multiplies the number of digits, of vectors and of their features: 1 takes about 5 seconds.
    """
    digits = [equal_distances(i, seed=seed) for i in range(scaled_count(scale, 20, 3))]
    spreads = np.array([np.ptp(digit.kendall) for digit in digits])
    same_order = [(rankdata(digit.kendall) == rankdata(digit.cosine)).all() for digit in digits]
    features, vectors = scaled_count(scale, 10_000, 500), scaled_count(scale, 1000, 50)
    mixed = simulate(features, vectors, mixed=True, seed=seed)
    independent = simulate(features, vectors, mixed=False, seed=seed)
    z = mixed.gamma / independent_deviation(vectors)
    signed = np.array([3.0, -2.0])
    return [
        Claim(
            "At one l1 distance from the clean map, attributions can differ widely in Kendall's tau (Figure 1)",
            exact_verdict(bool(spreads.max() > SPREAD)),
            f"three maps at distance 0.7 of {len(digits)} digits: largest less smallest tau is {spreads.min():.2f} to "
            f"{spreads.max():.2f}, {spreads.mean():.2f} in the mean",
            f"one digit with a range of tau above {SPREAD} decides",
        ),
        Claim(
            "At one l1 distance the cosine always orders attributions as tau does (Figure 1)",
            "cannot be told" if all(same_order) else "does not hold",
            f"the same order of the three maps in {sum(same_order)} of {len(digits)} digits",
            "one counterexample decides",
        ),
        Claim(
            "Kendall's tau and the cosine of simulated vectors grow together (Figure 2a)",
            sign_verdict(z),
            f"gamma {mixed.gamma:.3f} for vectors mixed with u in random parts, {z:.0f} standard deviations of "
            f"unrelated numbers above 0; {independent.gamma:.3f} for independent vectors, whose tau hardly varies "
            f"(standard deviation {independent.kendall.std():.4f}, {independent_deviation(features):.4f} expected)",
            f"{vectors} exp(1) vectors of {features} features; gamma above 0 by more than {Z_LIMIT:.0f} deviations",
        ),
        Claim(
            "The l2 norm of an attribution is at most the logit, its sum (Section 4, point ii), signs allowed",
            exact_verdict(bool(np.linalg.norm(signed) <= signed.sum())),
            f"{signed.tolist()} has norm {np.linalg.norm(signed):.2f} and sum {signed.sum():.0f}; for maps that are "
            "nowhere negative it holds, as the squares of a sum contain the sum of the squares",
            "one counterexample decides",
        ),
    ]


def draw_figure1(scale: float, seed: int) -> Drawing:
    """Figure 1 of the first test digit."""
    return figure1(equal_distances(seed=seed))


def draw_figure2a(scale: float, seed: int) -> Drawing:
    """Figure 2a, from ``scale`` times 1000 vectors."""
    features, vectors = scaled_count(scale, 10_000, 500), scaled_count(scale, 1000, 100)
    mixed, independent = (simulate(features, vectors, mixed=mixed, seed=seed) for mixed in (True, False))
    return figure2a(mixed, independent)


def draw_figure2c(scale: float, seed: int) -> Drawing:
    """Figure 2c, in which nothing is random."""
    return figure2c(plane())


def figure1(found: EqualDistances) -> Drawing:
    """Figure 1: images above, their IG below on one colour scale, with distance, tau and cosine to the clean map."""
    figure = Drawing(figsize=(7.2, 4.0), layout=ConstrainedLayoutEngine(wspace=0.04))
    axes = figure.subplots(2, len(found.images))
    limit = float(np.abs(found.maps).max())
    notes = ["IG of the clean image"] + [
        f"$\\ell_1$ {distance:.2f}\nτ {tau:.2f} · cos {cosine:.2f}"
        for distance, tau, cosine in zip(found.distance, found.kendall, found.cosine, strict=True)
    ]
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set(color="#b9bec6", linewidth=0.6)
    for i, name in enumerate(("clean", *found.names)):
        axes[0, i].imshow(found.images[i], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes[0, i].set_title(name, fontsize=9.5, color=INK)
        drawn = axes[1, i].imshow(found.maps[i], cmap="RdBu_r", norm=Normalize(-limit, limit), interpolation="nearest")
        axes[1, i].set_xlabel(notes[i], fontsize=8.5, color=INK if i else MUTED)
    bar = figure.colorbar(drawn, ax=axes[1, :], shrink=0.8, fraction=0.02, pad=0.01)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=0, colors=MUTED)
    bar.set_label(r"IG / $\Vert$clean IG$\Vert_1$", fontsize=8, color=MUTED)
    return figure


def figure2a(mixed: Simulation, independent: Simulation) -> Drawing:
    """Figure 2a: tau against cosine of simulated vectors that share a part with u, and of independent ones."""
    figure, axes = panels(2)
    for axis, found, title in zip(axes, (mixed, independent), ("mixed with $u$", "independent of $u$"), strict=True):
        axis.plot(found.cosine, found.kendall, "o", color=BLUE, markersize=2.6, alpha=0.45, markeredgewidth=0)
        named(axis, f"{title}: γ = {found.gamma:.2f}", "cosine with $u$", "Kendall's τ with $u$")
        axis.locator_params(nbins=6)
    return figure


def figure2c(found: Plane) -> Drawing:
    """Figure 2c: the attributions of two features, two networks as arcs, and one circle of equal distance."""
    figure = Drawing(figsize=(5.0, 4.9), layout="constrained")
    axis = figure.add_subplot()
    turn = np.linspace(0, np.pi / 2, 200)
    arcs = ((found.radius, "-", "$g$"), (found.trained_radius, "--", "$g^*$"))
    for radius, dash, name in arcs:
        axis.plot(radius * np.cos(turn), radius * np.sin(turn), dash, color=INK, linewidth=1.3)
        axis.annotate(name, (radius, 0.0), (4, 6), textcoords="offset points")
    distance = math.dist(found.wider, found.clean)
    axis.add_patch(Circle(found.clean, distance, fill=False, linestyle=":", edgecolor=MUTED, linewidth=1.2))
    points = (
        (found.clean, "$g(x)$", INK, (9, -5)),
        (found.nearer, "$g(x')$", BLUE, (6, 4)),
        (found.wider, "$g(x'')$", RED, (-40, -4)),
        (found.longer, "$g(x''')$", PURPLE, (6, 4)),
        (found.perturbed, r"$g(\tilde{x})$", GREEN, (7, -12)),
        (found.trained, r"$g^*(\tilde{x})$", GREEN, (6, -12)),
    )
    for point, name, colour, offset in points:
        axis.annotate("", point, (0, 0), arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.45, "shrinkB": 0})
        axis.plot(*point, "o", color=colour, markersize=5.5)
        axis.annotate(name, point, offset, textcoords="offset points", color=colour, fontsize=11)
    far = 1.98 * found.radius
    axis.set(xlim=(0, far), ylim=(0, far), aspect="equal", xticks=[], yticks=[])
    named(axis, "", "attribution of feature 1", "attribution of feature 2")
    axis.spines[["top", "right"]].set_visible(False)
    return figure
