"""Proposition 1 statement by statement: its right side, its left side at low and high contrast, and the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FormatStrFormatter, LogLocator

from holdfast.palette import BLUE, GREEN, INK, PURPLE, RED
from holdfast.paper.theory import scaled_count
from holdfast.paper.theory.activation import (
    Noise,
    Sweep,
    changed_images,
    contrast_sweep,
    cosines,
    count_gates,
    noise,
    predicted_consistency,
    predicted_ig_cosine,
    state_mix,
)
from holdfast.report.claim import Z_LIMIT, Claim, closeness_verdict, exact_verdict, sign_verdict
from holdfast.report.figures import legend, named, panels

PIXELS = 784
CLOSE = 0.05
SLOPE_TOLERANCE = 0.15


def proposition1(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Proposition 1: its right side, both sides for images of low and of high contrast, the noise, what it rewards.

    ``scale`` multiplies the number of networks and units: 1 takes about 15 seconds, 0.05 about one, but may leave
    statements undecided. All random numbers come from ``seed``.
    """
    networks = scaled_count(scale, 100, 10)
    rng = np.random.default_rng(seed)
    x, x_adv = changed_images(PIXELS, 0.3, rng)
    gates = count_gates(x, x_adv, scaled_count(scale, 200_000, 5000), seed)
    worst_z = max(abs(gates.z_active), abs(gates.z_both))
    pair = cosines(x, x_adv, networks, 2000, seed)
    right = predicted_consistency(pair.angle)
    error = pair.ig.std(ddof=1) / np.sqrt(networks)
    gradient_error = pair.gradient.std(ddof=1) / np.sqrt(networks)
    low = contrast_sweep((0.05, 0.1), networks, seed)
    low_right = np.array([predicted_consistency(angle) for angle in low.angle])
    low_gap = float(np.abs(low.ig - low_right).max())
    high = contrast_sweep((1.0, 3.0), networks, seed)
    high_gap = np.abs(high.gradient - [predicted_consistency(angle) for angle in high.angle])
    return [
        Claim(
            "With normal weights the right side of Eq. 6 is 1 - angle / pi: P(A) = P(B) = 1/2 for every image",
            exact_verdict(worst_z <= Z_LIMIT),
            f"{gates.active / gates.units:.4f} of the units active; both active over one half: "
            f"{2 * gates.both / gates.units:.4f} against {right:.4f}; z {gates.z_active:.1f} and {gates.z_both:.1f}",
            f"{gates.units} normal units of {PIXELS} features; refuted beyond {Z_LIMIT:.0f} standard errors",
        ),
        Claim(
            "Training that raises cos(IG(x), IG(x~)) raises activation consistency (Section 5.2)",
            "cannot be told",
            f"under the proposition's assumptions the right side is {right:.4f} for these images whatever the "
            "weights: it has nothing for training to change",
            "none: random weights cannot answer it; compare the activation consistency of trained networks",
        ),
        Claim(
            "cos(IG(x), IG(x~)) is close to the right side of Eq. 6 for images of low contrast",
            closeness_verdict(low_gap, float(low.ig_error.max()), CLOSE),
            f"largest difference {low_gap:.3f} at contrasts {low.contrast[0]:.2f} and {low.contrast[1]:.2f}; nearly "
            f"empty, since such images lie {np.degrees(low.angle.max()):.1f} degrees apart or less and both sides are "
            f"above {min(low.ig.min(), low_right.min()):.2f}",
            f"{networks} networks, {PIXELS} features; within {CLOSE} by more than {Z_LIMIT:.0f} standard errors",
        ),
        Claim(
            "cos(IG(x), IG(x~)) is close to the right side of Eq. 6 when pixels change by 0.3",
            closeness_verdict(float(pair.ig.mean() - right), float(error), CLOSE),
            f"{pair.ig.mean():.3f} against {right:.3f}; cos(angle) (1 - angle / pi) is "
            f"{predicted_ig_cosine(pair.angle):.3f}, at an angle of {np.degrees(pair.angle):.1f} degrees",
            f"{networks} networks of 2000 units, {PIXELS} features; within {CLOSE} by more than {Z_LIMIT:.0f} "
            "standard errors",
        ),
        Claim(
            "The cosine of the gradients is close to the right side of Eq. 6, at any contrast",
            closeness_verdict(
                max(abs(pair.gradient.mean() - right), *high_gap),
                max(gradient_error, *high.gradient_error),
                CLOSE,
            ),
            f"{pair.gradient.mean():.3f} against {right:.3f} for these images; differences {high_gap[0]:.3f} and "
            f"{high_gap[1]:.3f} for unrelated images of contrast {high.contrast[0]:.2f} and {high.contrast[1]:.2f}",
            "as before, for the largest of the three differences",
        ),
        *_proposition1_noise(scale, seed),
        _proposition1_states(),
    ]


def _proposition1_noise(scale: float, seed: int) -> list[Claim]:
    networks = scaled_count(scale, 200, 20)
    few = noise((10,), (500, 8000), networks, seed)
    more = noise((10, 30, 100, 300), (4000,), networks, seed)
    narrow, wide = few.deviation[0]
    fall_z = float(np.log(narrow / wide / 2) * np.sqrt(networks))
    return [
        Claim(
            "The cross terms dropped in Eq. 29 average out as the hidden layer widens",
            sign_verdict(fall_z),
            f"standard deviation of cos(IG) over networks of 10 features: {narrow:.3f} with 500 units, {wide:.3f} with "
            "8000, where averaging would divide it by 4",
            f"{networks} networks each; that the logarithm falls by half as much, beyond {Z_LIMIT:.0f} standard errors",
        ),
        Claim(
            "The cross terms dropped in Eq. 29 vanish as one over the root of the number of features",
            closeness_verdict(more.slope + 0.5, more.slope_error, SLOPE_TOLERANCE),
            f"standard deviation of cos(IG) over networks of 4000 units: "
            f"{', '.join(f'{value:.3f}' for value in more.deviation[:, 0])} for {more.features} features, slope "
            f"{more.slope:.2f} in logarithms",
            f"{networks} networks each; slope within {SLOPE_TOLERANCE} of -1/2 by more than {Z_LIMIT:.0f} "
            "standard errors",
        ),
    ]


def _proposition1_states() -> Claim:
    without, among = state_mix(20, 20, 0), state_mix(20, 20, 60)
    return Claim(
        "Maximising Eq. 6 also rewards units that are inactive at both images",
        exact_verdict(among.consistency > without.consistency),
        f"20 units active at both, 20 at one: {without.consistency:.4f}; with 60 more units inactive at both: "
        f"{among.consistency:.4f}, while the share of units in one state grows from {without.same_state:.0%} to "
        f"{among.same_state:.0%}",
        "exact: the right side of Eq. 6 of two networks with these units",
    )


def draw_proposition1(scale: float, seed: int) -> Drawing:
    """The figure of the proposition, from ``scale`` times 60 networks a contrast and 200 a width."""
    powers = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0)
    deviation = noise((10, 30, 100, 300), (30, 100, 1000), scaled_count(scale, 200, 20), seed)
    return proposition1_figure(contrast_sweep(powers, scaled_count(scale, 60, 8), seed), deviation)


def proposition1_figure(sweep: Sweep, noise: Noise) -> Drawing:
    """Both sides of Eq. 6 against the angle between the images, and the noise of its left side."""
    figure, axes = panels(2)
    angle = np.linspace(0, 1.08 * sweep.angle.max(), 100)
    degrees = np.degrees(angle)
    theory = ((predicted_consistency, "-", "$1 - θ/π$"), (predicted_ig_cosine, "--", "$\\cos θ\\,(1 - θ/π)$"))
    for predicted, dash, name in theory:
        axes[0].plot(degrees, [predicted(theta) for theta in angle], dash, color=INK, linewidth=1.3, label=name)
    measured = (
        ("activation consistency", sweep.consistency, None, "x", GREEN),
        ("cosine of gradients", sweep.gradient, sweep.gradient_error, "o", BLUE),
        ("cosine of IG", sweep.ig, sweep.ig_error, "s", RED),
    )
    for name, mean, error, marker, colour in measured:
        bars = None if error is None else 2 * error
        look: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 4.5, "linewidth": 1.1, "zorder": 3}
        axes[0].errorbar(np.degrees(sweep.angle), mean, bars, label=name, **look)
    axes[0].set_ylim(0, 1.03)
    legend(axes[0], loc="lower left")
    named(axes[0], "Equation 6 as contrast grows", "angle θ between the images (degrees)", "similarity")
    for column, (units, colour) in enumerate(zip(noise.units, (RED, GREEN, BLUE, PURPLE), strict=False)):
        axes[1].loglog(
            noise.features, noise.deviation[:, column], "o-", color=colour, markersize=4, label=f"{units} units"
        )
    reference = noise.deviation[0, -1] * np.sqrt(noise.features[0] / np.array(noise.features))
    axes[1].loglog(noise.features, reference, "--", color=INK, linewidth=1.1, label="$1/\\sqrt{d}$")
    axes[1].set_xticks(noise.features, [str(features) for features in noise.features])
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes[1].minorticks_off()
    legend(axes[1], loc="lower left")
    named(axes[1], "cosine of IG from network to network", "features $d$", "standard deviation")
    return figure
