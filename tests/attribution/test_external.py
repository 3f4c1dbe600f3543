"""Anybody's explanation: how it is called, and what is said of a map that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Saliency as CaptumSaliency
from torch import Tensor, nn

from holdfast import External, HoldfastError, Saliency, attribution_penalty
from holdfast.attribution import Attribution
from holdfast.part_json import from_json, to_json

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]


def with_model(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    assert not model.training
    z = x.clone().requires_grad_()
    return torch.autograd.grad(model(z).gather(1, target[:, None]).sum(), z)[0]


def test_every_way_of_calling(make_network: MakeNetwork, pair: Pair, tmp_path: Path) -> None:
    net = make_network("residual").double()
    x, _, y = pair
    expected = Saliency()(net, x, y)
    file = tmp_path / "mine.py"
    file.write_text("def ones(x, target, scale=3.0):\n    return x * 0 + scale\n")
    calls = {
        "with the model": with_model,
        "without the model": lambda x, target: with_model(net.eval(), x, target),
        "captum's object": CaptumSaliency(net.eval()),
        "as numpy": lambda x, target: with_model(net.eval(), x, target).numpy(),
        "a default": lambda net, x, target=y: with_model(net, x, target),
    }
    for name, fn in calls.items():
        found = External(fn)(net.train(), x, y)
        right = expected.abs() if name == "captum's object" else expected
        torch.testing.assert_close(found, right)
        assert not found.requires_grad
        assert net.training
        net.eval()
    torch.testing.assert_close(External("captum.attr:Saliency")(net, x, y), expected.abs())
    stored = External(f"{file}:ones")
    assert bool((from_json(Attribution, to_json(stored), "here")(net, x, 1) == 3).all())
    assert stored.title == "ones"


SHAPES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "one channel": (lambda x: x[:, :1], lambda x: x[:, :1].expand_as(x)),
    "no channel": (lambda x: x[:, 0], lambda x: x[:, :1].expand_as(x)),
    "coarse": (
        lambda x: x[:, :1, ::2, ::2],
        lambda x: F.interpolate(x[:, :1, ::2, ::2], (8, 8), mode="bilinear").expand_as(x),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_fit(pair: Pair, name: str) -> None:
    given, expected = SHAPES[name]
    found = External(lambda x, target: given(x))(lambda z: z.flatten(1), pair[0], 1)
    torch.testing.assert_close(found, expected(pair[0]))


def _broken(x: Tensor, target: Tensor) -> Tensor:
    maps = x.clone()
    maps[1, 0, 0, 0] = float("nan")
    return maps


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x, target: x[:, :, ::2], r"shape \(3, 2, 4, 8\).*\(3, 2, 8, 8\)"),
        (lambda x, target: x[:1], r"\(1, 2, 8, 8\)"),
        (lambda x, target: x.flatten(1), r"\(3, 128\)"),
        (lambda x, target: x.mean(), r"\(\)"),
        (lambda x, target: "map", "returned str"),
        (_broken, r"NaN for 1 of 3 images \(numbers 1\)"),
    ],
)
def test_maps_that_do_not_fit(pair: Pair, fn: Callable[[Tensor, Tensor], Tensor], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        External(fn)(lambda z: z.flatten(1), pair[0], 1)


def test_cannot_be_differentiated(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("F.relu").double()
    external = External(partial(with_model, net.eval()))
    assert not external.differentiable
    with pytest.raises(HoldfastError, match="cannot be differentiated"):
        external(net, pair[0], 1, create_graph=True)
    with pytest.raises(HoldfastError, match="no_grad"):
        attribution_penalty(net, *pair, attribution=external)
    with torch.no_grad():
        found = attribution_penalty(net, *pair, attribution=external)
        torch.testing.assert_close(found, attribution_penalty(net, *pair, attribution=Saliency()))


class Windowed:
    def __init__(self, model: object, layer: object = None) -> None:
        self.layer = layer

    def attribute(self, x: Tensor, window: int, target: Tensor) -> Tensor:
        return x


class Layered(Windowed):
    def __init__(self, model: object, layer: object) -> None:
        super().__init__(model, layer)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x, r"too many positional arguments\); it is called as a function fn\(x, target\)"),
        (lambda x, target, a, b: x, r"missing a required argument: 'b'"),
        (Layered, r"^Layered takes other arguments \(missing .*'layer'.* a class that is made of a model alone"),
        (Windowed, r"^Windowed takes other arguments \(missing .*'window'.* attribute\(x, target=target\)"),
    ],
)
def test_other_arguments_are_one_line(make_network: MakeNetwork, pair: Pair, fn: Any, message: str) -> None:
    x, _, y = pair
    with pytest.raises(HoldfastError, match=message):
        External(fn)(make_network("residual").double(), x, y)


def test_labels_are_left_alone(make_network: MakeNetwork, pair: Pair) -> None:
    x, _, y = pair
    before = y.clone()
    External(lambda x, target: x + target.add_(1).view(-1, 1, 1, 1))(make_network("residual").double(), x, y)
    assert torch.equal(y, before)
