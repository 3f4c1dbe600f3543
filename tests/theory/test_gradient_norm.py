"""Proposition 2 against autograd and the chi distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi, halfnorm

from holdfast.errors import HoldfastError
from holdfast.paper.theory.proposition2 import (
    Network,
    expected_distance,
    expected_norm,
    identical_units,
    orthogonal_units,
    random_network_pairs,
    sampled_distances,
    with_pixels,
)


@pytest.mark.parametrize("features", [1, 2, 7, 50])
def test_expected_norm_of_equal_spreads_is_that_of_chi(features: int) -> None:
    assert expected_norm(np.full(features, 9.0)) == pytest.approx(3 * chi(features).mean(), rel=1e-8)


def test_expected_norm_of_unequal_spreads() -> None:
    spread = np.array([40.0, 3.0, 0.1, 0.0])
    z = np.random.default_rng(0).standard_normal((100_000, 4))
    norms = np.sqrt((spread * z**2).sum(1))
    assert expected_norm(spread) == pytest.approx(norms.mean(), abs=5 * norms.std() / np.sqrt(len(norms)))
    assert expected_norm(np.array([4.0, 0.0])) == pytest.approx(2 * halfnorm.mean())
    assert expected_norm(np.zeros(3)) == 0


def test_sampled_distances_are_those_of_the_gradients() -> None:
    rng = np.random.default_rng(1)
    network = Network(rng.standard_normal((9, 4)), *rng.uniform(-1, 1, size=(2, 4)))
    found = sampled_distances(network, 3, seed=2)
    weights = torch.from_numpy(network.weights)
    for distance, u in zip(found, np.random.default_rng(2).standard_normal((3, 9)), strict=True):
        gradients = []
        for image in (network.x, network.x_adv):
            x = torch.from_numpy(image).requires_grad_()
            (torch.relu(weights @ x) @ torch.from_numpy(u)).backward()
            gradients.append(x.grad)
        assert distance == pytest.approx(float((gradients[0] - gradients[1]).norm()))


def test_expected_distances_are_the_means_of_drawn_ones() -> None:
    rng = np.random.default_rng(3)
    network = Network(rng.standard_normal((30, 6)), *rng.uniform(size=(2, 6)))
    exact, drawn = expected_distance(network), sampled_distances(network, 20_000, seed=4)
    for expected, sample in ((exact.norm, drawn), (exact.squared, drawn**2)):
        assert expected == pytest.approx(sample.mean(), abs=5 * sample.std() / np.sqrt(len(sample)))
    assert 0 < exact.changed_units < 30


def test_the_squared_norm_has_an_order_that_the_norm_has_not() -> None:
    psi, phi = orthogonal_units(50), identical_units(50)
    for network, total in ((psi, 1.0), (phi, 1.2)):
        np.testing.assert_allclose(network.coordinate_sums, total)
    first, second = expected_distance(psi), expected_distance(phi)
    assert (first.changed_units, second.changed_units) == (50, 51)
    assert (first.squared, second.squared) == pytest.approx((50, 60))
    assert first.norm == pytest.approx(chi(50).mean())
    assert second.norm == pytest.approx(np.sqrt(60) * halfnorm.mean())
    assert first.norm > second.norm + 0.8


def test_the_counterexample_with_pixels() -> None:
    psi, phi = (with_pixels(network) for network in (orthogonal_units(25), identical_units(25)))
    for network in (psi, phi):
        assert {*np.concatenate([network.x, network.x_adv])} == {0.0, 1.0}
    first, second = expected_distance(psi), expected_distance(phi)
    assert first.changed_units < second.changed_units
    assert (psi.coordinate_sums < phi.coordinate_sums).all()
    assert first.squared < second.squared
    assert first.norm > second.norm


def test_random_pairs_follow_the_squared_order() -> None:
    pairs = random_network_pairs(60, 500, seed=5)
    assert (pairs.squared[:, 0] < pairs.squared[:, 1]).all()
    assert 0 < pairs.fewer.sum() < 60, "with and without the assumption on the numbers of units"
    assert pairs.greatest_z < 5
    assert pairs.changed_units.min() > 0


def test_impossible_pairs_are_named() -> None:
    with pytest.raises(HoldfastError, match="of 2 pairs met the assumption; raise units or lower features"):
        random_network_pairs(2, 10, seed=0, features=400, units=2)
