"""Gradients through integrated gradients as one compiled graph: what autograd and the modes here do is traced away."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from holdfast.errors import HoldfastWarning
from holdfast.models.arithmetic import tf32_flags
from holdfast.models.state import Model

MOST_GRAPHS = 64
TOLERANCE = 0.05
"""Largest relative difference from the ordinary gradient: rounding to bfloat16 stays below, wrong code does not."""


@contextmanager
def compiled_gradients(enabled: bool = True, *, backend: str = "inductor") -> Iterator[None]:
    """Inside, the gradient of an attribution penalty runs as code compiled by ``torch.compile(fullgraph=True)``.

    The penalty of a few images and its gradient to weights and images, second derivatives included, are traced into
    one graph of operators, once for each network, setting and shape. Put the context around a whole training: the
    graphs are kept until it ends, and compiling one takes seconds to minutes. The first result of each is compared
    with the ordinary gradient; where they differ by more than rounding, or the network cannot be traced, a warning
    says so and the ordinary gradient is used. A network whose Python code takes other branches from call to call
    must not be used here.

    It is meant for CUDA, where elementwise work between convolutions is what compiling saves; on a CPU it gains
    nothing.

    Args:
        enabled: False changes nothing.
        backend: of ``torch.compile``.

    >>> from holdfast import igr_penalty
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x, y = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
    >>> with compiled_gradients(backend="eager"):
    ...     igr_penalty(net, x, x.flip(0), y).mean().backward()
    """
    token = _active.set(_Graphs(backend) if enabled else None)
    try:
        yield
    finally:
        _active.reset(token)


def compiling() -> bool:
    """Whether `compiled_gradients` is on."""
    return _active.get() is not None


def compiled(key: Hashable, model: Model, function: Callable[..., Any], *inputs: Tensor) -> Any:
    """``function(*inputs)``, by compiled code where `compiled_gradients` is on and the model is an ``nn.Module``.

    ``function`` depends on ``inputs``, ``key`` and the model's parameters and buffers alone, differentiates nothing to
    the outside, and returns tensors, None, and tuples and lists of them.
    """
    graphs = _active.get()
    if graphs is None or not isinstance(model, nn.Module):
        return function(*inputs)
    with torch.no_grad():
        return graphs.run(key, model, function, inputs)


class _Graphs:
    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.compiled: dict[Hashable, Callable[..., Any] | None] = {}

    def run(self, key: Hashable, model: nn.Module, function: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
        key = (key, *_circumstances(model, inputs))
        if key not in self.compiled:
            with compiled_gradients(False):
                expected = function(*inputs)
                code = self._compile(model, function, inputs, expected)
            if len(self.compiled) == MOST_GRAPHS:
                del self.compiled[next(iter(self.compiled))]
            self.compiled[key] = code
            return expected
        code = self.compiled[key]
        return function(*inputs) if code is None else code(*inputs)

    def _compile(
        self, model: nn.Module, function: Callable[..., Any], inputs: Sequence[Tensor], expected: Any
    ) -> Callable[..., Any] | None:
        try:
            trace = make_fx(lambda *inputs: function(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)
            code = torch.compile(trace(*inputs), backend=self.backend, fullgraph=True, dynamic=False)
            difference = _difference(code(*inputs), expected)
        except Exception as error:  # whatever a tracer or compiler raises at somebody's network
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            _warn(model, f"cannot be compiled ({type(error).__name__}: {reason})")
            return None
        if not difference <= TOLERANCE:
            _warn(model, f"is not computed right by compiled code (off by {difference:.0%})")
            return None
        return code


_active: ContextVar[_Graphs | None] = ContextVar("compiled_gradients", default=None)


def _warn(model: nn.Module, what: str) -> None:
    warnings.warn(
        f"a gradient through {type(model).__name__} {what}; it is computed in the ordinary way.",
        HoldfastWarning,
        stacklevel=2,
    )


def _circumstances(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[Hashable, ...]:
    """All that a graph depends on beside the key, but the values of tensors."""
    kind = inputs[0].device.type
    own = [*model.parameters(), *model.buffers()]
    return (
        torch.is_autocast_enabled(kind),
        torch.get_autocast_dtype(kind),
        *tf32_flags(),
        *(module.training for module in model.modules()),
        *((id(t), t.requires_grad, t.dtype, t.device, t.shape) for t in own),
        *((t.shape, t.stride(), t.dtype, t.device) for t in inputs),
    )


def _difference(found: Any, expected: Any) -> float:
    """Relative difference in l2 of all tensors together; of a tuple, the worst of its parts."""
    if isinstance(found, Tensor):
        return _relative(found, expected)
    return max(_relative(f, e) for f, e in zip(found, expected, strict=True))


def _relative(found: Any, expected: Any) -> float:
    pairs = list(zip(tree_leaves(found), tree_leaves(expected), strict=True))
    pairs = [(f.double().nan_to_num(), e.double().nan_to_num()) for f, e in pairs if e is not None]
    error = sum((f - e).square().sum() for f, e in pairs)
    size = sum(e.square().sum() for _, e in pairs)
    return float((error / size).sqrt()) if pairs and size > 0 else float(error > 0)
