from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import HoldfastError, igr_penalty, integrated_gradients
from holdfast.models import SmallCNN

Pair = tuple[Tensor, Tensor, Tensor]
MakeNetwork = Callable[[str], nn.Module]
SIZES = pytest.mark.parametrize("size", [None, 4])


@SIZES
def test_frozen_parameters_get_no_gradient(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    free = make_network("residual").double()
    igr_penalty(free, *pair, n_steps=3, internal_batch_size=size).sum().backward()
    frozen = make_network("residual").double()
    for name, parameter in frozen.named_parameters():
        parameter.requires_grad_(name in ("grouped.weight", "bn1.weight", "head.weight"))
    igr_penalty(frozen, *pair, n_steps=3, internal_batch_size=size).sum().backward()
    reached = {name for name, p in frozen.named_parameters() if p.grad is not None}
    assert reached == {"grouped.weight", "bn1.weight", "head.weight"}
    for name in reached:
        torch.testing.assert_close(frozen.get_parameter(name).grad, free.get_parameter(name).grad)


@SIZES
def test_images_reached_through_a_frozen_network(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    x, x_adv, y = pair
    net = make_network("residual").double()
    first = [t.clone().requires_grad_() for t in (x, x_adv)]
    igr_penalty(net, *first, y, internal_batch_size=size).sum().backward()
    second = [t.clone().requires_grad_() for t in (x, x_adv)]
    igr_penalty(net.requires_grad_(False), *second, y, internal_batch_size=size).sum().backward()
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
        assert a.grad is not None
        assert float(a.grad.abs().sum()) > 0


@SIZES
def test_images_that_are_computed_pass_the_gradient_on(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    x, x_adv, y = pair
    net = make_network("F.relu").double()
    leaf = x.clone().requires_grad_()
    igr_penalty(net, leaf, x_adv, y, internal_batch_size=size).sum().backward()
    scale = torch.full_like(x, 0.5).requires_grad_()
    igr_penalty(net, 2 * x * scale, x_adv, y, internal_batch_size=size).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(scale.grad, 2 * x * leaf.grad)


@SIZES
def test_zero_initialised_last_layer(size: int | None) -> None:
    net = SmallCNN(4, in_channels=2, image_size=8)
    penalty = igr_penalty(net, torch.rand(3, 2, 8, 8), torch.rand(3, 2, 8, 8), torch.tensor([0, 1, 2]),
                          n_steps=3, internal_batch_size=size)  # fmt: skip
    assert penalty.tolist() == [1, 1, 1]
    penalty.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


@SIZES
def test_equal_images_have_no_penalty_and_no_gradient(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    x, _, y = pair
    net = make_network("residual").double()
    penalty = igr_penalty(net, x, x.clone(), y, internal_batch_size=size)
    torch.testing.assert_close(penalty, torch.zeros_like(penalty), rtol=0, atol=1e-12)
    penalty.sum().backward()
    assert max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None) < 1e-9


def test_opposite_attributions_have_penalty_two() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 2)).double()
    x = torch.rand(2, 2, 8, 8, dtype=torch.float64)
    y = torch.tensor([0, 1])
    far = igr_penalty(net, x, 1 - x, y, baselines=0.5)
    torch.testing.assert_close(far.detach(), torch.full((2,), 2.0, dtype=torch.float64))


@SIZES
def test_values_under_no_grad(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    net = make_network("F.relu").double()
    expected = igr_penalty(net, *pair, internal_batch_size=size).detach()
    with torch.no_grad():
        found = igr_penalty(net, *pair, internal_batch_size=size)
        differentiable = integrated_gradients(net, pair[0], 1, internal_batch_size=size, create_graph=True)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)
    assert differentiable.requires_grad


def test_functions_are_recomputed_like_modules(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("F.relu").double()
    x, _, y = pair

    def function(z: Tensor) -> Tensor:
        return net(z)

    expected = torch.autograd.grad(integrated_gradients(net, x, y, create_graph=True).square().sum(), net.fc1.weight)
    ig = integrated_gradients(function, x, y, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(ig.square().sum(), net.fc1.weight), expected)
    ig = integrated_gradients(function, x, y, create_graph=True, internal_batch_size=5)
    torch.testing.assert_close(torch.autograd.grad(ig.square().sum(), net.fc1.weight), expected)
    chunked = integrated_gradients(function, x, y, internal_batch_size=5)
    torch.testing.assert_close(chunked, ig.detach())


def test_buffers_changed_before_the_backward_pass_raise(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    penalty = igr_penalty(net, *pair, internal_batch_size=4)
    net(pair[0])  # training mode: moves the running statistics
    with pytest.raises(HoldfastError, match=r"buffers.*changed"):
        penalty.sum().backward()


@SIZES
def test_parameters_changed_before_the_backward_pass_raise(
    make_network: MakeNetwork, pair: Pair, size: int | None
) -> None:
    net = make_network("residual").double()
    penalty = igr_penalty(net, *pair, internal_batch_size=size)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        penalty.sum().backward()


@SIZES
def test_gradients_accumulate_beside_another_loss(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    x, x_adv, y = pair
    net = make_network("residual").double()
    parameters = [*net.parameters()]
    net.eval()
    loss = F.cross_entropy(net(x), y)
    alone = torch.autograd.grad(loss, parameters, retain_graph=True)
    term = igr_penalty(net, x, x_adv, y, internal_batch_size=size).mean()
    regular = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    (loss + 0.5 * term).backward()
    for parameter, a, b in zip(parameters, alone, regular, strict=True):
        torch.testing.assert_close(parameter.grad, a if b is None else a + 0.5 * b)


def test_memory_goes_with_the_result(make_network: MakeNetwork, pair: Pair) -> None:
    """No reference cycle may keep the activations alive until the collector runs."""
    alive: list[weakref.ref[Tensor]] = []
    net = make_network("residual").double()
    net.mix.register_forward_hook(lambda _m, _i, out: alive.append(weakref.ref(out)))
    gc.collect()
    gc.disable()
    try:
        for size in (None, 4):
            penalty = igr_penalty(net, *pair, internal_batch_size=size)
            penalty.sum().backward()
            del penalty
            assert len(alive) > 1
            assert all(ref() is None for ref in alive)
    finally:
        gc.enable()


def test_unequal_shapes_are_named(make_network: MakeNetwork) -> None:
    with pytest.raises(HoldfastError, match=r"\(2, 2, 8, 8\).*\(3, 2, 8, 8\)"):
        igr_penalty(make_network("F.relu"), torch.rand(2, 2, 8, 8), torch.rand(3, 2, 8, 8), torch.tensor([0, 1]))
