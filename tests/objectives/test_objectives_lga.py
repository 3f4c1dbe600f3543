from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import LGA, HoldfastError
from holdfast.objectives import lga

Make = Callable[[str], nn.Module]
Triple = tuple[Tensor, Tensor, Tensor]
W1 = np.array([[1.0, 2.0], [-1.0, 1.0], [2.0, -3.0]])
W2 = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]])
X = np.array([[0.5, 0.2], [0.1, 0.9]])
MOVED = np.array([[0.2, 0.4], [0.9, 0.1]])
Y = np.array([0, 1])


@pytest.fixture
def tiny() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False)).double()
    net[0].weight.data, net[2].weight.data = torch.from_numpy(W1.copy()), torch.from_numpy(W2.copy())
    return net


@pytest.fixture
def to_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lga, "random_start", lambda *_: torch.from_numpy(MOVED.copy()))


def gradient(x: np.ndarray, label: int) -> np.ndarray:
    """Of the label's logit of the tiny network."""
    return W1.T @ (W2[label] * (W1 @ x > 0))


@pytest.mark.usefixtures("to_moved")
def test_values_by_hand(tiny: nn.Module) -> None:
    clean, moved = ([gradient(x, y) for x, y in zip(xs, Y, strict=True)] for xs in (X, MOVED))
    l2 = [float((m - c) @ (m - c)) for m, c in zip(moved, clean, strict=True)]
    cosine = [1 - m @ c / np.sqrt((m @ m) * (c @ c)) for m, c in zip(moved, clean, strict=True)]
    assert min(l2) > 0.1
    logits = np.maximum(X @ W1.T, 0) @ W2.T
    ce = np.log(np.exp(logits).sum(1)) - logits[[0, 1], Y]
    out = LGA(eps=0.3, lam_l2=0.2, lam_cos=0.7)(tiny, torch.from_numpy(X), torch.from_numpy(Y))
    expected = {"ce": ce.mean(), "l2": np.mean(l2), "cosine": np.mean(cosine) / 2}
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx(expected)
    assert out.x_adv is None
    loss = expected["ce"] + 0.2 * expected["l2"] + 0.7 * expected["cosine"]
    assert float(out.loss.detach()) == pytest.approx(loss)
    loss = expected["ce"] + 0.01 * expected["l2"] + 0.1 * expected["cosine"]
    assert float(LGA(0.3)(tiny, torch.from_numpy(X), torch.from_numpy(Y)).loss.detach()) == pytest.approx(loss)


@pytest.mark.parametrize("network", ["F.relu", "residual", "gelu"])
def test_gradient_with_the_clean_gradient_held_fixed(
    make_network: Make, pair: Triple, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make_network(network).double().eval()
    x, moved, y = pair
    monkeypatch.setattr(lga, "random_start", lambda *_: moved.clone())

    def label_gradient(at: Tensor) -> np.ndarray:
        at = at.clone().requires_grad_()
        logit = net(at).gather(1, y[:, None]).sum()
        return torch.autograd.grad(logit, at)[0].detach().flatten(1).numpy()

    fixed = label_gradient(x)

    def loss() -> float:
        g = label_gradient(moved)
        cos = (g * fixed).sum(1) / np.sqrt((g * g).sum(1) * (fixed * fixed).sum(1))
        l2 = ((g - fixed) ** 2).sum(1)
        return float(F.cross_entropy(net(x), y).detach()) + 0.3 * l2.mean() + 0.7 * (1 - cos).mean() / 2

    out = LGA(eps=0.1, lam_l2=0.3, lam_cos=0.7)(net, x, y)
    assert float(out.loss.detach()) == pytest.approx(loss())
    parameters, h = [*net.parameters()], 1e-6
    for parameter, found in zip(parameters, torch.autograd.grad(out.loss, parameters), strict=True):
        tangent, values = torch.randn_like(parameter), []
        for sign in (1, -1):
            parameter.data.add_(tangent, alpha=sign * h)
            values.append(loss())
            parameter.data.sub_(tangent, alpha=sign * h)
        expected = (values[0] - values[1]) / (2 * h)
        assert float((found * tangent).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def points_seen(net: nn.Module, objective: LGA, x: Tensor, y: Tensor, generator: torch.Generator) -> list[Tensor]:
    seen: list[Tensor] = []
    handle = net.register_forward_hook(lambda m, args, out: seen.append(args[0].detach()))
    objective(net, x, y, generator=generator)
    handle.remove()
    return seen


def test_noise_is_uniform_in_ball_and_box_and_fresh(make_network: Make) -> None:
    net = make_network("F.relu")
    x, y = torch.rand(40, 2, 8, 8), torch.arange(40) % 4
    objective, generator = LGA(eps=0.2, samples=3), torch.Generator().manual_seed(1)
    ce, clean, noisy = points_seen(net, objective, x, y, generator)
    assert torch.equal(ce, x)
    assert torch.equal(clean, x)
    assert noisy.shape == (120, 2, 8, 8)
    assert 0 <= float(noisy.min()) <= float(noisy.max()) <= 1
    noise = noisy.view(3, 40, 2, 8, 8) - x
    assert float(noise.abs().max()) <= 0.2 + 1e-6
    inside = noise[((x > 0.2) & (x < 0.8)).expand_as(noise)]
    assert float(inside.abs().max()) > 0.199
    assert float(inside.mean()) == pytest.approx(0, abs=0.004)
    assert float(inside.std()) == pytest.approx(0.4 / 12**0.5, rel=0.02)
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(points_seen(net, objective, x, y, generator)[2], noisy)


def test_samples_are_averaged(make_network: Make, pair: Triple, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_network("F.relu").double()
    x, moved, y = pair
    both = [moved, 1 - moved]
    monkeypatch.setattr(lga, "random_start", lambda *_: torch.cat(both))
    out = LGA(eps=0.1, samples=2)(net, x, y)
    parts = []
    for one in both:
        monkeypatch.setattr(lga, "random_start", lambda *_, one=one: one.clone())
        parts.append(LGA(eps=0.1)(net, x, y).parts)
    for name, value in out.parts.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)


def test_reproducible_with_a_generator(make_network: Make) -> None:
    net = make_network("F.relu")
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    once, again, other = (
        LGA(eps=0.1)(net, x, y, generator=torch.Generator().manual_seed(seed)).parts["l2"] for seed in (5, 5, 6)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert not torch.equal(LGA(eps=0.1)(net, x, y).parts["l2"], LGA(eps=0.1)(net, x, y).parts["l2"])


def test_no_noise_no_difference(make_network: Make) -> None:
    out = LGA(eps=0.0)(make_network("F.relu"), torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1]))
    assert float(out.parts["l2"]) == 0
    assert float(out.parts["cosine"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LGA(eps=-0.1), "eps is -0.1"),
        (lambda: LGA(eps=0.1, lam_l2=-1), "lam_l2 is -1"),
        (lambda: LGA(eps=0.1, lam_cos=float("nan")), "lam_cos is nan"),
        (lambda: LGA(eps=0.1, samples=0), "samples is 0"),
    ],
)
def test_impossible_settings(build: Callable[[], object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build()
