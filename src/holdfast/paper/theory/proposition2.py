"""Proposition 2 statement by statement, and its figure: how far apart the gradients at x and x~ are.

In a one-layer ReLU network with fixed weights W (units, features) and normal output weights u, the difference of the
two gradients is the sum of ``u_i W_i`` with a sign over the units N whose state differs: a normal vector with
covariance ``sum of W_i W_i^T over N``. Its expected squared norm and its expected norm both follow without drawing u.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray
from scipy.integrate import quad

from holdfast.errors import HoldfastError
from holdfast.palette import BLUE, MUTED, RED
from holdfast.paper.theory import scaled_count
from holdfast.report.claim import Claim, exact_verdict
from holdfast.report.figures import legend, named, panels
from holdfast.validate import check_count

Vector = NDArray[np.float64]
FEATURES = 50
MANY_Z_LIMIT = 5.0


class Network(NamedTuple):
    """First-layer weights (units, features) of ``f(x) = u ReLU(W x)`` and the two images (features,)."""

    weights: Vector
    x: Vector
    x_adv: Vector

    @property
    def changed(self) -> Vector:
        """Weights (n, features) of the units N whose state differs between the images (active: input >= 0)."""
        states = self.weights @ np.stack([self.x, self.x_adv], axis=1) >= 0
        return self.weights[states[:, 0] != states[:, 1]]

    @property
    def coordinate_sums(self) -> Vector:
        """``|N|`` times Eq. 8 for each feature: sums (features,) of squared weights over N."""
        return (self.changed**2).sum(0)


@dataclass(frozen=True)
class Distance:
    """``E ||difference||**2`` and ``E ||difference||`` of the gradients at the two images, for standard normal u."""

    changed_units: int
    squared: float
    norm: float


def expected_distance(network: Network) -> Distance:
    """Both expectations, the second by numerical integration to about 1e-8 of itself.

    >>> one_unit = Network(np.array([[3.0, 4.0]]), np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
    >>> expected_distance(one_unit).squared
    25.0
    """
    changed = network.changed
    spread = np.linalg.svd(changed, compute_uv=False) ** 2
    return Distance(len(changed), float((changed**2).sum()), expected_norm(spread))


def expected_norm(spread: NDArray[np.floating]) -> float:
    """``E sqrt(sum of spread_i z_i**2)`` for independent standard normal z, spread (n,) not negative.

    It is ``pi**-0.5`` times the integral over t > 0 of ``(1 - prod (1 + 2 spread_i t**2)**-0.5) / t**2``.

    >>> round(expected_norm(np.array([np.pi / 2])), 6)
    1.0
    """
    scale = float(np.sum(spread))
    if scale == 0:
        return 0.0

    def integrand(t: float) -> float:
        return -float(np.expm1(-0.5 * np.log1p(2 * spread / scale * t * t).sum())) / (t * t)

    near, far = quad(integrand, 0, 1)[0], quad(lambda s: integrand(1 / s) / (s * s), 0, 1)[0]
    return float(np.sqrt(scale / np.pi) * (near + far))


def sampled_distances(network: Network, draws: int, seed: int) -> Vector:
    """Norms (draws,) of the difference of the two input gradients of the whole network, u drawn anew each time."""
    check_count("draws", draws)
    weights, x, x_adv = network
    first, second = (weights @ image >= 0 for image in (x, x_adv))
    u = np.random.default_rng(seed).standard_normal((draws, len(weights)))
    return np.linalg.norm((u * first) @ weights - (u * second) @ weights, axis=1)


def orthogonal_units(features: int) -> Network:
    """One unit a feature along its axis; images all 1 and all -1, so that every unit changes."""
    ones = np.ones(features)
    return Network(np.eye(features), ones, -ones)


def identical_units(features: int, coordinate_sum: float = 1.2) -> Network:
    """``features + 1`` equal units; images all 1 and all -1, so that every unit changes.

    In every feature the squared weights add up to ``coordinate_sum``, against 1 for ``orthogonal_units``.
    """
    ones = np.ones(features)
    weights = np.full((features + 1, features), np.sqrt(coordinate_sum / (features + 1)))
    return Network(weights, ones, -ones)


def with_pixels(network: Network) -> Network:
    """The same comparison with images in [0, 1], in twice the features: x = (1, 0), x~ = (0, 1), weights (W, -W).

    For ``orthogonal_units`` and ``identical_units``; the expected norm grows by the root of 2.
    """
    zeros = np.zeros_like(network.x)
    return Network(
        np.hstack([network.weights, -network.weights]),
        np.concatenate([network.x, zeros]),
        np.concatenate([zeros, network.x]),
    )


@dataclass(frozen=True, eq=False)
class NetworkPairs:
    """Random pairs (psi, phi) that meet the assumption of Eq. 8: two columns, psi and phi, in each (pairs, 2).

    ``sampled_squared`` and ``sampled_error`` estimate ``squared`` from draws of u, with standard errors.
    """

    changed_units: NDArray[np.int64]
    squared: Vector
    norm: Vector
    sampled_squared: Vector
    sampled_error: Vector

    @property
    def fewer(self) -> NDArray[np.bool_]:
        """Pairs (pairs,) where psi has fewer changed units than phi, the other assumption of the proposition."""
        return self.changed_units[:, 0] < self.changed_units[:, 1]

    @property
    def greatest_z(self) -> float:
        """Largest distance of a sampled squared norm from its closed form, in standard errors."""
        return float(np.abs((self.sampled_squared - self.squared) / self.sampled_error).max())


def random_network_pairs(pairs: int, draws: int, seed: int, features: int = 8, units: int = 40) -> NetworkPairs:
    """Random networks at random images, two at a time, of unlike sizes of weights; those that meet Eq. 8's assumption.

    The assumption, ``gamma`` times psi's mean below phi's for every feature, is tested as printed. Raises
    HoldfastError where fewer than ``pairs`` are found among 200 times as many.
    """
    check_count("pairs", pairs)
    rng = np.random.default_rng(seed)
    found: list[tuple[Network, Network]] = []
    for _ in range(200 * pairs):
        psi, phi = (_random_network(features, units, rng) for _ in range(2))
        if _meets_assumption(psi, phi):
            found.append((psi, phi))
        if len(found) == pairs:
            break
    else:
        raise HoldfastError(f"{len(found)} of {pairs} pairs met the assumption; raise units or lower features.")
    exact = [[expected_distance(network) for network in pair] for pair in found]
    sampled = np.array(
        [
            [sampled_distances(network, draws, seed + 1 + 2 * i + j) ** 2 for j, network in enumerate(pair)]
            for i, pair in enumerate(found)
        ]
    )
    return NetworkPairs(
        np.array([[d.changed_units for d in pair] for pair in exact]),
        np.array([[d.squared for d in pair] for pair in exact]),
        np.array([[d.norm for d in pair] for pair in exact]),
        sampled.mean(2),
        sampled.std(2, ddof=1) / np.sqrt(draws),
    )


def _random_network(features: int, units: int, rng: np.random.Generator) -> Network:
    weights = rng.standard_normal((units, features)) * np.exp(rng.normal(scale=0.5))
    x = rng.uniform(size=features)
    return Network(weights, x, np.clip(x + rng.uniform(0.1, 0.8) * rng.choice([-1.0, 1.0], features), 0, 1))


def _meets_assumption(psi: Network, phi: Network) -> bool:
    changed_psi, changed_phi = len(psi.changed), len(phi.changed)
    if not changed_psi or not changed_phi:
        return False
    gamma = changed_psi / changed_phi
    return bool((gamma * psi.coordinate_sums / changed_psi < phi.coordinate_sums / changed_phi).all())


def proposition2(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Proposition 2 with the norm squared and as printed, and its two assumptions.

    ``scale`` multiplies the number of random networks and draws: 1 takes about a second. All random numbers come from
    ``seed``.
    """
    draws = scaled_count(scale, 4000, 200)
    pairs = random_network_pairs(scaled_count(scale, 200, 20), draws, seed)
    total, fewer = len(pairs.squared), int(pairs.fewer.sum())
    in_order = pairs.squared[:, 0] < pairs.squared[:, 1]
    psi, phi = expected_distance(orthogonal_units(FEATURES)), expected_distance(identical_units(FEATURES))
    drawn = [sampled_distances(f(FEATURES), draws, seed).mean() for f in (orthogonal_units, identical_units)]
    pixel_psi, pixel_phi = (
        expected_distance(with_pixels(f(FEATURES // 2))) for f in (orthogonal_units, identical_units)
    )
    large = orthogonal_units(FEATURES)
    large_squared = expected_distance(large._replace(weights=2 * large.weights)).squared
    return [
        Claim(
            "The expected squared norm of the difference of the two gradients is smaller for psi (Eqs. 43 and 44)",
            exact_verdict(bool(in_order[pairs.fewer].all()) and pairs.greatest_z <= MANY_Z_LIMIT),
            f"in {int(in_order[pairs.fewer].sum())} of {fewer} random pairs of networks that meet both assumptions; "
            f"the closed form lies within {pairs.greatest_z:.1f} standard errors of draws of u in {2 * total} networks",
            f"closed form, and {draws} draws of u for each network; refuted by one pair, or by one network beyond "
            f"{MANY_Z_LIMIT:.0f} standard errors",
        ),
        Claim(
            "The expected norm, not squared, is smaller for psi (Eqs. 9 and 45 as printed)",
            exact_verdict(psi.norm < phi.norm and pixel_psi.norm < pixel_phi.norm),
            f"{psi.changed_units} orthogonal units against {phi.changed_units} equal ones, d = {FEATURES}: norm "
            f"{psi.norm:.3f} > {phi.norm:.3f}, although squared {psi.squared:.1f} < {phi.squared:.1f} (drawn: "
            f"{drawn[0]:.3f} and {drawn[1]:.3f}); with pixels in [0, 1]: {pixel_psi.norm:.3f} > {pixel_phi.norm:.3f}; "
            f"in the random pairs the order held in {int((pairs.norm[:, 0] < pairs.norm[:, 1]).sum())} of {total}",
            "numerical integration of the exact expression; one counterexample decides",
        ),
        Claim(
            "The assumption |N(psi)| < |N(phi)| is needed",
            exact_verdict(not in_order[~pairs.fewer].all()),
            f"of {total - fewer} random pairs that meet the other assumption and not this one, "
            f"{int(in_order[~pairs.fewer].sum())} have the smaller squared norm for psi: gamma times psi's mean below "
            "phi's says that already, feature by feature",
            "closed form",
        ),
        Claim(
            "The assumption |N(psi)| < |N(phi)| is enough: fewer units that change state bring the gradients closer",
            exact_verdict(large_squared < phi.squared),
            f"{psi.changed_units} orthogonal units of twice the weights against the same {phi.changed_units}: squared "
            f"norm {large_squared:.0f} > {phi.squared:.0f}",
            "closed form; one counterexample decides",
        ),
    ]


def draw_proposition2(scale: float, seed: int) -> Drawing:
    """The figure of the proposition, from ``scale`` times 200 pairs of networks."""
    draws = scaled_count(scale, 20_000, 2000)
    pairs = random_network_pairs(scaled_count(scale, 200, 20), draws // 10, seed)
    return proposition2_figure(pairs, orthogonal_units(FEATURES), identical_units(FEATURES), draws, seed)


def proposition2_figure(pairs: NetworkPairs, psi: Network, phi: Network, draws: int, seed: int) -> Drawing:
    """Ratios psi / phi of the squared and of the plain norm, and the two distributions of the counterexample."""
    figure, axes = panels(2)
    exact = [expected_distance(network) for network in (psi, phi)]
    squared, plain = pairs.squared[:, 0] / pairs.squared[:, 1], pairs.norm[:, 0] / pairs.norm[:, 1]
    axes[0].axhline(1, color=MUTED, linewidth=0.9)
    axes[0].axvline(1, color=MUTED, linewidth=0.9)
    axes[0].plot(squared, plain, "o", color=BLUE, markersize=3.5, alpha=0.6, markeredgewidth=0, label="random pairs")
    ratios = exact[0].squared / exact[1].squared, exact[0].norm / exact[1].norm
    axes[0].plot(*ratios, "D", color=RED, markersize=6, label="counterexample")
    axes[0].set(xlim=(0, 1.1), ylim=(0, 1.25))
    axes[0].text(0.02, 1.02, "squared smaller, norm larger", fontsize=8, color=MUTED)
    legend(axes[0], loc="lower center")
    named(axes[0], "ψ divided by φ", "expected squared norm", "expected norm")
    samples = [sampled_distances(network, draws, seed) for network in (psi, phi)]
    edges = np.linspace(0, float(np.quantile(np.concatenate(samples), 0.999)), 60).tolist()
    for sample, distance, name, colour in zip(samples, exact, ("ψ: orthogonal", "φ: equal"), (RED, BLUE), strict=True):
        axes[1].hist(sample, edges, density=True, color=colour, alpha=0.35, label=f"{name} units")
        for what, value, dash in (("mean", distance.norm, "-"), ("root mean square", np.sqrt(distance.squared), ":")):
            axes[1].axvline(value, color=colour, linewidth=1.6, linestyle=dash, label=f"{what} {value:.2f}")
    legend(axes[1], loc="upper right")
    named(axes[1], "the counterexample", r"$\Vert\nabla f(x) - \nabla f(\tilde{x})\Vert$", "density")
    return figure
