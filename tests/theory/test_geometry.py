"""Figures 1, 2a and 2c: the numbers behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from holdfast.data import load_dataset
from holdfast.data.loader import to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.paper.theory.geometry import (
    EqualDistances,
    equal_distances,
    independent_deviation,
    plane,
    random_feature_network,
    simulate,
)


@pytest.fixture(scope="module")
def found() -> EqualDistances:
    return equal_distances()


def test_equal_distance_and_unequal_tau(found: EqualDistances) -> None:
    clean = found.maps[0].ravel()
    assert np.abs(clean).sum() == pytest.approx(1)
    for i, other in enumerate(found.maps[1:].reshape(3, -1)):
        assert np.abs(other - clean).sum() == pytest.approx(0.7, abs=1e-4)
        assert found.distance[i] == pytest.approx(0.7, abs=1e-4)
        assert found.kendall[i] == pytest.approx(kendalltau(clean, other).statistic)
        assert found.cosine[i] == pytest.approx(clean @ other / np.linalg.norm(clean) / np.linalg.norm(other))
    assert np.ptp(found.kendall) > 0.3
    assert (np.argsort(found.kendall) == np.argsort(found.cosine)).all()


def test_perturbed_images_are_images_of_the_same_class(found: EqualDistances) -> None:
    images = torch.from_numpy(found.images)[:, None]
    assert images.min() >= 0
    assert images.max() <= 1
    data = load_dataset("digits", "test")
    torch.testing.assert_close(images[:1], to_unit_interval(data.images[:1]).double())
    assert (random_feature_network()(images).argmax(1) == data.labels[0]).all()


def test_the_network_knows_the_digits() -> None:
    data = load_dataset("digits", "test")
    predictions = random_feature_network()(to_unit_interval(data.images).double()).argmax(1)
    assert (predictions == data.labels).double().mean() > 0.95


def test_a_distance_out_of_reach_is_named() -> None:
    with pytest.raises(HoldfastError, match=r"distance is 1\.5; the dimmed image moves the map by less"):
        equal_distances(distance=1.5)


def test_mixed_vectors_show_the_trend() -> None:
    found = simulate(500, 200, mixed=True, seed=1)
    assert found.gamma > 0.9
    assert np.ptp(found.kendall) > 0.8
    assert found.gamma == pytest.approx(kendalltau(found.kendall, found.cosine).statistic, abs=1e-6)


def test_independent_vectors_hardly_vary() -> None:
    found = simulate(500, 400, mixed=False, seed=2)
    assert found.kendall.std() == pytest.approx(independent_deviation(500), rel=0.2)
    assert np.ptp(found.cosine) < 0.25
    assert found.cosine.mean() == pytest.approx(0.5, abs=0.02)
    assert 0 < found.gamma < 0.8


def test_deviation_of_independent_vectors_is_exact() -> None:
    orders = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    taus = [kendalltau(range(4), order).statistic for order in orders if len({*order}) == 4]
    assert len(taus) == 24
    assert independent_deviation(4) == pytest.approx(np.std(taus))


def test_points_of_the_plane() -> None:
    points = plane()
    clean = np.array(points.clean)

    def cosine(other: tuple[float, float]) -> float:
        return float(clean @ other / np.linalg.norm(clean) / np.linalg.norm(other))

    distance = math.dist(points.clean, points.nearer)
    assert math.dist(points.clean, points.wider) == pytest.approx(distance)
    assert cosine(points.nearer) == pytest.approx(1)
    turn = np.linspace(0, 2 * np.pi, 1000)
    on_circle = [cosine((clean[0] + distance * np.cos(t), clean[1] + distance * np.sin(t))) for t in turn]
    assert cosine(points.wider) == pytest.approx(min(on_circle), abs=1e-5)
    assert cosine(points.trained) == pytest.approx(cosine(points.perturbed))
    assert math.hypot(*points.perturbed) == pytest.approx(points.radius)
    assert math.hypot(*points.trained) == pytest.approx(points.trained_radius)
    assert math.hypot(*points.longer) > points.trained_radius
    assert cosine(points.longer) < cosine(points.wider)
