"""What second-order attribution costs, in forward passes (F) of the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from holdfast import SoftplusTwin, igr_penalty
from holdfast.attribution.base import path_attribution
from holdfast.gradient.points import Path
from holdfast.models import ResNet18, SmallCNN

STEPS, BATCH = 5, 4  # 20 points are whole paths of two pairs, 9 not of one


class Flops(TorchDispatchMode):
    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class CallsOnly(nn.Module):
    """No module but the weights. (No groups: PyTorch's formula overcounts the weight gradient of those.)"""

    def __init__(self) -> None:
        super().__init__()
        shapes = ((16, 3, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (64, 32 * 16), (10, 64))
        self.weights = nn.ParameterList([torch.randn(s) / 10 for s in shapes])

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e = self.weights
        h = torch.relu(F.conv2d(x, a, padding=1))
        h = F.conv2d(h, b, stride=2, padding=1).relu_()
        h = F.relu(F.conv2d(h, c, padding=2, dilation=2), inplace=True)
        h = F.max_pool2d(h, 2).flatten(1)
        return F.linear(torch.relu(F.linear(h, d)), e)


def small_cnn() -> nn.Module:
    net = SmallCNN(10, in_channels=3, image_size=16)
    nn.init.normal_(net.fc3.weight, std=0.1)
    return net


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": small_cnn,
    "resnet18": lambda: ResNet18(width=16),
    "calls": CallsOnly,
}


@pytest.fixture(params=[*NETWORKS])
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[request.param]().eval()


def images() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, BATCH, 3, 16, 16, generator=generator)
    return x, x_adv, torch.arange(BATCH)


def forward_flops(net: nn.Module) -> float:
    """Of one image."""
    with Flops() as flops, torch.no_grad():
        net(images()[0])
    assert flops.total > 0
    return flops.total / BATCH


@pytest.mark.parametrize(("size", "most"), [(None, 4.1), (20, 4.1), (9, 6.1)])
def test_penalty_and_backward(network: nn.Module, size: int | None, most: float) -> None:
    def step() -> None:
        igr_penalty(network, *images(), n_steps=STEPS, internal_batch_size=size).sum().backward()

    step()  # a network is measured once, to see whether its graph fits the memory
    with Flops() as flops:
        step()
    cost = flops.total / forward_flops(network) / (2 * BATCH * STEPS)
    assert most - 0.6 < cost <= most


def test_ordinary_double_backward_costs_half_as_much_again(network: nn.Module) -> None:
    x, _, y = images()
    with Flops() as flops:
        z = x.requires_grad_()
        (gradient,) = torch.autograd.grad(network(z).gather(1, y[:, None]).sum(), z, create_graph=True)
        gradient.square().sum().backward()
    assert flops.total / forward_flops(network) / BATCH >= 5.9


@pytest.mark.parametrize(("size", "softplus", "relu"), [(None, 4.1, 2.1), (10, 6.1, 4.1)])
def test_gradient_to_the_images_alone(network: nn.Module, size: int | None, softplus: float, relu: float) -> None:
    x, _, y = images()
    for model, most in ((SoftplusTwin(network, 20.0), softplus), (network, relu)):
        path = Path(model, y, "riemann_middle", STEPS, create_graph=True, weights=False)
        adv = x.detach().requires_grad_()
        path_attribution(path, adv, rows=size)
        with Flops() as flops:
            ig = path_attribution(path, adv, rows=size)
            torch.autograd.grad(ig.abs().sum(), adv)
        assert flops.total / forward_flops(network) / (BATCH * STEPS) <= most


def exported(net: nn.Module, x: Tensor) -> nn.Module:
    shapes = ({0: torch.export.Dim("batch", min=2, max=256)},)
    return torch.export.export(net, (x,), dynamic_shapes=shapes).module()


class Scriptable(nn.Module):
    """SmallCNN as TorchScript can read it: without annotations of shapes, with a batch norm and a ReLU6."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = net.conv1, net.conv2, net.conv3, net.conv4
        self.fc1, self.fc2, self.fc3 = net.fc1, net.fc2, net.fc3
        self.norm = nn.BatchNorm2d(self.conv4.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        h = F.max_pool2d(F.relu6(self.norm(self.conv4(F.relu(self.conv3(h))))), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(h)))))


PROGRAMS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "exported": exported,
    "traced": lambda net, x: torch.jit.trace(net, x),
    "scripted": lambda net, x: torch.jit.script(Scriptable(net).eval()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", [*PROGRAMS])
def test_programs_cost_what_source_code_does(program: str) -> None:
    """Of a network as ``torch.export``, a trace or TorchScript; the values are those of its source."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        source = small_cnn().eval()
    x, x_adv, y = images()
    net = PROGRAMS[program](source, x)
    plain = Scriptable(source).eval() if program == "scripted" else source
    forward = forward_flops(plain)

    def penalty(model: nn.Module) -> Tensor:
        return igr_penalty(model, x, x_adv, y, n_steps=STEPS)

    penalty(net).sum().backward()
    with Flops() as flops:
        penalty(net).sum().backward()
    assert 3.5 < flops.total / forward / (2 * BATCH * STEPS) <= 4.1
    torch.testing.assert_close(penalty(net), penalty(plain))
    for model, most in ((SoftplusTwin(net, 20.0), 4.1), (net, 2.1)):
        path = Path(model, y, "riemann_middle", STEPS, create_graph=True, weights=False)
        adv = x.detach().requires_grad_()
        path_attribution(path, adv)
        with Flops() as flops:
            torch.autograd.grad(path_attribution(path, adv).abs().sum(), adv)
        assert flops.total / forward / (BATCH * STEPS) <= most


def test_values_alone(network: nn.Module) -> None:
    x, _, y = images()
    path = Path(network, y, "riemann_middle", STEPS)
    with Flops() as flops:
        path_attribution(path, x)
    assert flops.total / forward_flops(network) / (BATCH * STEPS) <= 2.05
