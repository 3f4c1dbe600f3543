"""Buffers that a forward pass in evaluation mode changes: chunks are refused for that reason, by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf


class Counting(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.how, self.a, self.b = how, nn.Linear(64, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "+=":
            self.calls += 1
        elif self.how == "fill_":
            self.calls.fill_(len(x))
        elif self.how == "copy_":
            self.calls.copy_(x.detach().mean())
        else:
            self.seen = len(x)
        return self.b(torch.relu(self.a(x.flatten(1))))


@pytest.mark.parametrize("how", ["+=", "fill_", "copy_", "attribute"])
def test_counters_and_caches(how: str) -> None:
    net, x, y = Counting(how).eval(), torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])

    def gradient(size: int | None) -> Tensor:
        penalty = hf.igr_penalty(net, x, 1 - x, y, n_steps=4, internal_batch_size=size).mean()
        return torch.autograd.grad(penalty, net.a.weight)[0]

    expected = gradient(None)
    torch.testing.assert_close(gradient(64), expected)
    if how == "attribute":
        torch.testing.assert_close(gradient(5), expected)
        return
    with pytest.raises(hf.HoldfastError, match=r"forward pass itself changes its buffers \(calls\)"):
        gradient(5)
