"""The failing induction, against draws of exp(1)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from holdfast.errors import HoldfastError
from holdfast.paper.theory.chain import (
    SCALED_SWAPPED_SCALED,
    SCALED_TWICE,
    SCALED_TWICE_IN_FOUR,
    Scale,
    Swap,
    chain_of,
    exact_chain_gap,
    order_normals,
    region_share,
    triangle_region,
    undercut_chain,
)
from holdfast.paper.theory.kendall_cosine import Vector, sampled_gap


def drawn_gaps(chain: Vector, draws: int, seed: int) -> tuple[Vector, Vector]:
    """Differences of tau given every step, and given the ends, by scipy from exp(1) draws."""
    y = np.random.default_rng(seed).exponential(size=(draws, chain.shape[1]))
    cosines = np.stack([y @ x / np.linalg.norm(x) / np.linalg.norm(y, axis=1) for x in chain])
    gap = np.array([kendalltau(chain[0], row).statistic - kendalltau(chain[-1], row).statistic for row in y])
    return gap[(np.diff(cosines, axis=0) <= 0).all(0)], gap[cosines[0] >= cosines[-1]]


@pytest.mark.parametrize(
    ("chain", "along", "ends"), [(SCALED_SWAPPED_SCALED, -2 / 3, 0.080), (SCALED_TWICE, -0.506, 0.479)]
)
def test_three_features_along_the_chain_and_between_its_ends(chain: Vector, along: float, ends: float) -> None:
    found = exact_chain_gap(chain)
    assert found.along == pytest.approx(along, abs=5e-4)
    assert found.ends == pytest.approx(ends, abs=5e-4)
    draws = 3000
    for gaps, mean, chance in zip(
        drawn_gaps(chain, draws, seed=1),
        (found.along, found.ends),
        (found.along_chance, found.ends_chance),
        strict=True,
    ):
        assert gaps.mean() == pytest.approx(mean, abs=5 * gaps.std() / np.sqrt(len(gaps)) + 1e-12)
        assert len(gaps) / draws == pytest.approx(chance, abs=5 * np.sqrt(chance * (1 - chance) / draws))


def test_four_features() -> None:
    along, ends = (
        sampled_gap(chain, 20_000, seed=2) for chain in (SCALED_TWICE_IN_FOUR, SCALED_TWICE_IN_FOUR[[0, -1]])
    )
    assert along.z < -10
    assert ends.z > 10
    slow = drawn_gaps(SCALED_TWICE_IN_FOUR, 3000, seed=3)[0]
    assert slow.mean() == pytest.approx(along.mean, abs=5 * slow.std() / np.sqrt(len(slow)))


@pytest.mark.parametrize("features", [5, 20, 100])
def test_the_undercut_chain_raises_tau_in_every_draw(features: int) -> None:
    chain = undercut_chain(features)
    found = sampled_gap(chain, 1000, seed=4)
    assert found.mean == pytest.approx(-4 / (features * (features - 1)))
    assert found.greatest == pytest.approx(found.mean)
    assert found.reversed_share == 1
    assert found.chance > 0.1


def test_the_undercut_chain_of_three_features() -> None:
    assert exact_chain_gap(undercut_chain(3)).along == pytest.approx(-2 / 3)


def test_steps_do_what_the_theorem_allows() -> None:
    expected = [[0.8, 1.4, 1.9], [0.8, 0.504, 1.9], [0.504, 0.8, 1.9], [0.504, 0.384, 1.9]]
    np.testing.assert_allclose(SCALED_SWAPPED_SCALED, expected)
    assert chain_of([1.0, 2.0, 3.0], [Swap(0, 2)])[1].tolist() == [3.0, 2.0, 1.0]
    for factor in (0.0, -0.5, 1.5):
        with pytest.raises(HoldfastError, match="the theorem scales by a number in"):
            chain_of([1.0, 2.0], [Scale(0, factor)])


def test_one_step_agrees_with_the_theorem() -> None:
    rng = np.random.default_rng(5)
    for x in rng.uniform(0.1, 1, size=(30, 3)):
        for step in (Swap(0, 2), Scale(int(rng.integers(3)), float(rng.uniform(0.05, 0.95)))):
            found = exact_chain_gap(chain_of(x.tolist(), [step]))
            assert not found.along < -1e-9
            assert found.along == pytest.approx(found.ends, nan_ok=True)


def test_areas() -> None:
    assert region_share(np.eye(3)) == 1
    for order in ([0, 1, 2], [2, 0, 1]):
        assert region_share(triangle_region(order_normals(order))) == pytest.approx(1 / 6)
    assert region_share(triangle_region(np.array([[-1.0, -1.0, -1.0]]))) == 0
    y = np.random.default_rng(6).dirichlet(np.ones(3), size=20_000)
    for normals in np.random.default_rng(7).standard_normal((10, 2, 3)):
        share = (y @ normals.T >= 0).all(1).mean()
        assert region_share(triangle_region(normals)) == pytest.approx(share, abs=0.02)


def test_exact_is_for_three_features() -> None:
    with pytest.raises(HoldfastError, match=r"chain has shape \(3, 4\)"):
        exact_chain_gap(SCALED_TWICE_IN_FOUR)
    with pytest.raises(HoldfastError, match="features is 2"):
        undercut_chain(2)
