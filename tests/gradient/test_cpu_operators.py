"""The CPU's own forms of a convolution's input gradient and of max pooling, against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from holdfast import PGD, integrated_gradients
from holdfast.gradient import cpu_operators
from holdfast.gradient.cpu_operators import convolution_input_gradient, input_gradients, max_pool2d, plain_geometry

CPU = torch.device("cpu")


def double(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=60)
@given(
    channels=st.integers(1, 5),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    folded=st.booleans(),
)
def test_convolution_input_gradient(
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    folded: bool,
) -> None:
    x = double(0, 2, channels, 9, 10).requires_grad_()
    weight = double(1, 3, channels, *kernel)
    y = F.conv2d(x, weight, None, stride, padding, dilation)
    grad = double(2, *y.shape)
    (expected,) = torch.autograd.grad(y, x, grad)
    geometry = plain_geometry(2, x, weight, None, stride, padding, dilation, 1)
    assert geometry is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_operators, "SMALL", 10**9 if folded else 0)
        found = convolution_input_gradient(grad, x, weight, geometry)
    torch.testing.assert_close(found, expected)


WINDOWS = {
    "2": lambda pool, x: pool(x, 2),
    "3, stride 2, padding 1": lambda pool, x: pool(x, 3, 2, 1),
    "dilated": lambda pool, x: pool(x, kernel_size=2, stride=1, dilation=2),
    "ceil": lambda pool, x: pool(x, (3, 2), ceil_mode=True),
    "indices": lambda pool, x: pool(x, 2, return_indices=True)[0],
}


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool_with_both_derivatives(window: str, channels: int) -> None:
    """On rectified values rounded to halves, so that most windows hold equal maxima: the first must win."""
    x = (double(0, 2, channels, 7, 8).relu() * 2).round() / 2
    results = []
    for pool in (F.max_pool2d, max_pool2d):
        leaf = x.clone().requires_grad_()
        y = WINDOWS[window](pool, leaf)
        grad = double(1, *y.shape).requires_grad_()
        (first,) = torch.autograd.grad(y, leaf, grad, create_graph=True)
        (second,) = torch.autograd.grad(first, grad, double(2, *x.shape))
        results.append((y, first, second))
    for found, expected in zip(results[1], results[0], strict=True):
        assert torch.equal(found, expected)


def forward(images: Tensor) -> Tensor:
    weight = double(4, 9, 1, 3, 3).to(images.dtype)
    return F.max_pool2d(F.conv2d(images, weight, stride=2, padding=1), 2).flatten(1)


NETWORKS: dict[str, Callable[[Tensor], Tensor]] = {
    "functions": forward,
    "string padding": lambda z: F.conv2d(z, double(4, 2, 1, 3, 3), padding="same").flatten(1),
    "kernel made of the image": lambda z: F.conv2d(z, z[:, :, :3, :3].sum(0, keepdim=True)).flatten(1),
    "one image without a batch": lambda z: F.max_pool2d(F.conv2d(z[0], double(4, 9, 1, 3, 3)), 2).flatten()[None],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_input_gradients_of_networks(name: str) -> None:
    gradients = []
    for fast in (False, True):
        z = double(0, 2, 1, 8, 8).requires_grad_()
        if fast:
            with input_gradients(CPU):
                output = NETWORKS[name](z)
        else:
            output = NETWORKS[name](z)
        gradients.append(torch.autograd.grad(output.square().sum(), z)[0])
    torch.testing.assert_close(gradients[1], gradients[0])


CALLS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "attribution": lambda net, x: integrated_gradients(net, x, 3, n_steps=4),
    "gradient of an attribution": lambda net, x: torch.autograd.grad(
        integrated_gradients(net, x, 3, n_steps=4, create_graph=True).square().sum(), net.fc1.weight
    )[0],
    "attack": lambda net, x: PGD(0.1, 0.03, 2, random_start=False)(net, x, net(x).argmax(1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_they_are_what_runs(name: str, network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    expected = CALLS[name](network, x)
    original = cpu_operators._from_patches
    monkeypatch.setattr(cpu_operators, "_from_patches", lambda *given: -original(*given))
    assert not torch.allclose(CALLS[name](network, x), expected)


def test_bfloat16_keeps_the_native_kernels(network: nn.Module) -> None:
    """Adding patches up in bfloat16 would round at every addition."""
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(5)).requires_grad_()
    gradients = []
    for fast in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            if fast:
                with input_gradients(CPU):
                    output = network(x)
            else:
                output = network(x)
        gradients.append(torch.autograd.grad(output.float().sum(), x)[0])
    assert torch.equal(*gradients)


def test_a_stride_and_a_padding_of_one_number_in_a_tuple() -> None:
    weight, last = double(1, 4, 1, 3, 3).requires_grad_(), double(2, 3, 36)
    x, y = double(0, 2, 1, 6, 6).sigmoid(), torch.tensor([0, 2])

    def net(z: Tensor) -> Tensor:
        return F.gelu(F.conv2d(z, weight, None, (2,), (1,), (1,))).flatten(1) @ last.t()

    def plain(z: Tensor) -> Tensor:
        return F.gelu(F.conv2d(z, weight, None, 2, 1)).flatten(1) @ last.t()

    for create_graph in (False, True):
        found, expected = (
            integrated_gradients(f, x, y, n_steps=3, create_graph=create_graph).square().sum() for f in (net, plain)
        )
        torch.testing.assert_close(found, expected)
    (found,), (expected,) = (torch.autograd.grad(value, weight) for value in (found, expected))
    torch.testing.assert_close(found, expected)
