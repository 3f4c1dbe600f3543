"""An attack through the surrogate finds the same images however the network's kinks are spelled or stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import IFIA, IntegratedGradients
from tests.models.spellings import BETA, FORMATS, OTHERS, RELU, Net

ATTACK = IFIA(0.2, 0.05, 4, 8, surrogate_beta=BETA, attribution=IntegratedGradients(3))
LEAKY = [
    "leaky_relu",
    "leaky_relu in place",
    "leaky_relu by where",
    "leaky_relu by masks",
    "prelu",
    "rrelu",
    "nn.RReLU",
]
CLIPPED = ["hardtanh", "clamp"]
NAMED = {"reentrant checkpoint"}
"""Formats that PyTorch gives no second derivative of, told of in one line elsewhere."""
ABS = ["abs", "abs()", "h * sign"]


class MaxPooled(Net):
    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__(F.relu)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.conv2(self.activation(self.conv1(F.interpolate(x, size=8))))).flatten(2)
        return self.fc2(self.activation(self.fc1(self.pool(h.view(len(x), 5, 4, 4)).flatten(1))))


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool2d": lambda h: F.max_pool2d(h, 2),
    "nn.MaxPool2d": nn.MaxPool2d(2),
    "adaptive": lambda h: F.adaptive_max_pool2d(h, 2),
    "with indices": lambda h: F.max_pool2d(h, 2, return_indices=True)[0],
    "torch": lambda h: torch.max_pool2d(h, 2),
}


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def attacked(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    found = ATTACK.run(net, x, net(x).argmax(1), generator=torch.Generator().manual_seed(0))
    return found.adv_images, found.score


def check_alike(net: nn.Module, plain: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(attacked(net, x), attacked(plain, x))


def test_the_attack_moves_the_maps(x: Tensor) -> None:
    adv, score = attacked(Net(F.relu), x)
    assert float(score.mean()) < 0.9
    assert float((adv - x).abs().amax()) == pytest.approx(0.2)


@pytest.mark.parametrize("name", [n for n in RELU if n != "heaviside"])
def test_every_spelling_of_relu(name: str, x: Tensor) -> None:
    check_alike(Net(RELU[name]), Net(F.relu), x)


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in NAMED and "parallel" not in n])
def test_every_format(name: str, x: Tensor) -> None:
    check_alike(FORMATS[name](x), Net(F.relu), x)


@pytest.mark.parametrize("group", [LEAKY, CLIPPED, ABS], ids=["leaky", "clipped", "abs"])
def test_other_kinks(group: list[str], x: Tensor) -> None:
    for name in group[1:]:
        check_alike(Net(OTHERS[name][0]), Net(OTHERS[group[0]][0]), x)


@pytest.mark.parametrize("name", [*POOLS])
def test_every_spelling_of_max_pooling(name: str, x: Tensor) -> None:
    check_alike(MaxPooled(POOLS[name]), MaxPooled(POOLS["max_pool2d"]), x)
