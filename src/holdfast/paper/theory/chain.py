"""The induction of Theorem 1 over a chain of swaps and scalings, each of which lowers the cosine with Y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from holdfast.errors import HoldfastError
from holdfast.paper.theory.kendall_cosine import Vector, pair_signs
from holdfast.validate import check_count


@dataclass(frozen=True)
class Swap:
    """Exchange two entries, counted from 0."""

    first: int
    second: int


@dataclass(frozen=True)
class Scale:
    """Multiply one entry by a factor in (0, 1]."""

    entry: int
    factor: float


Step = Swap | Scale


def chain_of(start: Sequence[float], steps: Sequence[Step]) -> Vector:
    """The vectors X_0 to X_N of the theorem as rows (steps + 1, features).

    >>> chain_of([1.0, 2.0], [Swap(0, 1), Scale(0, 0.5)]).tolist()
    [[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]
    """
    rows = [np.array(start, dtype=np.float64)]
    for step in steps:
        row = rows[-1].copy()
        if isinstance(step, Swap):
            row[[step.first, step.second]] = row[[step.second, step.first]]
        elif 0 < step.factor <= 1:
            row[step.entry] *= step.factor
        else:
            raise HoldfastError(f"factor is {step.factor}; the theorem scales by a number in (0, 1].")
        rows.append(row)
    return np.stack(rows)


SCALED_SWAPPED_SCALED = chain_of([0.8, 1.4, 1.9], [Scale(1, 0.36), Swap(0, 1), Scale(1, 0.48)])
SCALED_TWICE = chain_of([0.60, 0.07, 0.59], [Scale(2, 0.86), Scale(0, 0.27)])
SCALED_TWICE_IN_FOUR = chain_of([0.53, 0.56, 0.46, 0.83], [Scale(2, 0.82), Scale(0, 0.02)])


def undercut_chain(features: int) -> Vector:
    """A chain of three steps in any number of features (at least 3) that turns one pair of features round.

    The larger of two entries is scaled below the other, the two are swapped, and it is scaled below again. The
    swap lowers the cosine only where Y has the order of X' on that pair, so tau rises by 4 / (d (d - 1)) in
    every draw that meets the condition.

    >>> undercut_chain(3).tolist()
    [[1.0, 2.0, 3.0], [1.0, 2.0, 1.5], [1.0, 1.5, 2.0], [1.0, 1.5, 1.25]]
    """
    check_count("features", features, least=3)
    return chain_of(np.arange(1.0, features + 1).tolist(), [Scale(2, 1.5 / 3), Swap(1, 2), Scale(2, 1.25 / 2)])


@dataclass(frozen=True)
class ChainGap:
    """``E[tau(X_0, Y) - tau(X_N, Y)]`` given that every step lowers the cosine, and given that the end does.

    With the chance of either condition.
    """

    along: float
    along_chance: float
    ends: float
    ends_chance: float


def exact_chain_gap(chain: Vector) -> ChainGap:
    """Both conditional means for Y of three exp(1) entries, exact: ``chain`` is (steps + 1, 3).

    Y divided by its sum is uniform on the triangle of non-negative shares, a cosine falls on one side of a
    line there, and tau is constant on each of the six orders: every probability is the area of a polygon.
    """
    if chain.ndim != 2 or chain.shape[1] != 3 or len(chain) < 2:
        raise HoldfastError(f"chain has shape {chain.shape}; pass (steps + 1, 3), or use sampled_gap.")
    along, along_chance = _mean_gap(chain, chain_normals(chain))
    ends, ends_chance = _mean_gap(chain, chain_normals(chain[[0, -1]]))
    return ChainGap(along, along_chance, ends, ends_chance)


def chain_normals(chain: Vector) -> Vector:
    """Rows w (steps, features): step k does not raise the cosine with y where ``w_k y >= 0``."""
    unit = chain / np.linalg.norm(chain, axis=1, keepdims=True)
    return unit[:-1] - unit[1:]


def _mean_gap(chain: Vector, normals: Vector) -> tuple[float, float]:
    weights = pair_signs(chain[0]) - pair_signs(chain[-1])
    chance, total = 0.0, 0.0
    for order in permutations(range(3)):
        y = np.argsort(order).astype(np.float64)
        area = region_share(triangle_region(np.vstack([normals, order_normals(order)])))
        chance += area
        total += area * float(weights @ pair_signs(y)) / 3
    return total / chance if chance else float("nan"), chance


def order_normals(order: Sequence[int]) -> Vector:
    """Rows w (2, 3): ``w y >= 0`` where y rises along ``order``, three positions."""
    corners = np.eye(3)
    return np.stack([corners[order[1]] - corners[order[0]], corners[order[2]] - corners[order[1]]])


def triangle_region(normals: Vector) -> Vector:
    """Corners (n, 3) of the part of the triangle ``y >= 0, sum(y) = 1`` where ``normals @ y >= 0``; none if empty.

    >>> triangle_region(np.array([[1.0, -1.0, 0.0]])).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    corners = list(np.eye(3))
    for normal in normals:
        kept = []
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            side_a, side_b = normal @ a, normal @ b
            if side_a >= 0:
                kept.append(a)
            if side_a * side_b < 0:
                kept.append(a + (b - a) * (side_a / (side_a - side_b)))
        corners = kept
    return np.array(corners).reshape(-1, 3)


def region_share(corners: Vector) -> float:
    """Area of a region of ``triangle_region`` as a share of the triangle."""
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
