"""Gradients of the regulariser against ordinary double backward and against finite differences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import igr_penalty, integrated_gradients
from holdfast.gradient import second_order

N = 4
Pair = tuple[Tensor, Tensor, Tensor]
MakeNetwork = Callable[[str], nn.Module]


def plain_ig(net: nn.Module, x: Tensor, y: Tensor, baseline: Tensor) -> Tensor:
    """The paper's Eq. 4 with nothing but torch.autograd.grad."""
    total = torch.zeros_like(x)
    for k in range(1, N + 1):
        z = baseline + k / N * (x - baseline)
        z = z if z.requires_grad else z.requires_grad_()
        total = total + torch.autograd.grad(net(z).gather(1, y[:, None]).sum(), z, create_graph=True)[0] / N
    return (x - baseline) * total


def plain_penalty(net: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, baseline: Tensor) -> Tensor:
    a, b = (plain_ig(net, images, y, baseline).flatten(1) for images in (x, x_adv))
    return 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def gradients(value: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
    """Of a scalar that weighs every image differently; zeros where there is none."""
    scalar = value.flatten(1).sum(1) if value.ndim > 1 else value
    scalar = (scalar * torch.arange(1, len(scalar) + 1)).sum()
    found = torch.autograd.grad(scalar, wanted, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, wanted, strict=True)]


def error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest deviation of one tensor, relative to its size (to the largest tensor's, where it is zero)."""
    largest = max(float(e.abs().max()) for e in expected)
    pairs = zip(found, expected, strict=True)
    return max(float((f - e).abs().max()) / max(float(e.abs().max()), 1e-6 * largest) for f, e in pairs)


def sizes(net: nn.Module) -> list[int | None]:
    big = sum(p.numel() for p in net.parameters()) > 1e6
    return [None, 7, 8] if big else [None, 1, 3, 7, 8, 20, 64, 1000]


def test_parameters_and_inputs_in_float64(any_network: nn.Module, pair: Pair) -> None:
    net = any_network.double()
    x, x_adv, y = (t.requires_grad_(t.is_floating_point()) for t in pair)
    baseline = (0.1 * torch.rand(2, 8, 8, dtype=torch.float64)).requires_grad_()
    wanted = [x, x_adv, baseline, *net.parameters()]
    net.eval()
    reference = plain_penalty(net, x, x_adv, y, baseline)
    expected = gradients(reference, wanted)
    net.train()
    assert max(float(e.abs().max()) for e in expected[3:]) > 0
    for size in sizes(net):
        penalty = igr_penalty(net, x, x_adv, y, n_steps=N, baselines=baseline, internal_batch_size=size)
        torch.testing.assert_close(penalty, reference, rtol=1e-10, atol=1e-12)
        assert error(gradients(penalty, wanted), expected) < 1e-9, size


def test_parameters_in_float32(any_network: nn.Module, pair: Pair) -> None:
    exact = copy.deepcopy(any_network).double().eval()
    x, x_adv, y = pair
    baseline = torch.zeros_like(x)
    expected = gradients(plain_penalty(exact, x, x_adv, y, baseline), [*exact.parameters()])
    largest = max(float(e.abs().max()) for e in expected)
    for size in (None, 7):
        penalty = igr_penalty(any_network, x.float(), x_adv.float(), y, n_steps=N, internal_batch_size=size)
        found = gradients(penalty, [*any_network.parameters()])
        for f, e in zip(found, expected, strict=True):
            assert float((f.double() - e).norm()) < 1e-5 * max(float(e.norm()), largest), size


def test_channels_last_has_the_same_gradients(any_network: nn.Module, pair: Pair) -> None:
    net = any_network.double()
    x, x_adv, y = pair
    expected = gradients(igr_penalty(net, x, x_adv, y, n_steps=N), [*net.parameters()])
    net.to(memory_format=torch.channels_last)
    for size in (None, 7):
        for images in ((x, x_adv), [t.to(memory_format=torch.channels_last) for t in (x, x_adv)]):
            found = gradients(igr_penalty(net, *images, y, n_steps=N, internal_batch_size=size), [*net.parameters()])
            assert error(found, expected) < 1e-9


def test_attribution_itself_is_differentiable(any_network: nn.Module, pair: Pair) -> None:
    net = any_network.double().eval()
    x, baseline, y = (t.requires_grad_(t.is_floating_point()) for t in pair)
    wanted = [x, baseline, *net.parameters()]
    expected = gradients(plain_ig(net, x, y, baseline).square(), wanted)
    for size in (None, 5):
        ig = integrated_gradients(
            net,
            x,
            y,
            baselines=baseline,
            n_steps=N,
            method="riemann_right",
            internal_batch_size=size,
            create_graph=True,
        )
        assert error(gradients(ig.square(), wanted), expected) < 1e-9


def pass_everything(h: Tensor) -> Tensor:
    return F.leaky_relu(h, 1.0)


@pytest.mark.parametrize("wrong", [pass_everything, lambda h: F.relu(h - 0.05), lambda h: F.leaky_relu(h, 0.01)])
def test_a_wrong_mask_would_be_seen(
    make_network: MakeNetwork, pair: Pair, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Tensor], Tensor]
) -> None:
    """Forward values stay those of ReLU; only the mask of its derivative is wrong."""

    class WrongMask(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor, op: Callable[[Tensor], Tensor]) -> Tensor:
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                (ctx.slope,) = torch.autograd.grad(wrong(leaf).sum(), leaf)  # type: ignore[attr-defined]
            return op(x)

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> tuple[Tensor, None]:
            return grad * ctx.slope, None  # type: ignore[attr-defined]

    net = make_network("F.relu").double().eval()
    net.pool = nn.AvgPool2d(2)
    x, x_adv, y = pair
    expected = gradients(plain_penalty(net, x, x_adv, y, torch.zeros_like(x)), [*net.parameters()])
    assert error(gradients(igr_penalty(net, x, x_adv, y, n_steps=N), [*net.parameters()]), expected) < 1e-9
    original = second_order._Detached
    monkeypatch.setattr(second_order, "_Detached", WrongMask)
    monkeypatch.setattr(second_order, "PIECEWISE_LINEAR", {F.relu})
    assert second_order._Detached is not original
    assert error(gradients(igr_penalty(net, x, x_adv, y, n_steps=N), [*net.parameters()]), expected) > 1e-3


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("name", ["F.relu", "residual", "attention"])
def test_finite_differences_in_the_parameters(
    make_network: MakeNetwork, pair: Pair, name: str, size: int | None
) -> None:
    net = make_network(name).double()
    parameters = [*net.parameters()]
    found = torch.cat([g.flatten() for g in gradients(igr_penalty(net, *pair, internal_batch_size=size), parameters)])
    start = nn.utils.parameters_to_vector(parameters).detach()
    generator = torch.Generator().manual_seed(1)
    h = 1e-6
    for _ in range(4):
        direction = torch.randn(len(start), generator=generator, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            nn.utils.vector_to_parameters(start + sign * h * direction, parameters)
            with torch.no_grad():
                values.append((igr_penalty(net, *pair) * torch.arange(1, 4)).sum())
        slope = float(values[0] - values[1]) / (2 * h)
        assert float(found @ direction) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("size", [None, 3])
def test_finite_differences_in_the_inputs(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    net = make_network("softplus").double()
    net.pool = nn.AvgPool2d(2)
    x, x_adv, y = pair
    baseline = 0.1 * torch.ones_like(x)
    inputs = [t.requires_grad_() for t in (x, x_adv, baseline)]

    def value(x: Tensor, x_adv: Tensor, baseline: Tensor) -> Tensor:
        return igr_penalty(net, x, x_adv, y, n_steps=3, baselines=baseline, internal_batch_size=size)

    found = gradients(value(*inputs), inputs)
    generator = torch.Generator().manual_seed(2)
    h = 1e-5
    for moved in range(3):
        direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            shifted = [t + (sign * h * direction if i == moved else 0) for i, t in enumerate(inputs)]
            ends.append(float((value(*shifted) * torch.arange(1, 4)).sum().detach()))
        slope = (ends[0] - ends[1]) / (2 * h)
        assert float((found[moved] * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_hardsigmoid_has_the_derivatives_of_its_clipped_line(
    conv_net: Callable[[Callable[[Tensor], Tensor]], nn.Module], pair: Pair
) -> None:
    """PyTorch's own hardsigmoid cannot be differentiated twice."""
    expected = conv_net(lambda h: F.relu6(4 * h + 3) / 6).double()
    reference = gradients(plain_penalty(expected, *pair, torch.zeros_like(pair[0])), [*expected.parameters()])
    for inplace in (False, True):
        net = conv_net(lambda h, inplace=inplace: F.hardsigmoid(4 * h, inplace=inplace)).double()
        found = gradients(igr_penalty(net, *pair, n_steps=N), [*net.parameters()])
        assert error(found, reference) < 1e-9
