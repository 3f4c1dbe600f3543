"""The twin of a network is the network that somebody would write with softplus, however its kinks are spelled."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import HoldfastError, SoftplusTwin, activation_consistency
from tests.models.spellings import (
    BETA,
    FORMATS,
    OTHERS,
    RELU,
    Checkpointed,
    Net,
    soft,
)


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(4, 2, 6, 6, generator=generator, dtype=torch.float64)


def derivatives(net: nn.Module, x: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Logits, input gradient, and the gradients of its square to the images and to all weights."""
    x = x.clone().requires_grad_()
    logits = net(x)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x, create_graph=True)
    second = torch.autograd.grad(gradient.square().sum() + logits.square().sum(), [x, *weights])
    return [logits, gradient, *second]


def check(network: nn.Module, weights: list[Tensor], explicit: Net, x: Tensor) -> SoftplusTwin:
    twin = SoftplusTwin(network, BETA)
    found, expected = derivatives(twin, x, weights), derivatives(explicit, x, layers(explicit))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert float(expected[2].abs().max()) > 1e-4
    with torch.no_grad():
        torch.testing.assert_close(twin(x), found[0].detach(), rtol=1e-9, atol=1e-12)
    return twin


def layers(net: nn.Module) -> list[Tensor]:
    names = dict(net.named_parameters())
    return [names[f"{layer}.{kind}"] for layer in ("conv1", "conv2", "fc1", "fc2") for kind in ("weight", "bias")]


@pytest.mark.parametrize("name", [*RELU])
def test_every_spelling_of_relu(name: str, x: Tensor) -> None:
    net = Net(RELU[name])
    torch.testing.assert_close(net(x), Net(F.relu)(x))
    twin = check(net, layers(net), Net(soft), x)
    assert sum(twin.smoothed.values()) >= 3


@pytest.mark.parametrize("name", [*OTHERS])
def test_every_piecewise_linear_operator(name: str, x: Tensor) -> None:
    activation, by_hand = OTHERS[name]
    net = Net(activation)
    check(net, layers(net), Net(by_hand), x)
    gaps = [float((SoftplusTwin(net, beta)(x) - net(x)).detach().abs().max()) for beta in (30.0, 1e3, 1e7)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-5


def test_a_learnt_slope_is_differentiated(x: Tensor) -> None:
    slopes = nn.Parameter(torch.tensor([0.1, 0.3, -0.2], dtype=torch.float64))
    h = x.flatten(1)[:, :3].sub(0.5)
    weight = slopes[:, None] if h.ndim == 3 else slopes
    expected = (weight * h + (1 - weight) * soft(h)).square().sum()
    for activation in (lambda t: F.prelu(t, slopes), lambda t: torch.where(t > 0, t, slopes * t)):
        found = SoftplusTwin(activation, BETA)(h).square().sum()
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found, slopes), torch.autograd.grad(expected, slopes, retain_graph=True)
        )


def weights_of(network: nn.Module) -> list[Tensor]:
    return [
        next(p for name, p in network.named_parameters() if name.endswith(f"{layer}.{kind}"))
        for layer in ("conv1", "conv2", "fc1", "fc2")
        for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize("name", [*FORMATS])
def test_every_format(name: str, x: Tensor) -> None:
    network = FORMATS[name](x)
    weights, explicit = weights_of(network), Net(soft)
    twin = check(network, weights, explicit, x)
    assert sum(twin.smoothed.values()) == 3
    before = twin(x)
    with torch.no_grad():
        weights[-1].add_(1)  # weights stay live
        weights[0].mul_(2)
        explicit.conv1.weight.mul_(2)
        explicit.fc2.bias.add_(1)
    assert not torch.allclose(twin(x), before)
    torch.testing.assert_close(twin(x), explicit(x), rtol=1e-6, atol=1e-9)
    relu = Net(F.relu)
    relu.load_state_dict(explicit.state_dict())
    torch.testing.assert_close(network(x.requires_grad_()), relu(x))


def test_checkpoints_work_again_afterwards(x: Tensor) -> None:
    net = Checkpointed(reentrant=False)
    calls: list[int] = []
    net.activation = lambda h: calls.append(1) or F.relu(h)  # type: ignore[func-returns-value]
    SoftplusTwin(net, BETA)(x)
    assert len(calls) == 2
    net(x).sum().backward()
    assert len(calls) == 6  # twice forward, twice again in the backward pass


def test_attention_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(24, 3)).eval()
    x = torch.rand(2, 3, 8, requires_grad=True)
    twin = SoftplusTwin(net, BETA)
    (gradient,) = torch.autograd.grad(twin(x)[:, 0].sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert twin.smoothed == {"relu": 1}
    assert float(second.abs().max()) > 0
    with torch.no_grad():  # nor does the fast path hide the kink
        torch.testing.assert_close(twin(x), SoftplusTwin(net, BETA)(x.detach()))
        assert twin.smoothed == {"relu": 1}


def test_guards_are_not_gates(x: Tensor) -> None:
    """Bounds against a division by zero, and the masks of attention, stay what they are."""
    lowest = torch.tensor(torch.finfo(torch.float64).min)
    for guard in (
        lambda t: t / t.norm().clamp(min=1e-8),
        lambda t: t.clamp(-1e4, 1e4),
        lambda t: torch.max(t, lowest),
        lambda t: t.masked_fill(torch.arange(6) > 3, float("-inf")).softmax(-1),
    ):
        torch.testing.assert_close(SoftplusTwin(guard, BETA)(x), guard(x), rtol=1e-9, atol=1e-9)


def test_elu_written_with_where_is_the_same_with_and_without_a_graph(x: Tensor) -> None:
    net = Net(lambda h: torch.where(h > 0, h, h.exp() - 1))
    twin = SoftplusTwin(net, BETA)
    with torch.no_grad():
        silent = twin(x)
    torch.testing.assert_close(twin(x), silent, rtol=0, atol=0)
    torch.testing.assert_close(silent, net(x).detach())


@pytest.mark.parametrize("window", [{}, {"stride": 1}, {"stride": (2, 1), "padding": 1}, {"stride": 3, "padding": 1}])
def test_max_pooling_on_demand(x: Tensor, window: dict[str, Any]) -> None:
    def pool(t: Tensor) -> Tensor:
        return F.max_pool2d(t, 3, **window)

    x = x - 0.5
    assert torch.equal(SoftplusTwin(pool, BETA)(x), pool(x))
    twin = SoftplusTwin(pool, BETA, pooling=7.0)
    padding = window.get("padding", 0)
    unfolded = F.unfold(F.pad(x, [padding] * 4, value=-1e6), 3, stride=window.get("stride", 3)).unflatten(1, (2, 9))
    expected = unfolded.mul(7).exp().sum(2).log().div(7)
    torch.testing.assert_close(twin(x).flatten(2), expected)
    assert twin.smoothed == {"max_pool2d": 1}
    torch.testing.assert_close(SoftplusTwin(pool, BETA, pooling=1e5)(x), pool(x), rtol=0, atol=1e-4)
    exported = torch.fx.symbolic_trace(nn.Sequential(nn.MaxPool2d(3, **window)))
    torch.testing.assert_close(SoftplusTwin(exported, BETA, pooling=7.0)(x), twin(x))
    line = SoftplusTwin(lambda t: F.max_pool1d(t.flatten(2), 4), BETA, pooling=7.0)(x)
    torch.testing.assert_close(line, x.flatten(2).unflatten(2, (9, 4)).mul(7).logsumexp(3) / 7)
    few = x[:1, :1, :5, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(twin, few)
    assert torch.autograd.gradgradcheck(twin, few)


def test_pooling_must_be_positive() -> None:
    with pytest.raises(HoldfastError, match="pooling is 0"):
        SoftplusTwin(nn.ReLU(), BETA, pooling=0.0)


ONE_GATE = [name for name in RELU if not name.startswith(("-", "(h + |h|)", "leaky", "hardtanh", "h * (sign"))]


@pytest.mark.parametrize("name", ONE_GATE)
def test_activation_consistency_counts_every_spelling(name: str, x: Tensor) -> None:
    expected = activation_consistency(Net(F.relu), x, 1 - x)
    torch.testing.assert_close(activation_consistency(Net(RELU[name]), x, 1 - x), expected)
    assert 0 < float(expected.min()) <= float(expected.max()) < 1


@pytest.mark.parametrize("name", [name for name in FORMATS if "leaky" not in name])
def test_activation_consistency_in_every_format(name: str, x: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a reentrant checkpoint without gradients
        found = activation_consistency(FORMATS[name](x), x, 1 - x)
    torch.testing.assert_close(found, activation_consistency(Net(F.relu), x, 1 - x))
