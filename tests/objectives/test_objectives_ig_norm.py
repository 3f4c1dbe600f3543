"""IG-NORM and IG-SUM-NORM against sums written out by hand, plain double backward and finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import HoldfastError, IGNorm, IGSumNorm
from holdfast.attribution.base import path_attribution
from holdfast.objectives import IGNormAttack, IGSumNormAttack
from holdfast.objectives.ig_norm import LossPath
from tests.oracles import Fixed

Objectives = Callable[..., IGNorm]
both = pytest.mark.parametrize("objective", [IGNorm, IGSumNorm])
MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]

WEIGHT = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]]) * 3
BIAS = np.array([0.2, -0.1])
X = np.array([[0.1, 0.3, 0.0], [0.5, 0.2, 0.4], [0.9, 0.1, 0.6]])
X_ADV = np.array([[0.3, 0.2, 0.1], [0.4, 0.3, 0.1], [0.7, 0.2, 0.9]])
Y = [1, 0, 1]


def linear() -> nn.Module:
    net = nn.Linear(3, 2).double()
    net.weight.data, net.bias.data = torch.from_numpy(WEIGHT), torch.from_numpy(BIAS)
    return net


def probabilities(z: np.ndarray) -> np.ndarray:
    e = np.exp(WEIGHT @ z + BIAS)
    return e / e.sum()


def cross_entropy(z: np.ndarray, y: int) -> float:
    return -float(np.log(probabilities(z)[y]))


def numpy_ig(x: np.ndarray, x_adv: np.ndarray, y: int, nodes: Sequence[float]) -> np.ndarray:
    """``grad CE = W^T (p - e_y)`` at each node of the segment."""
    gradients = [WEIGHT.T @ (probabilities(x + a * (x_adv - x)) - np.eye(2)[y]) for a in nodes]
    return (x_adv - x) * np.mean(gradients, axis=0)


@both
@pytest.mark.parametrize(("method", "nodes"), [("riemann_right", [0.25, 0.5, 0.75, 1]), ("riemann_left", [0, 0.5])])
@pytest.mark.parametrize("size", [None, 1, 5])
def test_values_on_a_linear_softmax(objective: Objectives, method: str, nodes: list[float], size: int | None) -> None:
    net = linear()
    attack = Fixed(torch.from_numpy(X_ADV))
    out = objective(attack, lam=0.7, n_steps=len(nodes), method=method, internal_batch_size=size)(
        net, torch.from_numpy(X), torch.tensor(Y)
    )
    norms = [np.abs(numpy_ig(x, a, y, nodes)).sum() for x, a, y in zip(X, X_ADV, Y, strict=True)]
    ce = np.mean([cross_entropy(z, y) for z, y in zip(X if objective is IGNorm else X_ADV, Y, strict=True)])
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx({"ce": ce, "ig_norm": np.mean(norms)})
    assert float(out.loss.detach()) == pytest.approx(ce + 0.7 * np.mean(norms))
    assert out.x_adv is attack.adv
    assert not any(part.requires_grad for part in out.parts.values())


def test_the_weights_are_the_published_ones() -> None:
    assert (IGNorm().lam, IGSumNorm().lam, IGSumNormAttack().lam) == (1.0, 0.1, 0.1)
    assert IGNorm().attack == IGNormAttack()
    assert IGSumNorm().attack == IGSumNormAttack()


def test_the_entries_sum_to_the_change_of_the_loss(trained: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    net, x, x_adv, y = trained.double(), digits[0][:6].double(), digits[0][6:12].double(), digits[1][:6]
    before, after = (F.cross_entropy(net(images), y, reduction="none").detach() for images in (x, x_adv))
    assert float((after - before).max()) > 5
    error = []
    for n_steps in (10, 100, 1000):
        ig = path_attribution(LossPath(net, y, "riemann_right", n_steps), x_adv, x)
        error.append(float((ig.flatten(1).sum(1) - (after - before)).abs().max()))
    assert error[0] > 0.1
    assert error[1] < error[0] / 5
    assert error[2] < error[0] / 50


def plain_norm(net: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int) -> Tensor:
    """With nothing but torch.autograd.grad."""
    total = torch.zeros_like(x)
    for k in range(1, n_steps + 1):
        z = (x + k / n_steps * (x_adv - x)).requires_grad_()
        loss = F.cross_entropy(net(z), y, reduction="sum")
        total = total + torch.autograd.grad(loss, z, create_graph=True)[0] / n_steps
    return ((x_adv - x) * total).abs().flatten(1).sum(1)


def collected(net: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]


@pytest.mark.parametrize("size", [None, 4])
def test_parameters_of_any_network(any_network: nn.Module, pair: Pair, size: int | None) -> None:
    """By an ordinary ``backward()``, in one piece and in chunks."""
    net = any_network.double().eval()
    x, x_adv, y = pair
    (F.cross_entropy(net(x), y) + 0.7 * plain_norm(net, x, x_adv, y, 3).mean()).backward()
    expected = collected(net)
    assert max(float(e.abs().max()) for e in expected) > 0
    net.zero_grad()
    IGNorm(Fixed(x_adv), lam=0.7, n_steps=3, internal_batch_size=size)(net, x, y).loss.backward()
    largest = max(float(e.abs().max()) for e in expected)
    for found, e in zip(collected(net), expected, strict=True):
        assert float((found - e).abs().max()) < 1e-9 * max(float(e.abs().max()), 1e-6 * largest)


@both
@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("name", ["F.relu", "residual", "attention"])
def test_finite_differences_in_the_parameters(
    objective: Objectives, make_network: MakeNetwork, pair: Pair, name: str, size: int | None
) -> None:
    net = make_network(name).double().eval()
    x, x_adv, y = pair
    term = objective(Fixed(x_adv), lam=2.0, n_steps=3, internal_batch_size=size)
    parameters = [*net.parameters()]
    found = torch.cat([g.flatten() for g in torch.autograd.grad(term(net, x, y).loss, parameters)])
    start = nn.utils.parameters_to_vector(parameters).detach()
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(len(start), generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            nn.utils.vector_to_parameters(start + sign * 1e-6 * direction, parameters)
            ends.append(float(term(net, x, y).loss.detach()))
        assert float(found @ direction) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


@both
@pytest.mark.parametrize("size", [None, 3])
def test_a_zero_last_layer_gives_finite_gradients(
    objective: Objectives, make_network: MakeNetwork, pair: Pair, size: int | None
) -> None:
    net = make_network("F.relu").double()
    nn.init.zeros_(net.fc2.weight)
    x, x_adv, y = pair
    out = objective(Fixed(x_adv), n_steps=2, internal_batch_size=size)(net, x, y)
    out.loss.backward()
    assert float(out.parts["ig_norm"]) == 0
    assert all(bool(g.isfinite().all()) for g in collected(net))
    assert bool(net.fc2.weight.grad.any())


def test_one_step_goes_up_the_sum_of_both_terms() -> None:
    """From the image, where only the cross-entropy has a slope, and from there along numpy's slope of the sum."""
    net, x, y = linear(), torch.from_numpy(X), torch.tensor(Y)
    step = IGSumNormAttack(eps=0.3, alpha=0.01, steps=1, lam=2.0, n_steps=4, random_start=False)
    first = step(net, x, y)
    up = np.array([WEIGHT.T @ (probabilities(z) - np.eye(2)[t]) for z, t in zip(X, Y, strict=True)])
    np.testing.assert_allclose(first.numpy(), (X + 0.01 * np.sign(up)).clip(0, 1))
    norm_only = IGNormAttack(eps=0.3, alpha=0.01, steps=1, n_steps=4)
    for attack, lam, ce in ((step, 2.0, 1.0), (norm_only, 1.0, 0.0)):
        slope = attack.gradient(net, torch.from_numpy(X_ADV), *attack.prepare(net, x, y)).numpy()
        for i in range(len(X)):
            for j in range(3):
                ends = []
                for h in (1e-6, -1e-6):
                    z = X_ADV[i].copy()
                    z[j] += h
                    norm = np.abs(numpy_ig(X[i], z, Y[i], [0.25, 0.5, 0.75, 1])).sum()
                    ends.append(ce * cross_entropy(z, Y[i]) + lam * norm)
                assert slope[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_the_norm_alone_cannot_start_from_the_image() -> None:
    with pytest.raises(HoldfastError, match=r"random_start is False.*gradient 0.*leave random_start at True"):
        IGNormAttack(eps=0.1, alpha=0.1, steps=2, random_start=False)


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": -1}, "lam is -1"),
        ({"lam": float("nan")}, "lam is nan"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"internal_batch_size": 0}, "internal_batch_size is 0"),
    ],
)
def test_impossible_settings(objective: Objectives, change: dict[str, float], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        objective(**change)
