from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import SSR, HoldfastError
from holdfast.objectives.ssr import largest_hessian_eigenvalue

Make = Callable[[str], nn.Module]
Triple = tuple[Tensor, Tensor, Tensor]


def hessian_of_the_loss(net: nn.Module, image: Tensor, label: int) -> np.ndarray:
    """Dense, (features, features), by double backward."""

    def loss(flat: Tensor) -> Tensor:
        return F.cross_entropy(net(flat.view(1, *image.shape)), torch.tensor([label]))

    return torch.autograd.functional.hessian(loss, image.flatten()).numpy()


@pytest.mark.parametrize("network", ["F.relu", "relu_", "leaky_relu", "residual-inplace", "small_cnn", "conv1d"])
def test_largest_eigenvalue_of_the_dense_hessian(make_network: Make, pair: Triple, network: str) -> None:
    """Of piecewise-linear networks; whatever the label."""
    net = make_network(network).double()
    x, _, y = pair
    found = largest_hessian_eigenvalue(net, x).detach()
    net.eval()
    for i in range(3):
        for label in (int(y[i]), int(y[i] + 1) % 4):
            spectrum = np.linalg.eigvalsh(hessian_of_the_loss(net, x[i], label))
            assert spectrum[0] > -1e-9
            assert float(found[i]) == pytest.approx(spectrum[-1], rel=1e-6)
            assert spectrum[-1] > 1e-6


def test_two_classes_of_a_linear_network_by_hand() -> None:
    """One eigenvalue, p (1 - p) |w_0 - w_1|^2, with p = sigmoid(z_0 - z_1)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 2.0, 0.0]]))
        net[1].bias.copy_(torch.tensor([0.0, 0.5]))
    x = torch.tensor([[[0.1, 0.2, 0.3]], [[0.5, 0.0, 1.0]]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-np.array([0.1 + 0.6 - 0.4 - 0.5, 0.5 + 2.0 - 0.0 - 0.5])))
    np.testing.assert_allclose(largest_hessian_eigenvalue(net, x).detach(), p * (1 - p) * 9, rtol=1e-12)


def test_gauss_newton_part_of_a_smooth_network(make_network: Make, pair: Triple) -> None:
    net = make_network("gelu").double().eval()
    x = pair[0]
    found = largest_hessian_eigenvalue(net, x).detach()
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda flat: net(flat.view(1, 2, 8, 8))[0], x[i].flatten())
        w, p = jacobian.numpy().T, F.softmax(net(x[i : i + 1]), dim=1)[0].detach().numpy()
        dense = w @ (np.diag(p) - np.outer(p, p)) @ w.T
        assert float(found[i]) == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-9)


@pytest.mark.parametrize("network", ["F.relu", "gelu"])
def test_gradient_to_the_images(make_network: Make, pair: Triple, network: str) -> None:
    net = make_network(network).double()
    x = pair[0].requires_grad_()
    tangent = torch.randn_like(x)
    (gradient,) = torch.autograd.grad(largest_hessian_eigenvalue(net, x).sum(), x)
    h = 1e-6
    with torch.no_grad():
        slope = largest_hessian_eigenvalue(net, x + h * tangent) - largest_hessian_eigenvalue(net, x - h * tangent)
    torch.testing.assert_close((gradient * tangent).flatten(1).sum(1), slope / (2 * h), rtol=1e-5, atol=1e-8)
    assert bool(gradient.any())


def test_equal_eigenvalues_do_no_harm() -> None:
    """Three equally likely classes with orthonormal gradients: both eigenvalues are 1/3."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False)).double()
    nn.init.eye_(net[1].weight)
    value = largest_hessian_eigenvalue(net, torch.zeros(1, 1, 3, dtype=torch.float64))
    value.sum().backward()
    torch.testing.assert_close(value, torch.full_like(value, 1 / 3))
    torch.testing.assert_close((net[1].weight.grad * net[1].weight).sum(), 2 * value[0])  # homogeneous of degree 2


def test_float32_and_sure_predictions(make_network: Make, pair: Triple) -> None:
    net, x = make_network("F.relu"), pair[0]
    single = largest_hessian_eigenvalue(net, x.float()).double()
    torch.testing.assert_close(single, largest_hessian_eigenvalue(net.double(), x), rtol=1e-4, atol=0)
    net.fc2.bias.data[0] += 1000
    sure = largest_hessian_eigenvalue(net, x)
    sure.sum().backward()
    assert not bool(sure.any())
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters())


def test_the_eigenvector_is_found_in_full_precision_under_autocast(make_network: Make) -> None:
    """Of a network that keeps out of autocast itself; a rough eigenvector would give a smaller value."""
    net = make_network("F.relu").eval()

    def exact(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return net(x)

    x = torch.rand(40, 2, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = largest_hessian_eigenvalue(exact, x)
    torch.testing.assert_close(found, largest_hessian_eigenvalue(net, x), rtol=1e-6, atol=0)


def test_a_diverged_model_gives_nan(make_network: Make, pair: Triple) -> None:
    net = make_network("F.relu").double()
    net.fc1.weight.data[0, 0] = float("nan")
    assert bool(largest_hessian_eigenvalue(net, pair[0]).isnan().all())


def test_frozen_parameters(make_network: Make, pair: Triple) -> None:
    net = make_network("F.relu").double()
    expected = largest_hessian_eigenvalue(net, pair[0]).detach()
    torch.testing.assert_close(largest_hessian_eigenvalue(net.requires_grad_(False), pair[0]), expected)


def test_loss(make_network: Make, pair: Triple) -> None:
    net = make_network("F.relu").double()
    x, _, y = pair
    out = SSR(lam=0.3)(net, x, y)
    ce, eigenvalue = F.cross_entropy(net(x), y), largest_hessian_eigenvalue(net, x).mean()
    assert out.x_adv is None
    assert list(out.parts) == ["ce", "eigenvalue"]
    torch.testing.assert_close(out.parts["eigenvalue"], eigenvalue.detach())
    torch.testing.assert_close(out.loss, ce + 0.3 * eigenvalue)
    torch.testing.assert_close(SSR()(net, x, y).loss, ce + 6.6 * eigenvalue)


def test_errors() -> None:
    with pytest.raises(HoldfastError, match="lam is -1"):
        SSR(lam=-1)
    with pytest.raises(HoldfastError, match=r"returned \(3, 2, 2\)"):
        largest_hessian_eigenvalue(lambda x: x, torch.rand(3, 2, 2))
