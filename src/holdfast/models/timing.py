"""How long a forward pass of one image takes here."""

from __future__ import annotations

import time

import torch

from holdfast.models.resolve import build_model

BATCH = 64
ENOUGH_SECONDS = 0.3
GRADIENT = 3
"""Forward passes that a forward pass with its input and weight gradients counts for."""


def seconds_per_forward(model: str, shape: tuple[int, int, int], device: str = "cpu", num_classes: int = 10) -> float:
    """Seconds of one F, averaged over forward and backward passes of a batch, as training and attacks mix them.

    Takes well under a second for the networks of the paper.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(model, shape, num_classes).to(device)
    images = torch.rand(BATCH if shape[0] == 1 else BATCH // 8, *shape, device=device, requires_grad=True)

    def step() -> None:
        network(images).sum().backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    step()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < ENOUGH_SECONDS:
        step()
        done += 1
    return (time.perf_counter() - started) / (done * len(images) * GRADIENT)
