"""The twin of a network is the network that somebody would write with softplus, however its kinks are spelled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from holdfast import HoldfastError, SoftplusTwin, activation_consistency

Activation = Callable[[Tensor], Tensor]
BETA = 6.0
SLOPE = 0.2


def soft(x: Tensor) -> Tensor:
    return F.softplus(x, beta=BETA, threshold=1e9)


def soft_leaky(x: Tensor) -> Tensor:
    return SLOPE * x + (1 - SLOPE) * soft(x)


def soft_between(low: float, high: float) -> Activation:
    return lambda x: low + soft(x - low) - soft(x - high)


class Net(nn.Module):
    """Two convolutions and two linear layers on (B, 2, 6, 6) in float64; always the same weights."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3)
            self.fc1, self.fc2 = nn.Linear(20, 8), nn.Linear(8, 3)
        self.activation = activation
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.conv2(self.activation(self.conv1(x)))).flatten(1)
        return self.fc2(self.activation(self.fc1(h)))


def set_item(h: Tensor) -> Tensor:
    h = h.clone()
    h[h < 0] = 0
    return h


def times_in_place(h: Tensor) -> Tensor:
    h *= h > 0
    return h


def filled_in_place(h: Tensor) -> Tensor:
    return h.masked_fill_(h <= 0, 0.0)


RELU: dict[str, Activation] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu(h, True)": lambda h: F.relu(h, True),
    "relu_": lambda h: h.relu_(),
    "aten.relu": torch.ops.aten.relu,
    "clamp(min=0)": lambda h: h.clamp(min=0),
    "clip(0)": lambda h: torch.clip(h, 0.0),
    "clamp_": lambda h: h.clamp_(min=0),
    "clamp_min": lambda h: torch.clamp_min(h, 0),
    "clamp(min=tensor)": lambda h: h.clamp(min=torch.zeros(())),
    "-clamp_max(-h, 0)": lambda h: -torch.clamp_max(-h, 0.0),
    "maximum": lambda h: torch.maximum(h, torch.zeros(())),
    "maximum(0, h)": lambda h: torch.maximum(torch.zeros_like(h), h),
    "h.max(0)": lambda h: h.max(h.new_zeros(())),
    "fmax": lambda h: torch.fmax(h, torch.zeros(1)),
    "-minimum": lambda h: -torch.minimum(-h, torch.zeros(())),
    "h * (h > 0)": lambda h: h * (h > 0),
    "(h >= 0).float() * h": lambda h: (h >= 0).double() * h,
    "(0 < h).to(h) * h": lambda h: torch.lt(torch.zeros(()), h).to(h) * h,
    "h * ~(h <= 0)": lambda h: h * ~(h <= 0),
    "h * (1 - (h < 0))": lambda h: h * (1 - (h < 0).type_as(h)),
    "h *= h > 0": times_in_place,
    "h.mul_(h > 0)": lambda h: h.mul_(h > 0),
    "heaviside": lambda h: h * torch.heaviside(h, h.new_zeros(())),
    "h * (sign + 1) / 2": lambda h: h * ((h.sign() + 1) / 2),
    "where(h > 0, h, 0)": lambda h: torch.where(h > 0, h, 0.0),
    "where(h < 0, 0, h)": lambda h: torch.where(h < 0, torch.zeros_like(h), h),
    "where(h > zeros, h, zeros)": lambda h: torch.where(h > torch.zeros_like(h), h, torch.zeros_like(h)),
    "h.where": lambda h: h.where(h > 0, torch.tensor(0.0, dtype=h.dtype)),
    "masked_fill": lambda h: h.masked_fill(h < 0, 0),
    "masked_fill_": filled_in_place,
    "h[h < 0] = 0": set_item,
    "threshold": lambda h: F.threshold(h, 0.0, 0.0),
    "nn.Threshold in place": nn.Threshold(0.0, 0.0, inplace=True),
    "(h + |h|) / 2": lambda h: (h + h.abs()) / 2,
    "hardtanh(0, 1e6)": lambda h: F.hardtanh(h, 0.0, 1e6),
    "leaky_relu(0)": lambda h: F.leaky_relu(h, 0.0),
}
OTHERS: dict[str, tuple[Activation, Activation]] = {
    "leaky_relu": (lambda h: F.leaky_relu(h, SLOPE), soft_leaky),
    "leaky_relu in place": (nn.LeakyReLU(SLOPE, inplace=True), soft_leaky),
    "leaky_relu by where": (lambda h: torch.where(h > 0, h, SLOPE * h), soft_leaky),
    "leaky_relu by masks": (lambda h: h * (h > 0) + SLOPE * h * (h <= 0), lambda h: soft(h) + SLOPE * (h - soft(h))),
    "max(h, 0.2 h)": (
        lambda h: torch.maximum(h, SLOPE * h),
        lambda h: SLOPE * h + F.softplus(h * (1 - SLOPE), beta=BETA, threshold=1e9),
    ),
    "prelu": (nn.PReLU(init=SLOPE).double(), soft_leaky),
    "rrelu": (lambda h: F.rrelu(h, 0.1, 0.3), soft_leaky),
    "nn.RReLU": (nn.RReLU(0.1, 0.3).eval(), soft_leaky),
    "relu6": (F.relu6, soft_between(0, 6)),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), soft_between(0, 6)),
    "hardtanh": (lambda h: F.hardtanh(h, -0.3, 0.4), soft_between(-0.3, 0.4)),
    "clamp": (lambda h: h.clamp(-0.3, 0.4), soft_between(-0.3, 0.4)),
    "clamp_": (lambda h: h.clamp_(max=0.4), lambda h: 0.4 - soft(0.4 - h)),
    "minimum of maximum": (
        lambda h: torch.minimum(torch.maximum(h, h.new_tensor(-0.3)), h.new_tensor(0.4)),
        lambda h: 0.4 - soft(0.4 - (soft(h + 0.3) - 0.3)),
    ),
    "where at 0.1": (lambda h: torch.where(h > 0.1, h, 0.1), lambda h: 0.1 + soft(h - 0.1)),
    "hardsigmoid": (lambda h: F.hardsigmoid(8 * h), lambda h: (soft(8 * h + 3) - soft(8 * h - 3)) / 6),
    "hardswish": (lambda h: F.hardswish(8 * h), lambda h: 8 * h * (soft(8 * h + 3) - soft(8 * h - 3)) / 6),
    "nn.Hardswish in place": (
        lambda h: nn.Hardswish(inplace=True)(8 * h),
        lambda h: 8 * h * (soft(8 * h + 3) - soft(8 * h - 3)) / 6,
    ),
    "abs": (torch.abs, lambda h: soft(h) + soft(-h)),
    "abs()": (lambda h: abs(h), lambda h: soft(h) + soft(-h)),
    "h * sign": (lambda h: h * torch.sign(h), lambda h: soft(h) + soft(-h)),
    "softshrink": (lambda h: F.softshrink(h, 0.1), lambda h: soft(h - 0.1) - soft(-h - 0.1)),
    "jump": (
        lambda h: torch.where(h > 0.1, h + 0.5, 0.1),
        lambda h: 0.1 + soft(h - 0.1) + 0.5 * (h > 0.1),
    ),
    "threshold with a jump": (lambda h: F.threshold(h, 0.1, 0.3), lambda h: 0.3 + soft(h - 0.1) - 0.2 * (h > 0.1)),
}


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


class Checkpointed(Net):
    def __init__(self, reentrant: bool) -> None:
        super().__init__(F.relu)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        def first(h: Tensor) -> Tensor:
            return self.activation(self.conv2(self.activation(self.conv1(h)))).flatten(1)

        h = checkpoint(first, x, use_reentrant=self.reentrant)
        return self.fc2(checkpoint(lambda t: F.relu(self.fc1(t)), h, use_reentrant=self.reentrant))


class Around(nn.Module):
    """An eager network with one of another format inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Branching(Net):
    """Control flow, lists and strings that only scripting keeps."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError(f"images have {x.dim()} dimensions")
        h = self.conv1(x)
        for i in range(2):
            if i == 1:
                h = self.conv2(h)
            h = torch.where(h > 0, h, torch.zeros_like(h)) if i == 0 else h.clamp_(min=0.0)
        parts = [part * 1.0 for part in h.flatten(1).chunk(2, dim=1)]
        return self.fc2(self.activation(self.fc1(torch.cat(parts, 1))))


def traced(net: Net, x: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and people have it
        return torch.jit.trace(net, x)


def scripted(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net)


def exported(net: Net, x: Tensor, decomposed: bool = False) -> nn.Module:
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    if decomposed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own
            program = program.run_decompositions()
    return program.module()


FORMATS: dict[str, Callable[[Tensor], nn.Module]] = {
    "traced": lambda x: traced(Net(F.relu), x),
    "traced clamp": lambda x: traced(Net(lambda h: h.clamp(min=0)), x),
    "traced mask": lambda x: traced(Net(lambda h: h * (h > 0)), x),
    "scripted": lambda x: scripted(Net(nn.ReLU())),
    "scripted with branches and loops": lambda x: scripted(Branching()),
    "traced inside": lambda x: Around(nn.Sequential(traced(Net(F.relu), x))),
    "exported": lambda x: exported(Net(F.relu), x),
    "exported where": lambda x: exported(Net(lambda h: torch.where(h > 0, h, 0.0)), x),
    "exported mask": lambda x: exported(Net(lambda h: h * (h > 0)), x),
    "exported maximum": lambda x: exported(Net(lambda h: torch.maximum(h, torch.zeros(()))), x),
    "exported item": lambda x: exported(Net(set_item), x),
    "decomposed leaky": lambda x: exported(Net(lambda h: F.leaky_relu(h, 0.0)), x, True),
    "decomposed threshold": lambda x: exported(Net(lambda h: F.threshold(h, 0.0, 0.0)), x, True),
    "fx": lambda x: torch.fx.symbolic_trace(Net(nn.ReLU())),
    "fx clamp": lambda x: torch.fx.symbolic_trace(Net(lambda h: h.clamp(min=0))),
    "checkpoint": lambda x: Checkpointed(reentrant=False),
    "reentrant checkpoint": lambda x: Checkpointed(reentrant=True),
    "compiled": lambda x: torch.compile(Net(F.relu), backend="eager"),
    "compiled around traced": lambda x: torch.compile(Around(traced(Net(F.relu), x)), backend="eager"),
    "data parallel": lambda x: nn.DataParallel(Net(F.relu)),
    "data parallel inside": lambda x: Around(nn.DataParallel(Net(F.relu))),
}


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
