"""Theorem 1: Kendall's tau of X and X' with a random Y, given that X has the larger cosine with it.

The theorem's condition is an event of Y, so its conclusion is read here as
``E[tau(X, Y) - tau(X', Y) | cos(X, Y) >= cos(X', Y)] >= 0`` with X and X' fixed. A Y whose law ignores the order
of its entries is a random order of its own values: averages over all orders of a few values are exact, and a
statement that holds for every set of values holds for every such law.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, permutations
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.errors import HoldfastError, unknown_name
from holdfast.metrics import kendall_tau
from holdfast.validate import check_count

Vector = NDArray[np.float64]
Law = Literal["exponential", "normal", "cauchy", "sparse"]
MOST_ORDERED = 8


def draw(law: Law, count: int, features: int, rng: np.random.Generator) -> Vector:
    """Vectors (count, features) whose law ignores the order of the entries.

    ``exponential`` is the theorem's exp(1); ``normal`` and ``cauchy`` have both signs, the latter no mean;
    ``sparse`` is exp(1) with half of the entries of each vector 0, so that many are tied.
    """
    if law not in get_args(Law):
        raise unknown_name("law", str(law), get_args(Law))
    if law == "normal":
        return rng.standard_normal((count, features))
    if law == "cauchy":
        return rng.standard_cauchy((count, features))
    values = rng.exponential(size=(count, features))
    if law == "sparse":
        zero = rng.permuted(np.tile(np.arange(features) < features // 2, (count, 1)), axis=1)
        values[zero] = 0.0
    return values


def pair_signs(vectors: Vector) -> NDArray[np.int64]:
    """``sign(v_i - v_j)`` of all pairs i < j: (..., features) to (..., pairs).

    >>> pair_signs(np.array([3.0, 1.0, 2.0])).tolist()
    [1, 1, -1]
    """
    i, j = np.triu_indices(vectors.shape[-1], 1)
    return np.sign(vectors[..., i] - vectors[..., j]).astype(np.int64)


@cache
def _orders(features: int) -> NDArray[np.int64]:
    check_count("features", features, least=2)
    if features > MOST_ORDERED:
        raise HoldfastError(
            f"features is {features}; all orders are tried, so at most {MOST_ORDERED}: use sampled_gap for more."
        )
    return np.array(list(permutations(range(features))))


def cosine_difference(x: Vector, x_other: Vector, y: Vector) -> Vector:
    """``|y| (cos(x, y) - cos(x_other, y))`` for each row of ``y``; its sign says which cosine is larger."""
    return y @ (x / np.linalg.norm(x) - x_other / np.linalg.norm(x_other))


@dataclass(frozen=True)
class Gap:
    """``E[tau(X, Y) - tau(X', Y) | cos(X, Y) >= cos(X', Y)]`` over all orders of the values of one Y.

    ``mean`` is not a number where no order meets the condition (``chance`` 0). ``least_term`` is the smallest
    contribution of a pair of features, an integer: the sum over those orders of
    ``(sign(x_i - x_j) - sign(x'_i - x'_j)) sign(y_i - y_j)``. ``reversed_share``: orders where tau fell
    although the cosine did not, as a share of those that meet the condition.
    """

    mean: float
    chance: float
    least_term: int
    reversed_share: float


def exact_gap(x: Vector, x_other: Vector, values: Vector) -> Gap:
    """The gap over all orders of ``values`` (features,), at most 8 of them.

    >>> exact_gap(np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0.5, 3.0])).mean
    2.0
    """
    orders = values[_orders(len(values))]
    signs = pair_signs(orders[cosine_difference(x, x_other, orders) >= 0])
    weights = pair_signs(x) - pair_signs(x_other)
    if not len(signs):
        return Gap(float("nan"), 0.0, 0, float("nan"))
    net = signs @ weights
    terms = weights * signs.sum(0)
    mean = float(net.mean() / len(weights))
    return Gap(mean, len(signs) / len(orders), int(terms.min()), float((net < 0).mean()))


@dataclass(frozen=True, eq=False)
class Gaps:
    """Many exact gaps; conditions that no order meets are left out. All arrays (cases,)."""

    mean: Vector
    chance: Vector
    least_term: int
    reversed_share: Vector


def _gather(gaps: Iterator[Gap]) -> Gaps:
    met = [gap for gap in gaps if gap.chance]
    return Gaps(
        np.array([gap.mean for gap in met]),
        np.array([gap.chance for gap in met]),
        min(gap.least_term for gap in met),
        np.array([gap.reversed_share for gap in met]),
    )


def random_pairs(features: int, cases: int, seed: int, vectors: Law = "exponential", y: Law = "exponential") -> Gaps:
    """Exact gaps of unrelated random X, X', one set of values of Y for each."""
    rng = np.random.default_rng(seed)
    drawn = (draw(law, cases, features, rng) for law in (vectors, vectors, y))
    return _gather(exact_gap(*case) for case in zip(*drawn, strict=True))


def single_scalings(features: int, cases: int, seed: int) -> Gaps:
    """Exact gaps where X' is a random exp(1) X with one entry, whichever, multiplied by a number in (0, 1]."""
    rng = np.random.default_rng(seed)

    def gaps() -> Iterator[Gap]:
        for x, values in zip(*(draw("exponential", cases, features, rng) for _ in range(2)), strict=True):
            scaled = x.copy()
            scaled[rng.integers(features)] *= 1.0 - rng.random()
            yield exact_gap(x, scaled, values)

    return _gather(gaps())


@dataclass(frozen=True)
class Swaps:
    """How much tau falls wherever a swap of two entries of X lowers its cosine with Y.

    ``least`` of the ``checked`` falls, and the ``bound`` 4 / (d (d - 1)): one pair of features turned round.
    """

    least: float
    bound: float
    checked: int


def single_swaps(features: int, cases: int, seed: int) -> Swaps:
    """Every swap of two entries of ``cases`` random exp(1) X, against all orders of exp(1) values."""
    rng = np.random.default_rng(seed)
    least, checked = 2.0, 0
    for x, values in zip(*(draw("exponential", cases, features, rng) for _ in range(2)), strict=True):
        orders = values[_orders(features)]
        signs = pair_signs(orders)
        for p, q in zip(*np.triu_indices(features, 1), strict=True):
            swapped = x.copy()
            swapped[[p, q]] = x[[q, p]]
            weights = pair_signs(x) - pair_signs(swapped)
            falls = (signs @ weights)[cosine_difference(x, swapped, orders) > 0] / len(weights)
            least, checked = min(least, float(falls.min())), checked + len(falls)
    return Swaps(least, 4 / (features * (features - 1)), checked)


def unconditional_sum(features: int, cases: int, seed: int) -> int:
    """Largest ``|sum of sign(y_i - y_j)|`` over all orders of exp(1) values, of any pair of features.

    0 says that the mean of tau(X, Y) is 0 for every X, whatever the cosines.

    >>> unconditional_sum(4, 2, seed=0)
    0
    """
    rng = np.random.default_rng(seed)
    sums = [pair_signs(values[_orders(features)]).sum(0) for values in draw("exponential", cases, features, rng)]
    return int(np.abs(sums).max())


@dataclass(frozen=True)
class RelaxedEvent:
    """The event that Appendix A.1 puts in the place of the cosine's (Eqs. 18 to 20), over all orders.

    Mean chance of each; ``missed``: orders in the cosine's event and not in the relaxed one.
    """

    cosine_chance: float
    relaxed_chance: float
    missed: int


def relaxed_event(features: int, cases: int, seed: int) -> RelaxedEvent:
    """The largest entry of X multiplied so that it falls below the second alone, as in the appendix."""
    rng = np.random.default_rng(seed)
    cosine, relaxed, missed = [], [], 0
    for drawn, values in zip(*(draw("exponential", cases, features, rng) for _ in range(2)), strict=True):
        x = np.sort(drawn / np.linalg.norm(drawn))[::-1]
        alpha = rng.uniform(x[2], x[1]) / x[0]
        scaled = x.copy()
        scaled[0] *= alpha
        length = np.linalg.norm(scaled)
        orders = values[_orders(features)]
        falls = cosine_difference(x, scaled, orders) >= 0
        ahead = orders[:, 0] >= (1 - length) * x[1] / ((length - alpha) * x[0]) * orders[:, 1]
        cosine.append(falls.mean())
        relaxed.append(ahead.mean())
        missed += int((falls & ~ahead).sum())
    return RelaxedEvent(float(np.mean(cosine)), float(np.mean(relaxed)), missed)


@dataclass(frozen=True)
class SampledGap:
    """The gap estimated from draws of Y: mean, its standard error, and the chance of the condition.

    ``greatest`` difference of tau among the draws that meet the condition; ``reversed_share`` of them below 0.
    """

    mean: float
    error: float
    chance: float
    greatest: float
    reversed_share: float

    @property
    def z(self) -> float:
        """The mean in standard errors; infinite where the difference never varies."""
        return self.mean / self.error if self.error else float(np.sign(self.mean)) * float("inf")


def tau_with(x: Vector, y: Vector) -> Vector:
    """Kendall's tau (Eq. 2) of ``x`` (features,) with each row of ``y`` (count, features)."""
    return kendall_tau(torch.from_numpy(np.tile(x, (len(y), 1))), torch.from_numpy(y), variant="a").numpy()


def sampled_gap(chain: Vector, draws: int, seed: int, law: Law = "exponential") -> SampledGap:
    """The gap between the first and the last row of ``chain`` (steps + 1, features), for any number of features.

    The condition is that no step of the chain raises the cosine; two rows X, X' give the end points alone.
    Raises HoldfastError where fewer than two draws meet the condition.
    """
    rng = np.random.default_rng(seed)
    y = draw(law, draws, chain.shape[1], rng)
    falls = [cosine_difference(a, b, y) >= 0 for a, b in pairwise(chain)]
    met = y[np.all(falls, axis=0)]
    if len(met) < 2:
        raise HoldfastError(f"{len(met)} of {draws} draws meet the condition; raise draws.")
    gap = tau_with(chain[0], met) - tau_with(chain[-1], met)
    error = float(gap.std(ddof=1) / np.sqrt(len(met)))
    return SampledGap(float(gap.mean()), error, len(met) / draws, float(gap.max()), float((gap < 0).mean()))
