"""Every architecture of the benchmark: the gradient of the penalty is that of double backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.igr_step import double_backward
from bench.networks import batch, network
from holdfast import igr_penalty


def gradient(model: nn.Module, penalty: Tensor) -> Tensor:
    model.zero_grad()
    penalty.sum().backward()
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in model.parameters()]
    )


@pytest.mark.parametrize(
    "name", ["SmallCNN", "ViT", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ResNet18", "ImageNet"))]
)
def test_parameter_gradients_in_float64(name: str) -> None:
    model, shape = network(name, "cpu")
    model.double()
    x, x_adv, y = (t[..., :64, :64].double() if t.is_floating_point() else t for t in batch(shape, 2, "cpu"))
    exact = gradient(model, double_backward(model, x, x_adv, y, n_steps=3))
    assert float(exact.norm()) > 0
    for size in (None, 5):
        found = gradient(model, igr_penalty(model, x, x_adv, y, n_steps=3, internal_batch_size=size))
        assert float((found - exact).norm() / exact.norm()) < 1e-9
