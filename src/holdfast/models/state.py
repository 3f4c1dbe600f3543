"""Borrow a model and give it back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]
"""Maps images (B, C, H, W) in [0, 1] to logits (B, classes)."""


def eagerly() -> AbstractContextManager[None]:
    """Run compiled networks (``torch.compile``) as they were written.

    Compiled code has no second derivatives, and does not see what a ``TorchFunctionMode`` changes.
    """
    return torch.compiler.set_stance("force_eager")


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Put every submodule in evaluation mode (frozen normalisation, no dropout); restore each flag after.

    Autocast forgets its casts at the end: older PyTorch would hand those made without a graph to a later pass that
    needs one.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> _ = net[1].eval()
    >>> with evaluating(net):
    ...     net.training
    False
    >>> net.training, net[1].training
    (True, False)
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    flags = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
        torch.clear_autocast_cache()
