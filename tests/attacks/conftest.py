"""A little network that knows most of the digits, with images that it classifies correctly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.data.digits import load_digits
from holdfast.data.loader import to_unit_interval


@dataclass(frozen=True)
class Known:
    """A trained network in evaluation mode and images with their labels, all correct."""

    net: nn.Module
    x: Tensor
    y: Tensor

    def __iter__(self) -> Iterator[Tensor | nn.Module]:
        return iter((self.net, self.x, self.y))


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(scope="session")
def known() -> Known:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = load_digits("train")
    x, y = to_unit_interval(data.images[:400]), data.labels[:400]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _net()
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for step in range(80):
            rows = torch.arange(step * 100, step * 100 + 100) % len(x)
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    net.requires_grad_(False).eval()
    right = (net(x).argmax(1) == y).nonzero()[:12, 0]
    torch.set_num_threads(threads)
    return Known(net, x[right], y[right])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch(trained: nn.Module, digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Twelve images, the last two with a wrong label."""
    images, labels = (t[:200] for t in digits)
    right = (trained(images).argmax(1) == labels).nonzero()[:12, 0]
    assert len(right) == 12
    labels = labels[right].clone()
    labels[-2:] = (labels[-2:] + 1) % 10
    return images[right], labels
