"""The penalty's gradient made in the forward pass, a few pairs at a time: against the whole graph's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.measure import flops
from holdfast import igr_penalty
from holdfast.attribution import compare

N, ONE, TWO = 3, 6, 13
"""Steps, and the path points that hold one pair and two."""
Triple = tuple[Tensor, Tensor, Tensor]
MakeNetwork = Callable[[str], nn.Module]
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda penalty: penalty.mean(),
    "weighted": lambda penalty: (penalty * torch.tensor([0.5, 3.0, -1.0])).sum(),
    "masked": lambda penalty: penalty[1:].mean(),
    "squared": lambda penalty: penalty.square().sum(),
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each penalty came from groups of pairs."""
    seen = []
    original = compare.in_groups

    def note(*args: Any) -> Tensor | None:
        found = original(*args)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(compare, "in_groups", note)
    return seen


def gradients(net: nn.Module, pair: Triple, weigh: Callable[[Tensor], Tensor], size: int | None) -> list[Tensor]:
    net.zero_grad(set_to_none=True)
    x, x_adv, y = pair
    x, x_adv = (t.detach().requires_grad_() for t in (x, x_adv))
    baseline = torch.full((2, 8, 8), 0.1, dtype=x.dtype, requires_grad=True)
    weigh(igr_penalty(net, x, x_adv, y, n_steps=N, baselines=baseline, internal_batch_size=size)).backward()
    found = [t.grad for t in (x, x_adv, baseline, *net.parameters())]
    return [torch.zeros(()).double() if g is None else g for g in found]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("size", [ONE, TWO])
@pytest.mark.parametrize("name", ["F.relu", "gelu", "residual", "attention", "weight-norm", "dynamic-filter"])
def test_all_gradients(
    make_network: MakeNetwork, pair: Triple, made: list[bool], name: str, size: int, weights: str
) -> None:
    net = make_network(name).double().eval()
    expected = gradients(net, pair, WEIGHTS[weights], 1000)
    assert made == []
    found = gradients(net, pair, WEIGHTS[weights], size)
    assert made == [True]
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-9, atol=1e-12)


def test_costs_in_forward_passes(make_network: MakeNetwork, pair: Triple) -> None:
    net = make_network("F.relu").double()
    forward = flops(lambda: net(pair[0])) * 2 * N
    costs = {
        name: flops(lambda weigh=weigh: gradients_to_weights(net, pair, weigh)) / forward
        for name, weigh in WEIGHTS.items()
    }
    assert costs["mean"] <= 4.1
    assert 7.5 < costs["weighted"] <= 8.2
    with torch.no_grad():
        assert flops(lambda: igr_penalty(net, *pair, n_steps=N, internal_batch_size=ONE)) / forward <= 2.3


def gradients_to_weights(net: nn.Module, pair: Triple, weigh: Callable[[Tensor], Tensor]) -> None:
    weigh(igr_penalty(net, *pair, n_steps=N, internal_batch_size=ONE)).backward()


def test_the_backward_pass_can_be_repeated(make_network: MakeNetwork, pair: Triple) -> None:
    net = make_network("F.relu").double()
    loss = igr_penalty(net, *pair, n_steps=N, internal_batch_size=ONE).mean()
    wanted = [*net.parameters()]
    once = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
    again = torch.autograd.grad(3 * loss, wanted, allow_unused=True)
    for a, b in zip(once, again, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(3 * a, b)


def test_frozen_networks_still_have_gradients_to_the_images(make_network: MakeNetwork, pair: Triple) -> None:
    net = make_network("gelu").double().requires_grad_(False)
    x, x_adv, y = pair
    found = []
    for size in (1000, ONE):
        leaf = x_adv.detach().requires_grad_()
        penalty = igr_penalty(net, x, leaf, y, n_steps=N, internal_batch_size=size)
        found.append(torch.autograd.grad((penalty * torch.arange(1, 4)).sum(), leaf)[0])
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)
    assert not igr_penalty(net, x, x_adv, y, n_steps=N, internal_batch_size=ONE).requires_grad


class Hidden(nn.Module):
    """Uses a network that it does not own, whose parameters a search through modules does not find."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = [net]
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.net[0](x) * self.scale


def test_parameters_out_of_sight_get_their_gradients(make_network: MakeNetwork, pair: Triple, made: list[bool]) -> None:
    net = make_network("F.relu").double()
    hidden = Hidden(net)
    expected = torch.autograd.grad(igr_penalty(net, *pair, n_steps=N).mean(), net.conv2.weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "block_rows", lambda x: ONE)
        found = torch.autograd.grad(igr_penalty(hidden, *pair, n_steps=N).mean(), net.conv2.weight)
    assert made == [True]
    torch.testing.assert_close(found, expected)


def test_weights_computed_elsewhere(pair: Triple, made: list[bool]) -> None:
    """A parameter of one module made from another's: the graph leads out of the model."""
    source = torch.randn(4, 128, dtype=torch.float64, requires_grad=True)
    outer = source * 2

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x.flatten(1), outer).square()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "block_rows", lambda x: ONE)
        (found,) = torch.autograd.grad(igr_penalty(Linear(), *pair, n_steps=N).mean(), source)
    assert made == [False]
    assert found.abs().sum() > 0
