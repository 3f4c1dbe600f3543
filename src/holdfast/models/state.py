"""Borrow a model and give it back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parametrize

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

    Weights that ``parametrize.cached()`` keeps are computed anew, since what a pass without a graph left there has no
    gradient. Autocast forgets its casts at the end: older PyTorch would hand those made without a graph
    to a later pass that needs one.

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
    cached = parametrize._cache_enabled
    parametrize._cache_enabled -= cached
    try:
        yield
    finally:
        parametrize._cache_enabled += cached
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
        torch.clear_autocast_cache()


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Leave ``torch.inference_mode``, in which nothing can be differentiated, for one without gradients by default."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def is_transformed() -> bool:
    """Whether this runs inside ``torch.func.vmap`` or another transform, which takes PyTorch's own operators alone."""
    return torch._C._functorch.maybe_current_level() is not None


def ignoring_checkpoints() -> AbstractContextManager[Any]:
    """Inside, an operator keeps what its derivative needs, also in a part of a network that is checkpointed.

    ``torch.utils.checkpoint`` would run that part again in the backward pass, where what changed its operators for
    the forward pass is gone, and fail or differentiate another network.
    """
    hooks = _innermost_hooks(True)
    if hooks is None or not hooks[0].__qualname__.startswith("_checkpoint_hook"):
        return _NOTHING
    return saved_tensors_hooks(_same, _same)


def _same(tensor: Tensor) -> Tensor:
    return tensor


_NOTHING = nullcontext()
_innermost_hooks: Callable[[bool], Any] = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", lambda tracing: None
)
