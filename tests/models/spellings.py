"""One network with its kinks spelled and stored in many ways, and the softplus each stands for."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own
        program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        return (program.run_decompositions() if decomposed else program).module()


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
