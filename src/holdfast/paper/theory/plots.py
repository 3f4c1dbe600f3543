"""The paper's Figures 1, 2a and 2c again, and a figure for Theorem 1 and each proposition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle, Patch, Polygon
from matplotlib.ticker import FormatStrFormatter, LogLocator

from holdfast.errors import HoldfastError
from holdfast.palette import COLOURS, FAINT, INK, MUTED
from holdfast.paper.theory.activation import Noise, Sweep, predicted_consistency, predicted_ig_cosine
from holdfast.paper.theory.chain import chain_normals, exact_chain_gap, order_normals, triangle_region
from holdfast.paper.theory.geometry import EqualDistances, Plane, Simulation
from holdfast.paper.theory.gradient_norm import Network, NetworkPairs, expected_distance, sampled_distances
from holdfast.paper.theory.kendall_cosine import Gaps, Vector, pair_signs

_BLUE, _RED, _GREEN, _PURPLE = COLOURS[:4]
_TITLE: dict[str, Any] = {"fontsize": 9.5, "loc": "left", "color": INK}


def _panels(count: int, width: float = 3.9, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * count, height), layout=ConstrainedLayoutEngine(wspace=0.06))
    axes = list(np.ravel(figure.subplots(1, count)))
    for axis in axes:
        axis.tick_params(labelsize=8, colors=INK, length=0)
        axis.grid(color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[:].set_visible(False)
    return figure, axes


def _name(axis: Axes, title: str, x: str, y: str) -> None:
    axis.set_title(title, **_TITLE)
    axis.set_xlabel(x, fontsize=8.5, color=INK)
    axis.set_ylabel(y, fontsize=8.5, color=INK)


def _legend(axis: Axes, **where: Any) -> None:
    look: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK, **where}
    axis.legend(**look)


def figure1(found: EqualDistances) -> Figure:
    """Figure 1: images above, their IG below on one colour scale, with distance, tau and cosine to the clean map."""
    figure = Figure(figsize=(7.2, 4.0), layout=ConstrainedLayoutEngine(wspace=0.04))
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


def figure2a(mixed: Simulation, independent: Simulation) -> Figure:
    """Figure 2a: tau against cosine of simulated vectors that share a part with u, and of independent ones."""
    figure, axes = _panels(2)
    for axis, found, title in zip(axes, (mixed, independent), ("mixed with $u$", "independent of $u$"), strict=True):
        axis.plot(found.cosine, found.kendall, "o", color=_BLUE, markersize=2.6, alpha=0.45, markeredgewidth=0)
        _name(axis, f"{title}: γ = {found.gamma:.2f}", "cosine with $u$", "Kendall's τ with $u$")
        axis.locator_params(nbins=6)
    return figure


def figure2c(plane: Plane) -> Figure:
    """Figure 2c: the attributions of two features, two networks as arcs, and one circle of equal distance."""
    figure = Figure(figsize=(5.0, 4.9), layout="constrained")
    axis = figure.add_subplot()
    turn = np.linspace(0, np.pi / 2, 200)
    arcs = ((plane.radius, "-", "$g$"), (plane.trained_radius, "--", "$g^*$"))
    for radius, dash, name in arcs:
        axis.plot(radius * np.cos(turn), radius * np.sin(turn), dash, color=INK, linewidth=1.3)
        axis.annotate(name, (radius, 0.0), (4, 6), textcoords="offset points")
    distance = math.dist(plane.wider, plane.clean)
    axis.add_patch(Circle(plane.clean, distance, fill=False, linestyle=":", edgecolor=MUTED, linewidth=1.2))
    points = (
        (plane.clean, "$g(x)$", INK, (9, -5)),
        (plane.nearer, "$g(x')$", _BLUE, (6, 4)),
        (plane.wider, "$g(x'')$", _RED, (-40, -4)),
        (plane.longer, "$g(x''')$", _PURPLE, (6, 4)),
        (plane.perturbed, r"$g(\tilde{x})$", _GREEN, (7, -12)),
        (plane.trained, r"$g^*(\tilde{x})$", _GREEN, (6, -12)),
    )
    for point, name, colour, offset in points:
        axis.annotate("", point, (0, 0), arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.45, "shrinkB": 0})
        axis.plot(*point, "o", color=colour, markersize=5.5)
        axis.annotate(name, point, offset, textcoords="offset points", color=colour, fontsize=11)
    far = 1.98 * plane.radius
    axis.set(xlim=(0, far), ylim=(0, far), aspect="equal", xticks=[], yticks=[])
    axis.set_xlabel("attribution of feature 1", fontsize=8.5, color=INK)
    axis.set_ylabel("attribution of feature 2", fontsize=8.5, color=INK)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def theorem1_figure(ends: Mapping[str, Gaps], chain: Vector) -> Figure:
    """Means given the ends' cosines for random pairs, by name, and a chain (steps + 1, 3) that breaks the induction.

    On the right every point of the triangle is a Y of three entries divided by its sum, and exp(1) spreads them
    evenly: the colour says whether tau falls or rises from X to X', where the cosine falls; the hatched part is
    where it falls at every step of the chain.
    """
    if not ends:
        raise HoldfastError("ends is empty; pass at least one set of gaps to draw.")
    figure, axes = _panels(2, height=3.6)
    gap = exact_chain_gap(chain)
    edges = np.linspace(0, 2, 41)
    for (name, found), colour in zip(ends.items(), (_BLUE, _GREEN, _PURPLE), strict=False):
        share, _ = np.histogram(found.mean, edges)
        axes[0].stairs(share / len(found.mean), edges, color=colour, linewidth=1.6, label=f"{name}: ends")
    axes[0].axvline(0, color=MUTED, linewidth=0.9)
    axes[0].axvline(gap.along, color=_RED, linewidth=1.8, linestyle="--", label="the chain on the right")
    axes[0].set_xlim(min(-0.9, gap.along - 0.2), 1.6)
    _legend(axes[0], loc="upper right")
    _name(axes[0], "mean of τ(X, Y) − τ(X′, Y) given the cosines", "conditional mean", "share of random pairs")
    _triangle(axes[1], chain)
    axes[1].set_title(f"given the ends {gap.ends:+.2f}, along the chain {gap.along:+.2f}".replace("-", "−"), **_TITLE)
    return figure


def _triangle(axis: Axes, chain: Vector) -> None:
    def shown(corners: Vector) -> Vector:
        return corners @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])

    ends, along = chain_normals(chain[[0, -1]]), chain_normals(chain)
    weights = pair_signs(chain[0]) - pair_signs(chain[-1])
    for order in permutations(range(3)):
        region = triangle_region(np.vstack([ends, order_normals(order)]))
        change = int(weights @ pair_signs(np.argsort(order).astype(np.float64)))
        if len(region) and change:
            axis.add_patch(Polygon(shown(region), facecolor=_BLUE if change > 0 else _RED, alpha=0.35, linewidth=0))
        axis.add_patch(Polygon(shown(triangle_region(order_normals(order))), fill=False, edgecolor="white"))
    axis.add_patch(Polygon(shown(triangle_region(along)), fill=False, hatch="////", edgecolor=INK, linewidth=1.2))
    axis.add_patch(Polygon(shown(np.eye(3)), fill=False, edgecolor=MUTED))
    for corner, name, place in zip(np.eye(3), ("$y_1$", "$y_2$", "$y_3$"), ("right", "left", "center"), strict=True):
        x, y = shown(corner)
        axis.text(x, y + (0.02 if place == "center" else -0.07), name, ha="center", color=INK, fontsize=9.5)
    handles = [
        Patch(facecolor=_BLUE, alpha=0.35, label="τ falls with the cosine"),
        Patch(facecolor=_RED, alpha=0.35, label="τ rises"),
        Patch(fill=False, hatch="////", edgecolor=INK, label="cosine falls at every step"),
    ]
    _legend(axis, handles=handles, loc="upper left", bbox_to_anchor=(-0.08, 1.0))
    axis.set(xlim=(-0.35, 1.08), ylim=(-0.1, 0.98), aspect="equal")
    axis.set_axis_off()


def proposition1_figure(sweep: Sweep, noise: Noise) -> Figure:
    """Both sides of Eq. 6 against the angle between the images, and the noise of its left side."""
    figure, axes = _panels(2)
    angle = np.linspace(0, 1.08 * sweep.angle.max(), 100)
    degrees = np.degrees(angle)
    axes[0].plot(
        degrees, [predicted_consistency(theta) for theta in angle], color=INK, linewidth=1.3, label="$1 - θ/π$"
    )
    axes[0].plot(
        degrees,
        [predicted_ig_cosine(theta) for theta in angle],
        "--",
        color=INK,
        linewidth=1.3,
        label="$\\cos θ\\,(1 - θ/π)$",
    )
    measured = (
        ("activation consistency", sweep.consistency, None, "x", _GREEN),
        ("cosine of gradients", sweep.gradient, sweep.gradient_error, "o", _BLUE),
        ("cosine of IG", sweep.ig, sweep.ig_error, "s", _RED),
    )
    for name, mean, error, marker, colour in measured:
        bars = None if error is None else 2 * error
        axes[0].errorbar(
            np.degrees(sweep.angle),
            mean,
            bars,
            fmt=marker,
            color=colour,
            markersize=4.5,
            linewidth=1.1,
            label=name,
            zorder=3,
        )
    axes[0].set_ylim(0, 1.03)
    _legend(axes[0], loc="lower left")
    _name(axes[0], "Equation 6 as contrast grows", "angle θ between the images (degrees)", "similarity")
    for column, (units, colour) in enumerate(zip(noise.units, (_RED, _GREEN, _BLUE, _PURPLE), strict=False)):
        axes[1].loglog(
            noise.features, noise.deviation[:, column], "o-", color=colour, markersize=4, label=f"{units} units"
        )
    reference = noise.deviation[0, -1] * np.sqrt(noise.features[0] / np.array(noise.features))
    axes[1].loglog(noise.features, reference, "--", color=INK, linewidth=1.1, label="$1/\\sqrt{d}$")
    axes[1].set_xticks(noise.features, [str(features) for features in noise.features])
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes[1].minorticks_off()
    _legend(axes[1], loc="lower left")
    _name(axes[1], "cosine of IG from network to network", "features $d$", "standard deviation")
    return figure


def proposition2_figure(pairs: NetworkPairs, psi: Network, phi: Network, draws: int, seed: int) -> Figure:
    """Ratios psi / phi of the squared and of the plain norm, and the two distributions of the counterexample."""
    figure, axes = _panels(2)
    exact = [expected_distance(network) for network in (psi, phi)]
    squared, plain = pairs.squared[:, 0] / pairs.squared[:, 1], pairs.norm[:, 0] / pairs.norm[:, 1]
    axes[0].axhline(1, color=MUTED, linewidth=0.9)
    axes[0].axvline(1, color=MUTED, linewidth=0.9)
    axes[0].plot(squared, plain, "o", color=_BLUE, markersize=3.5, alpha=0.6, markeredgewidth=0, label="random pairs")
    axes[0].plot(
        exact[0].squared / exact[1].squared,
        exact[0].norm / exact[1].norm,
        "D",
        color=_RED,
        markersize=6,
        label="counterexample",
    )
    axes[0].set(xlim=(0, 1.1), ylim=(0, 1.25))
    axes[0].text(0.02, 1.02, "squared smaller, norm larger", fontsize=8, color=MUTED)
    _legend(axes[0], loc="lower center")
    _name(axes[0], "ψ divided by φ", "expected squared norm", "expected norm")
    samples = [sampled_distances(network, draws, seed) for network in (psi, phi)]
    edges = np.linspace(0, float(np.quantile(np.concatenate(samples), 0.999)), 60).tolist()
    for sample, distance, name, colour in zip(
        samples, exact, ("ψ: orthogonal", "φ: equal"), (_RED, _BLUE), strict=True
    ):
        axes[1].hist(sample, edges, density=True, color=colour, alpha=0.35, label=f"{name} units")
        axes[1].axvline(distance.norm, color=colour, linewidth=1.6, label=f"mean {distance.norm:.2f}")
        axes[1].axvline(
            np.sqrt(distance.squared),
            color=colour,
            linewidth=1.6,
            linestyle=":",
            label=f"root mean square {np.sqrt(distance.squared):.2f}",
        )
    _legend(axes[1], loc="upper right")
    _name(axes[1], "the counterexample", r"$\Vert\nabla f(x) - \nabla f(\tilde{x})\Vert$", "density")
    return figure
