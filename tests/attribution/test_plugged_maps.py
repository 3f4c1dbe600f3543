"""Attributions of the user's own that return something else than a map, or a map without a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks import IFIA, AutoIFIA
from holdfast.attribution import Attribution


@dataclass(frozen=True)
class Mine(Attribution):
    change: Callable[[Tensor], Any] = torch.Tensor.clone

    def map(
        self, model: hf.Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        with torch.enable_grad():
            z = x if x.requires_grad else x.detach().requires_grad_()
            logits = model(z).gather(1, target[:, None]).sum()
            return self.change(torch.autograd.grad(logits, z, create_graph=create_graph)[0])  # type: ignore[no-any-return]


USES: dict[str, Callable[[Mine, nn.Module, Tensor, Tensor], Any]] = {
    "call": lambda own, net, x, y: own(net, x, y),
    "ifia": lambda own, net, x, y: IFIA(0.1, 0.05, 2, k=5, attribution=own)(net, x, y),
    "auto": lambda own, net, x, y: AutoIFIA(0.1, 5, "quick", scale=0.1, attribution=own)(net, x, y),
    "penalty": lambda own, net, x, y: hf.attribution_penalty(net, x, 1 - x, y, attribution=own),
}


def batch() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 5))
    x = torch.rand(4, 3, 4, 4)
    return net, x, net(x).argmax(1)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda g: g.sum(1, keepdim=True), r"torch.float32 of shape \(\d, 1, 4, 4\)"),
        (lambda g: g.flatten(1), r"torch.float32 of shape \(\d, 48\)"),
        (lambda g: g[:1], r"torch.float32 of shape \(1, 3, 4, 4\)"),
        (lambda g: g > 0, "torch.bool of shape"),
        (lambda g: g.detach().numpy(), "ndarray"),
        (lambda g: None, "NoneType"),
    ],
)
def test_what_is_no_map_is_named(use: str, change: Callable[[Tensor], Any], what: str) -> None:
    with pytest.raises(hf.HoldfastError, match=rf"^Mine returned {what}.* a map has one number a feature"):
        USES[use](Mine(change), *batch())


@pytest.mark.parametrize("use", USES)
def test_a_map_of_a_wider_type(use: str) -> None:
    net, x, y = batch()
    found = USES[use](Mine(torch.Tensor.double), net, x, y)
    if use in ("ifia", "auto"):
        assert found.dtype == x.dtype


def test_a_penalty_without_a_gradient_is_said() -> None:
    net, x, y = batch()
    with pytest.warns(hf.HoldfastWarning, match="the penalty of Mine has no gradient to the weights"):
        hf.attribution_penalty(net, x, 1 - x, y, attribution=Mine(torch.Tensor.detach))
    with torch.no_grad():
        hf.attribution_penalty(net, x, 1 - x, y, attribution=Mine(torch.Tensor.detach))
    hf.attribution_penalty(net.requires_grad_(False), x, 1 - x, y, attribution=Mine(torch.Tensor.detach))
