"""Voted maps: the bounds by hand, and attacks inside the radius that must never break them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from holdfast.certify import VotedMap
from holdfast.certify.votes import certified_cosine, certified_topk, vote_bounds
from holdfast.errors import HoldfastError, NotFinite


def shifted(h: torch.Tensor, shift: float) -> tuple[list[float], list[float]]:
    normal = torch.distributions.Normal(0.0, 1.0)
    low, high = (normal.cdf(normal.icdf(h) + sign * shift) for sign in (-1, 1))
    return [round(v, 4) for v in low.tolist()], [round(v, 4) for v in high.tolist()]


def test_hand_computed_bounds() -> None:
    low, high = shifted(torch.tensor([0.9, 0.8, 0.1, 0.05], dtype=torch.float64), 0.5)
    assert low[:2] == [0.7828, 0.6337]
    assert high[2:] == [0.2172, 0.1261]
    low, high = shifted(torch.tensor([0.9, 0.8, 0.1, 0.05], dtype=torch.float64), 1.2)
    assert low[:2] == [0.5325, 0.3600]
    assert high[2:] == [0.4675, 0.3282]


@pytest.mark.parametrize(("shift", "kept"), [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (1.2, 0.5), (2.0, 0.0)])
def test_hand_computed_overlap(shift: float, kept: float) -> None:
    h = torch.tensor([[0.9, 0.8, 0.1, 0.05]], dtype=torch.float64)
    assert certified_topk(h, h, h, 2, shift).item() == kept


@pytest.mark.parametrize(("votes", "n"), [(0, 10), (3, 3), (7, 10), (500, 1000)])
def test_bounds_are_clopper_pearson(votes: int, n: int) -> None:
    low, high = vote_bounds(torch.tensor([float(votes)]), n, 0.025)
    expected = binomtest(votes, n).proportion_ci(0.95, method="exact")
    assert low.item() == pytest.approx(expected.low, abs=1e-9)
    assert high.item() == pytest.approx(expected.high, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12), st.floats(0, 2))
def test_no_map_inside_the_bounds_undercuts(seed: int, features: int, shift: float) -> None:
    """Any vote map that the bounds allow keeps at least the certified overlap and cosine."""
    generator = torch.Generator().manual_seed(seed)
    k = 1 + seed % (features - 1)
    h = torch.rand(1, features, generator=generator, dtype=torch.float64)
    low, high = (h - 0.05).clamp(min=0), (h + 0.05).clamp(max=1)
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    least, most = normal.cdf(normal.icdf(low) - shift), normal.cdf(normal.icdf(high) + shift)
    kept, cosine = certified_topk(h, low, high, k, shift), certified_cosine(low, high, shift)
    old = set(h[0].topk(k).indices.tolist())
    for corner in range(20):
        pick = torch.rand(1, features, generator=generator)
        moved = torch.where(pick < 0.5, least, most) if corner else torch.where(h >= h.median(), least, most)
        new = set(moved[0].topk(k).indices.tolist())
        assert len(old & new) / k >= kept.item() - 1e-12
        assert torch.cosine_similarity(h, moved).item() >= cosine.item() - 1e-12


def test_no_attack_inside_the_radius_breaks_it() -> None:
    """Gradient attacks on the vote map of a small network, at many radii: the certificate holds for all images."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3))
    x, y, k = torch.rand(25, 1, 4, 4), torch.randint(0, 3, (25,)), 3
    radii = [0.02, 0.05, 0.1, 0.2]
    votes = VotedMap(sigma=0.3, n_samples=2000, top=6)
    found = votes(net, x, y, k=k, radii=radii, generator=torch.Generator().manual_seed(1))
    assert found.topk[:, 0].mean() > 0.3, "a certificate that says nothing proves nothing"
    assert bool((found.topk.diff(dim=1) <= 0).all())
    old = found.maps.flatten(1).topk(k).indices
    for column, radius in enumerate(radii):
        for attempt in range(3):
            z = x.clone().requires_grad_()
            logits = net(z).gather(1, y[:, None]).sum()
            (g,) = torch.autograd.grad(logits, z, create_graph=True)
            chosen = g.flatten(1).abs().gather(1, old).sum()
            (direction,) = torch.autograd.grad(chosen, z)
            if attempt:
                direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(attempt))
            unit = direction / direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp(min=1e-12)
            moved = votes.votes(net, x - radius * unit, y, 6, torch.Generator().manual_seed(7 + attempt))
            new = moved.topk(k).indices
            overlap = (old[:, :, None] == new[:, None]).any(2).double().mean(1)
            assert bool((overlap >= found.topk[:, column] - 1e-9).all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sigma": 0.0}, "sigma is 0.0"), ({"alpha": 1.0}, "alpha is 1.0"), ({"n_samples": 0}, "n_samples is 0")],
)
def test_bad_settings(changes: dict, message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        VotedMap(**changes)


def test_too_many_features_asked_for() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    with pytest.raises(HoldfastError, match="top is 4; it must lie between k = 2 and the 4 features less one"):
        VotedMap(top=4)(net, torch.rand(1, 1, 2, 2), torch.tensor([0]), k=2, radii=[0.1])


def small() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
    return net, torch.rand(2, 1, 3, 3), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radii": 0.1}, "radii are 0.1; pass at least one L2 radius in a list"),
        ({"radii": []}, "radii are \\[\\]; pass at least one"),
        ({"y": torch.tensor([0, 2])}, "labels span \\[0, 2\\], but the model has 2 logits"),
    ],
)
def test_bad_arguments(changes: dict, message: str) -> None:
    net, x, y = small()
    with pytest.raises(HoldfastError, match=message):
        VotedMap(n_samples=5, top=2)(**{"model": net, "x": x, "y": y, "k": 1, "radii": [0.1], **changes})
    with pytest.raises(HoldfastError, match=r"top is 2\.0; it must be an integer"):
        VotedMap(top=2.0)  # type: ignore[arg-type]


def test_nan_does_not_vote() -> None:
    net, x, y = small()
    with pytest.raises(NotFinite, match="a map contains NaN"):
        VotedMap(n_samples=20, top=2)(lambda z: net(z.sqrt()), x, y, k=1, radii=[0.1])


def test_in_inference_mode() -> None:
    net, x, y = small()
    certificate = VotedMap(n_samples=50, top=2)
    outside = certificate(net, x, y, k=1, radii=[0.1], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for images, labels in ((x, y), (x.clone(), y.clone())):
            inside = certificate(net, images, labels, k=1, radii=[0.1], generator=torch.Generator().manual_seed(0))
            assert torch.equal(inside.maps, outside.maps)
