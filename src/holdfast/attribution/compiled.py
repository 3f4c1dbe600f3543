"""Gradients through integrated gradients as one compiled graph: what autograd and the modes here do is traced away."""

from __future__ import annotations

import math
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
from holdfast.models.arithmetic import autocast_state, tf32_flags
from holdfast.models.state import Model

MOST_GRAPHS = 64
TOLERANCE = 0.05
"""Largest relative difference from the ordinary gradient: rounding to bfloat16 stays below, wrong code does not."""
PATIENCE = 5
"""Differences in a row after which code counts as wrong: a gradient may once be nothing but rounding."""


@contextmanager
def compiled_gradients(enabled: bool = True, *, backend: str = "inductor") -> Iterator[None]:
    """Inside, the gradients of penalties, attacks and attributions run as code that ``torch.compile`` made.

    What a few images need, second derivatives included, is traced into one graph of operators (``fullgraph``), once
    for each network, setting and shape. Put the context around a whole training or evaluation: the graphs are kept
    until it ends, and compiling one takes seconds to minutes. The first result of each, the tenth, the hundredth and
    so on are compared with the ordinary gradient; where they keep differing by more than rounding, or a network
    cannot be traced, a warning says so and the ordinary gradient is used. A network whose Python code takes other
    branches from call to call must not be used here.

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


def being_recorded(device: torch.device) -> bool:
    """Whether a CUDA graph is being recorded, during which nothing can be read."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


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
        self.compiled: dict[Hashable, _Code | None] = {}

    def run(self, key: Hashable, model: nn.Module, function: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
        key = (key, *_circumstances(model, inputs))
        code = self.compiled.get(key)
        if being_recorded(inputs[0].device):
            return function(*inputs) if code is None or code.differences else code.code(*inputs)
        if key in self.compiled:
            if code is None:
                return function(*inputs)
            found = code.run(*inputs)
            if code.uses < code.due:
                return found
            expected = self._ordinary(function, inputs)
            code.compare(found, expected)
            if code.differences == PATIENCE:
                _warn(model, f"is not computed right by compiled code (off by {code.difference:.0%})")
                self.compiled[key] = None
            return expected
        expected = self._ordinary(function, inputs)
        if _is_telling(expected):
            if len(self.compiled) == MOST_GRAPHS:
                del self.compiled[next(iter(self.compiled))]
            self.compiled[key] = self._compile(model, function, inputs, expected)
        return expected

    def _ordinary(self, function: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
        with compiled_gradients(False):
            return function(*inputs)

    def _compile(
        self, model: nn.Module, function: Callable[..., Any], inputs: Sequence[Tensor], expected: Any
    ) -> _Code | None:
        try:
            with compiled_gradients(False):
                trace = make_fx(lambda *inputs: function(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)
                with torch._dynamo.config.patch(error_on_nested_fx_trace=False):  # compiled networks, as written
                    graph = trace(*inputs)
                code = _Code(torch.compile(graph, backend=self.backend, fullgraph=True, dynamic=False))
                found = code.run(*inputs)
        except Exception as error:  # whatever a tracer or compiler raises at somebody's network
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            _warn(model, f"cannot be compiled ({type(error).__name__}: {reason})")
            return None
        code.compare(found, expected)
        return code


class _Code:
    """Compiled code that is compared with the ordinary gradient at its first use, its tenth, its hundredth, ..."""

    def __init__(self, code: Callable[..., Any]) -> None:
        self.code = code
        self.uses = 0
        self.due = 1
        self.difference = 0.0
        self.differences = 0

    def run(self, *inputs: Tensor) -> Any:
        self.uses += 1
        return self.code(*inputs)

    def compare(self, found: Any, expected: Any) -> None:
        """Note the difference, and how many there were in a row; after one the next use is compared too."""
        self.difference = max(_difference(f, e) for f, e in zip(_parts(found), _parts(expected), strict=True))
        right = self.difference <= TOLERANCE
        self.differences = 0 if right else self.differences + 1
        self.due = 10 * self.uses if right else self.uses + 1


_active: ContextVar[_Graphs | None] = ContextVar("compiled_gradients", default=None)


def _warn(model: nn.Module, what: str) -> None:
    warnings.warn(
        f"a gradient through {type(model).__name__} {what}; it is computed in the ordinary way.",
        HoldfastWarning,
        stacklevel=2,
    )


def _circumstances(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[Hashable, ...]:
    """All that a graph depends on beside the key, but the values of tensors."""
    own = [*model.parameters(), *model.buffers()]
    return (
        *autocast_state(inputs[0].device),
        *tf32_flags(),
        *(module.training for module in model.modules()),
        *((id(t), t.requires_grad, t.dtype, t.device, t.shape) for t in own),
        *((t.shape, t.stride(), t.dtype, t.device) for t in inputs),
    )


def _parts(result: Any) -> list[list[Tensor]]:
    """What is compared apart, as the values and the gradients of a penalty are."""
    parts = [result] if isinstance(result, Tensor) else result
    return [[t.double() for t in tree_leaves(part) if t is not None] for part in parts]


def _is_telling(result: Any) -> bool:
    """Whether wrong code would differ: not from zeros, which a network has whose last layer is zero."""
    return all(0 < sum(float(t.square().sum()) for t in part) < math.inf for part in _parts(result) if part)


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """In l2, of all tensors together, relative to what is expected; none from what is zero or not finite."""
    size = sum(float(e.square().sum()) for e in expected)
    if not 0 < size < math.inf:
        return 0.0
    return math.sqrt(sum(float((f - e).square().sum()) for f, e in zip(found, expected, strict=True)) / size)
