"""One step of an attack as a CUDA graph: launched as a whole, not kernel by kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import HoldfastWarning
from holdfast.models.arithmetic import autocast_state, tf32_flags
from holdfast.models.twin import SoftplusTwin

Tensors = tuple[Tensor, ...]
Step = Callable[..., Tensors]

RECORDABLE = {"cuda"}
WARM_UP = 2
MOST_GRAPHS = 16


@contextmanager
def cuda_graphs(enabled: bool = True) -> Iterator[None]:
    """Inside, attacks on CUDA record one of their steps as a CUDA graph and replay it for all others.

    For networks so small that launching the kernels of a step takes longer than running them. Put it around a
    whole training or evaluation: the steps recorded are kept, by attack, settings, network and shape of the
    batch, until the context ends. The arithmetic is that of the ordinary loop. A network that cannot be recorded
    (its forward pass waits for the GPU, as ``.item()`` does) is warned of once and attacked step by step; one
    whose Python code takes other branches from call to call must not be used here. Off CUDA nothing changes.

    >>> from holdfast import PGD
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
    >>> with cuda_graphs():
    ...     PGD(net, eps=0.1, alpha=0.03, steps=5)(images, labels).shape
    torch.Size([3, 1, 2, 2])
    """
    token = _active.set(_Graphs() if enabled else None)
    try:
        yield
    finally:
        _active.reset(token)


def replayed(attack: object, step: Step, *inputs: Tensor) -> Tensors:
    """``step(*inputs)``, from a recording where `cuda_graphs` is on and the step can be recorded.

    ``step`` is a function of ``inputs``, the network's weights and the settings of ``attack`` alone.
    """
    graphs = _active.get()
    if graphs is None or inputs[0].device.type not in RECORDABLE:
        return step(*inputs)
    return graphs.run(attack, step, inputs)


class _Graphs:
    def __init__(self) -> None:
        self.recorded: dict[Hashable, _Recorded | None] = {}

    def run(self, attack: object, step: Step, inputs: Tensors) -> Tensors:
        key = _key(attack, inputs)
        if key is None:
            return step(*inputs)
        if key not in self.recorded:
            if len(self.recorded) == MOST_GRAPHS:
                del self.recorded[next(iter(self.recorded))]
            self.recorded[key] = _record(step, inputs)
        recorded = self.recorded[key]
        return step(*inputs) if recorded is None else recorded(inputs)


def _key(attack: object, inputs: Tensors) -> Hashable | None:
    """All that a recording depends on but the values of its inputs; None where something unknown has a say."""
    settings = settings_of(attack)
    if settings is None or not all(isinstance(x, Tensor) for x in inputs):
        return None
    model: nn.Module = attack.model  # type: ignore[attr-defined]
    device = inputs[0].device
    lower = *autocast_state(device), *tf32_flags()
    weights = tuple(t.data_ptr() for t in chain(model.parameters(), model.buffers()))
    return (*settings, device, *lower, weights, *((x.shape, x.stride(), x.dtype) for x in inputs))


def settings_of(attack: object, but: Collection[str] = ()) -> tuple[Hashable, ...] | None:
    """An attack's class, network and settings; None where something unknown is among them or the network is code."""
    model = getattr(attack, "model", None)
    if not isinstance(model, nn.Module):
        return None
    settings: list[Any] = [type(attack), model]
    for name, value in vars(attack).items():
        if isinstance(value, SoftplusTwin) and value.model is model:
            settings.append((name, value.beta, value.pooling))
        elif isinstance(value, int | float | str | None):
            if name not in but:
                settings.append((name, value))
        elif value is not model and not isinstance(value, torch.Generator):
            return None
    return tuple(settings)


_active: ContextVar[_Graphs | None] = ContextVar("cuda_graphs", default=None)


class _Recorded:
    """A recording, its own inputs, and what was last copied into them."""

    def __init__(self, step: Step, inputs: Tensors) -> None:
        self.own = [x.detach().clone() for x in inputs]
        self.last: list[tuple[Tensor, int] | None] = [None] * len(inputs)
        self.replay, self.outputs = capture(lambda: step(*self.own), inputs[0].device)

    def __call__(self, inputs: Tensors) -> Tensors:
        for i, x in enumerate(inputs):
            last = self.last[i]
            if last is None or last[0] is not x or last[1] != x._version:
                self.own[i].copy_(x)
                self.last[i] = x, x._version
        self.replay()
        return tuple(output.detach().clone() for output in self.outputs)


def _record(step: Step, inputs: Tensors) -> _Recorded | None:
    try:
        return _Recorded(step, inputs)
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        warnings.warn(
            f"a step of the attack cannot be recorded as a CUDA graph ({reason}); it runs kernel by kernel. "
            "Look for .item(), Python branches on tensors or copies from the CPU in the model.",
            HoldfastWarning,
            stacklevel=2,
        )
        return None


def capture(call: Callable[[], Tensors], device: torch.device) -> tuple[Callable[[], None], Tensors]:
    """Record ``call``: a function that runs it again, and the tensors that it then fills."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            outputs = call()
    return graph.replay, outputs
