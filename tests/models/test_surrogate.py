"""A surrogate that attacks cannot follow is named; one that they can is not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.models import SmallCNN, check_surrogate

Activation = Callable[[Tensor], Tensor]


class Net(nn.Module):
    def __init__(self, activation: Activation, pool: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.c2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.f, self.activation, self.pool = nn.Linear(256, 10), activation, pool

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.c2(self.activation(self.c1(x))))
        return self.f((F.max_pool2d if self.pool else F.avg_pool2d)(h, 2).flatten(1))


class OwnReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x > 0)


def straight_through(step: Activation) -> Activation:
    return lambda h: h + (step(h) - h).detach()


def scripted_function(h: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(_plain_relu)(h)


def _plain_relu(h: Tensor) -> Tensor:
    return torch.relu(h)


FOLLOWED: dict[str, Activation] = {
    "relu": F.relu,
    "clamp": lambda h: h.clamp(min=0),
    "leaky": lambda h: F.leaky_relu(h, 0.2),
    "relu6": F.relu6,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "mask": lambda h: h * (h > 0),
}
LOST: dict[str, tuple[Activation, str]] = {
    "own function": (OwnReLU.apply, "not the derivative .* an autograd.Function of its own .* write the activations"),
    "scripted function": (scripted_function, "no second-order gradient .*not smoothed: .*relu"),
    "square root of the square": (lambda h: h.square().sqrt(), "no second-order gradient"),
    "step": (lambda h: (h > 0).float(), "gradient is 0 on 100%"),
    "sign": (torch.sign, "gradient is 0 on 100%"),
    "rounding": (lambda h: (h * 8).round() / 8, "gradient is 0 on 100% .* round"),
    "straight-through sign": (straight_through(torch.sign), "not the derivative of its logits"),
    "straight-through rounding": (straight_through(lambda h: (F.relu(h) * 16).round() / 16), "not the derivative"),
    "fake quantisation": (
        lambda h: torch.fake_quantize_per_tensor_affine(F.relu(h), 1 / 16, 0, -128, 127),
        "not the derivative of its logits .*fake_quantize",
    ),
    "random": (lambda h: F.relu(h + 0.1 * torch.randn_like(h)), "not the derivative of its logits"),
    "hard shrinkage": (lambda h: F.hardshrink(h, 0.1), "not the derivative of its logits .*hardshrink"),
    "step beside a ramp": (lambda h: F.relu(h) + 0.5 * (h > 0).float(), "not the derivative of its logits"),
}


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 10


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("name", [*FOLLOWED])
def test_networks_that_attacks_can_follow(name: str, pool: bool, batch: tuple[Tensor, Tensor]) -> None:
    found = check_surrogate(Net(FOLLOWED[name], pool), *batch, beta=30.0)
    assert found.problem is None
    assert found.gradient_zero == 0
    assert set(found.left) == ({"max_pool2d_with_indices"} if pool else set())
    if not pool:
        assert found.second_order == pytest.approx(1, abs=0.05)
        assert found.slope_error < 0.01


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("name", [*LOST])
def test_networks_that_they_cannot(name: str, pool: bool, batch: tuple[Tensor, Tensor]) -> None:
    activation, problem = LOST[name]
    found = check_surrogate(Net(activation, pool), *batch, beta=30.0).problem
    assert found is not None
    assert "\n" not in found
    assert re.search(problem, found)


def test_a_vision_transformer_is_followed(batch: tuple[Tensor, Tensor]) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.head = nn.Conv2d(1, 16, 2, 2), nn.Linear(16, 10)
            self.encoder = nn.TransformerEncoder(layer, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    net = ViT()
    found = check_surrogate(net, *batch, beta=30.0)
    assert (found.problem, found.smoothed, found.left) == (None, {}, {})
    assert found.second_order == pytest.approx(1, abs=0.02)
    assert found.logit_gap < 1e-5
    assert found.same_label == 1
    assert net.training


def test_a_linear_network_has_nothing_to_follow(batch: tuple[Tensor, Tensor]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = check_surrogate(net, *batch, beta=30.0)
    assert (found.problem, found.second_order) == (None, 1.0)


def test_how_far_the_twin_is_from_the_network(batch: tuple[Tensor, Tensor]) -> None:
    x, y = torch.rand(4, 1, 28, 28), torch.arange(4)
    net = SmallCNN()
    nn.init.normal_(net.fc3.weight, std=0.1)
    near, far = (check_surrogate(net, x, y, beta) for beta in (300.0, 3.0))
    assert near.smoothed == far.smoothed == {"relu": 6}
    assert near.logit_gap < 0.01 < 0.5 < far.logit_gap
    assert near.same_label == 1


def test_broken_networks(batch: tuple[Tensor, Tensor]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(net[1].bias, float("nan"))
    assert "not finite" in str(check_surrogate(net, *batch, beta=30.0).problem)
    constant = check_surrogate(lambda x: torch.zeros(len(x), 10), *batch, beta=30.0)
    assert "gradient is 0 on 100%" in str(constant.problem)
