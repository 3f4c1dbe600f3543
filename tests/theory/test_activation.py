"""Proposition 1 against autograd, IG by quadrature, and the normal distribution function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from holdfast.attribution import integrated_gradients
from holdfast.errors import HoldfastError
from holdfast.paper.theory.activation import (
    angle_between,
    changed_images,
    contrast_sweep,
    cosines,
    count_gates,
    noise,
    predicted_consistency,
    predicted_ig_cosine,
    state_mix,
    unrelated_images,
)
from holdfast.metrics import activation_consistency, cosine_similarity


@pytest.mark.parametrize("angle", [0.1, 0.7, 1.5, 2.5])
def test_right_side_is_the_normal_quadrant(angle: float) -> None:
    rho = np.cos(angle)
    quadrant = multivariate_normal(mean=[0, 0], cov=[[1, rho], [rho, 1]]).cdf([0, 0])
    assert predicted_consistency(angle) == pytest.approx(quadrant / 0.5, abs=1e-6)


def test_half_of_the_units_are_active_whatever_the_image() -> None:
    rng = np.random.default_rng(0)
    for x, x_adv in (changed_images(50, 0.3, rng), unrelated_images(50, 3.0, rng), rng.standard_normal((2, 50))):
        found = count_gates(x, x_adv, 20_000, seed=1)
        assert abs(found.z_active) < 4
        assert abs(found.z_both) < 4
        assert found.angle == pytest.approx(angle_between(x, x_adv))
    wrong = count_gates(x, -x, 20_000, seed=1)
    assert wrong.both == 0


def test_cosines_are_those_of_the_network() -> None:
    x, x_adv = changed_images(12, 0.3, np.random.default_rng(2))
    found = cosines(x, x_adv, networks=1, units=30, seed=3)

    rng = np.random.default_rng(3)
    hidden, readout = nn.Linear(12, 30, bias=False), nn.Linear(30, 1, bias=False)
    hidden.weight.data = torch.from_numpy(rng.standard_normal((30, 12)))
    readout.weight.data = torch.from_numpy(rng.standard_normal((1, 30)))
    net = nn.Sequential(hidden, nn.ReLU(), readout)
    images = torch.from_numpy(np.stack([x, x_adv])).requires_grad_()
    ig = integrated_gradients(net, images.detach(), 0, n_steps=7)
    (gradients,) = torch.autograd.grad(net(images).sum(), images)
    assert found.ig[0] == pytest.approx(float(cosine_similarity(ig[:1], ig[1:])))
    assert found.gradient[0] == pytest.approx(float(cosine_similarity(gradients[:1], gradients[1:])))
    consistency = activation_consistency(net, images[:1].detach(), images[1:].detach())
    assert found.consistency[0] == pytest.approx(float(consistency))


def test_gradients_follow_the_right_side_and_ig_does_not() -> None:
    x, x_adv = changed_images(784, 0.3, np.random.default_rng(4))
    found = cosines(x, x_adv, networks=16, units=1000, seed=5)
    right = predicted_consistency(found.angle)
    error = found.ig.std(ddof=1) / 4
    assert right == pytest.approx(0.83, abs=0.01)
    assert found.gradient.mean() == pytest.approx(right, abs=5 * error)
    assert found.consistency.mean() == pytest.approx(right, abs=0.01)
    assert right - found.ig.mean() > 0.11 - 5 * error
    assert found.ig.mean() == pytest.approx(predicted_ig_cosine(found.angle), abs=5 * error)


def test_low_contrast_leaves_hardly_an_angle() -> None:
    sweep = contrast_sweep((0.05, 2.0), networks=12, seed=6, features=400, units=500)
    low, high = predicted_consistency(sweep.angle[0]), predicted_consistency(sweep.angle[1])
    assert low > 0.97
    assert sweep.ig[0] == pytest.approx(low, abs=0.01)
    assert sweep.ig[1] < high - 0.2
    assert sweep.gradient[1] == pytest.approx(high, abs=0.08)
    np.testing.assert_allclose(np.cos(sweep.angle), 1 / (1 + sweep.contrast**2), atol=0.05)


def test_noise_falls_with_features_and_not_with_units() -> None:
    few = noise((10,), (500, 8000), networks=80, seed=7).deviation[0]
    assert few[0] / few[1] < 1.6, "averaging over the units would divide it by 4"
    found = noise((10, 300), (2000,), networks=80, seed=8)
    assert found.slope == pytest.approx(-0.5, abs=5 * found.slope_error)
    assert found.slope_error == pytest.approx(1 / np.sqrt(160) * np.sqrt(2) / np.log(30))


def test_units_inactive_at_both_images_change_nothing() -> None:
    alone, among = state_mix(20, 20, 0), state_mix(20, 20, 60)
    assert alone.consistency == pytest.approx(20 / np.sqrt(40 * 20))
    assert among.consistency == pytest.approx(alone.consistency)
    assert (alone.same_state, among.same_state) == (0.5, 0.8)


def test_images_stay_within_pixels() -> None:
    rng = np.random.default_rng(9)
    for images in (changed_images(500, 0.375, rng), unrelated_images(500, 3.0, rng)):
        assert all(image.min() >= 0 and image.max() <= 1 for image in images)
    x, x_adv = changed_images(500, 0.3, rng)
    np.testing.assert_allclose(np.abs(x - x_adv), 0.3)
    assert 0.4 <= x.min() < x.max() <= 0.6
    with pytest.raises(HoldfastError, match=r"change is 0.5; it must lie in \[0, 0.375\]"):
        changed_images(5, 0.5, rng)
