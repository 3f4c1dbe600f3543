"""Peak tensor memory of the regulariser, from the allocator's own events."""

from __future__ import annotations

import torch

from bench.measure import peak_bytes
from holdfast.attribution import igr_penalty
from holdfast.models import SmallCNN


def _peak(n_steps: int, internal_batch_size: int | None) -> int:
    generator = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, 8, 1, 28, 28, generator=generator)
    y = torch.arange(8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallCNN()
        torch.nn.init.normal_(model.fc3.weight, std=0.1)

    def step() -> None:
        penalty = igr_penalty(model, x, x_adv, y, n_steps=n_steps, internal_batch_size=internal_batch_size)
        penalty.mean().backward()

    step()
    return peak_bytes(step)


def test_chunked_memory_does_not_grow_with_n_steps() -> None:
    assert _peak(50, 64) <= 1.2 * _peak(10, 64)


def test_the_whole_graph_grows_with_n_steps() -> None:
    """The contrast: what the chunks are there to avoid."""
    assert _peak(40, None) > 2 * _peak(10, None)
