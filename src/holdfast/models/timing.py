"""How long a forward pass of one image takes here."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from holdfast.models.resolve import build_model
from holdfast.models.state import Model, evaluating

BATCH = 64
ENOUGH_SECONDS = 0.3
GRADIENT = 2
"""Forward passes that a forward pass with its input gradient counts for."""


def seconds_per_forward(model: str, shape: tuple[int, int, int], device: str = "cpu", num_classes: int = 10) -> float:
    """Seconds of one F of a network by name, averaged over forward and backward passes of a batch.

    Takes well under a second for the networks of the paper.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(model, shape, num_classes).to(device)
    return seconds_per_pass(network, torch.rand(BATCH if shape[0] == 1 else BATCH // 8, *shape, device=device))


def seconds_per_pass(model: Model, images: Tensor) -> float:
    """Seconds of one F of a network on one of ``images``, averaged over forward and backward passes of the batch."""
    images = images.detach().clone().requires_grad_()

    def step() -> None:
        with evaluating(model):
            output = model(images)
            if output.requires_grad:
                torch.autograd.grad(output.sum(), images)
        if images.is_cuda:
            torch.cuda.synchronize()

    step()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < ENOUGH_SECONDS:
        step()
        done += 1
    return (time.perf_counter() - started) / (done * len(images) * GRADIENT)
