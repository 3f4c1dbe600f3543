"""Proposition 1: cosines of the attributions of a random one-layer ReLU network, and activation consistency.

The network is the proposition's, ``f(x) = u ReLU(W x)`` with independent standard normal W (units, features) and
u (units,), no biases; variances other than 1 and the output bias cancel in every cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import skip_init

from holdfast.errors import HoldfastError
from holdfast.metrics import activation_consistency
from holdfast.validate import check_count

Vector = NDArray[np.float64]


def angle_between(x: Vector, x_adv: Vector) -> float:
    """Angle in radians, 0 to pi.

    >>> round(angle_between(np.array([1.0, 0.0]), np.array([1.0, 1.0])) / np.pi, 6)
    0.25
    """
    return float(np.arccos(np.clip(_cosine(x, x_adv), -1.0, 1.0)))


def _cosine(a: Vector, b: Vector) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def predicted_consistency(angle: float) -> float:
    """Right side of Eq. 6 in closed form, ``1 - angle / pi``.

    A standard normal w has ``P(w x > 0) = 1/2`` for every x, and ``P(w x > 0 and w x' > 0)`` is the share
    ``(pi - angle) / (2 pi)`` of directions on the positive side of both.

    >>> predicted_consistency(np.pi / 2)
    0.5
    """
    return 1.0 - angle / float(np.pi)


def predicted_ig_cosine(angle: float) -> float:
    """What cos(IG(x), IG(x~)) tends to with many features: ``cos(angle) (1 - angle / pi)``.

    Without biases IG is the image times the gradient. The product with the images puts their own cosine
    before the right side of Eq. 6, which the appendix drops when it sets all pixels equal (Eq. 28).
    """
    return float(np.cos(angle)) * predicted_consistency(angle)


def changed_images(features: int, change: float, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """A grey image and one that differs by ``change`` up or down in each pixel: two arrays (features,) in [0, 1].

    Pixels of the first lie within a third of ``change`` around 0.5, so that a small ``change`` makes both images
    of low contrast. Raises HoldfastError for a change above 0.375, which leaves [0, 1].
    """
    if not 0 <= change <= 0.375:
        raise HoldfastError(f"change is {change}; it must lie in [0, 0.375] to keep pixels in [0, 1].")
    x = 0.5 + change / 3 * rng.uniform(-1, 1, features)
    return x, x + change * rng.choice([-1.0, 1.0], features)


def unrelated_images(features: int, power: float, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Two independent images of uniform pixels to ``power``: two arrays (features,) in [0, 1].

    Power 0 is a constant image; the contrast (standard deviation over mean) is ``power / sqrt(2 power + 1)``, and
    the cosine of the two images tends to ``1 / (1 + contrast ** 2)``.
    """
    first, second = rng.uniform(size=(2, features)) ** power
    return first, second


@dataclass(frozen=True, eq=False)
class Cosines:
    """One pair of images in many networks: arrays (networks,), and the angle between the images in radians.

    ``consistency`` is the right side of Eq. 6 with the shares of the network's units as probabilities.
    """

    angle: float
    ig: Vector
    gradient: Vector
    consistency: Vector


def cosines(x: Vector, x_adv: Vector, networks: int, units: int, seed: int) -> Cosines:
    """Draw networks and compare their attributions of ``x`` and ``x_adv``, both (features,).

    IG is exact in closed form: without biases the gates do not change between the black image and x, so it is
    the image times the gradient. Cost: 3 products with W (units, features) a network.
    """
    check_count("networks", networks)
    check_count("units", units)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(networks):
        weights = rng.standard_normal((units, len(x)))
        gates = weights @ np.stack([x, x_adv], axis=1) > 0
        gradients = (gates * rng.standard_normal((units, 1))).T @ weights
        maps = gradients * np.stack([x, x_adv])
        active = gates.mean(0)
        consistency = gates.all(1).mean() / np.sqrt(active.prod())
        rows.append((_cosine(*maps), _cosine(*gradients), consistency))
    return Cosines(angle_between(x, x_adv), *np.array(rows).T)


@dataclass(frozen=True)
class GateCounts:
    """How many of ``units`` normal units were active at x, and at both images; z against 1/2 and (1 - angle/pi)/2."""

    angle: float
    units: int
    active: int
    both: int

    @property
    def z_active(self) -> float:
        """Excess of ``active`` over its expectation in standard errors."""
        return _binomial_z(self.active, self.units, 0.5)

    @property
    def z_both(self) -> float:
        """Excess of ``both`` over its expectation in standard errors."""
        return _binomial_z(self.both, self.units, predicted_consistency(self.angle) / 2)


def _binomial_z(count: int, total: int, chance: float) -> float:
    return float((count - total * chance) / np.sqrt(total * chance * (1 - chance)))


def count_gates(x: Vector, x_adv: Vector, units: int, seed: int) -> GateCounts:
    """Gates of ``units`` independent normal units at two images (features,)."""
    check_count("units", units)
    rng = np.random.default_rng(seed)
    active = both = 0
    for start in range(0, units, 1000):
        gates = rng.standard_normal((min(1000, units - start), len(x))) @ np.stack([x, x_adv], axis=1) > 0
        active += int(gates[:, 0].sum())
        both += int(gates.all(1).sum())
    return GateCounts(angle_between(x, x_adv), units, active, both)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Means over networks for pairs of growing contrast: arrays (pairs,); the errors are standard errors.

    ``contrast`` is the standard deviation of the first image's pixels over their mean.
    """

    contrast: Vector
    angle: Vector
    ig: Vector
    ig_error: Vector
    gradient: Vector
    gradient_error: Vector
    consistency: Vector


def contrast_sweep(powers: Sequence[float], networks: int, seed: int, features: int = 784, units: int = 1000) -> Sweep:
    """``cosines`` of ``unrelated_images`` for each of ``powers``."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, power in enumerate(powers):
        x, x_adv = unrelated_images(features, power, rng)
        found = cosines(x, x_adv, networks, units, seed + i)
        means = (*_mean_and_error(found.ig), *_mean_and_error(found.gradient), found.consistency.mean())
        rows.append((x.std() / x.mean(), found.angle, *means))
    return Sweep(*np.array(rows).T)


def _mean_and_error(values: Vector) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True, eq=False)
class Noise:
    """Standard deviation of cos(IG(x), IG(x~)) over networks: ``deviation`` (features, units) and its two axes.

    It falls with both. However many units there are, the cross terms dropped in Eq. 29 leave a part that
    shrinks only with the number of features.
    """

    networks: int
    features: tuple[int, ...]
    units: tuple[int, ...]
    deviation: Vector

    @property
    def slope(self) -> float:
        """Slope of log deviation against log features at the largest number of units, by least squares."""
        return float(np.polyfit(np.log(self.features), np.log(self.deviation[:, -1]), 1)[0])

    @property
    def slope_error(self) -> float:
        """Standard error of the slope; that of the logarithm of a standard deviation is ``(2 networks)**-0.5``."""
        return float(1 / np.sqrt(2 * self.networks) / np.sqrt(len(self.features)) / np.std(np.log(self.features)))


def noise(features: Sequence[int], units: Sequence[int], networks: int, seed: int, change: float = 0.3) -> Noise:
    """``cosines`` of ``changed_images`` for every number of features and of units, both in rising order."""
    rng = np.random.default_rng(seed)
    pairs = [changed_images(d, change, rng) for d in features]
    deviation = [[cosines(*pair, networks, m, seed + 1).ig.std(ddof=1) for m in units] for pair in pairs]
    return Noise(networks, tuple(features), tuple(units), np.array(deviation))


@dataclass(frozen=True)
class StateMix:
    """Right side of Eq. 6 for a network's units, and the share of them in the same state at both images."""

    consistency: float
    same_state: float


def state_mix(both_active: int, changed: int, both_inactive: int) -> StateMix:
    """A network with so many units that are active at both images, at the first alone, and at neither.

    >>> state_mix(both_active=3, changed=0, both_inactive=5)
    StateMix(consistency=1.0, same_state=1.0)
    """
    counts = (both_active, changed, both_inactive)
    layer = skip_init(torch.nn.Linear, 2, sum(counts), bias=False, dtype=torch.float64)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    layer.weight.data = rows.repeat_interleave(torch.tensor(counts), dim=0)
    x, x_adv = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]], dtype=torch.float64)
    consistency = activation_consistency(torch.nn.Sequential(layer, torch.nn.ReLU()), x, x_adv)
    return StateMix(float(consistency), 1 - changed / sum(counts))
