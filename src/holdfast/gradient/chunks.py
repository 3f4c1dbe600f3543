"""The sum over points in chunks that are recomputed, differentiable in memory bounded by one chunk.

Points recomputed in the backward pass bound the memory by a chunk of points, whatever their number, at 6 F per point:
the forward pass sums gradients without a graph; the backward pass builds the graph of each chunk again and
differentiates it. It buys paths of which not even one image's graph fits the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.errors import HoldfastError
from holdfast.gradient.points import Path, precise, sum_without_graph
from holdfast.models.arithmetic import autocast_state
from holdfast.models.state import Model, evaluating


def nodes(value: Tensor) -> Iterator[Any]:
    """Every node of the graph of ``value``."""
    seen, waiting = {value.grad_fn}, [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                waiting.append(following)


def leaves(value: Tensor) -> list[Tensor]:
    """The tensors at which the graph of ``value`` ends.

    >>> import torch
    >>> a, b = torch.ones(2, 1, requires_grad=True).unbind()
    >>> [t.shape for t in leaves(a * b)]
    [torch.Size([2, 1])]
    """
    if value.grad_fn is None:
        return [value] if value.requires_grad else []
    return [node.variable for node in nodes(value) if hasattr(node, "variable")]


def others(value: Tensor, known: list[Tensor]) -> list[Tensor]:
    """The leaves of ``value`` that are not among ``known``."""
    ids = {id(t) for t in known}
    return [leaf for leaf in leaves(value) if id(leaf) not in ids]


def share_nodes(one: Tensor, other: Tensor) -> bool:
    """Whether two passes lead back to one computation that was made outside of both."""
    first = {node for node in nodes(one) if not hasattr(node, "variable")}
    return any(node in first for node in nodes(other))


def sum_in_chunks(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """``sum_k w_k grad f(z_k)``, differentiable, with memory bounded by ``rows`` points.

    Raises:
        HoldfastError: now, if the network computes with weights that are themselves computed outside of it; in the
            backward pass, if its buffers have changed.
    """
    return _ChunkedSum.apply(path, rows, x, baseline, *parameters_of(path, x, baseline))


def parameters_of(path: Path, x: Tensor, baseline: Tensor) -> list[Tensor]:
    """All that a gradient depends on beside images: registered parameters, and what else one point's graph leads to."""
    if not path.weights:
        return []
    module = path.model if isinstance(path.model, nn.Module) else None
    known: list[Tensor] = [] if module is None else [p for p in module.parameters() if p.requires_grad]
    found = _others_at_one_point(path, x, baseline, known)
    if found[0] and share_nodes(found[1], _others_at_one_point(path, x, baseline, known)[1]):
        raise HoldfastError(
            f"model ({type(path.model).__name__}) computes with weights that were themselves computed before the "
            "call, whose graph cannot be gone through once per chunk: leave internal_batch_size at None."
        )
    return known + found[0]


def _others_at_one_point(path: Path, x: Tensor, baseline: Tensor, known: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """What the gradient at one point depends on beside it and ``known``; and that gradient."""
    alpha, _ = path.rule(x)
    first = torch.zeros(1, dtype=torch.int64, device=x.device)
    with evaluating(path.model), torch.enable_grad():
        z = path.points(x[:1].detach(), baseline[:1].detach(), alpha, first).requires_grad_()
        gradient = path.gradient_with_graph(z, path.target[:1])
    return others(gradient, [z, *known]), gradient


def versions(model: Model) -> list[int]:
    """A number per buffer that grows when it changes."""
    return [b._version for b in model.buffers()] if isinstance(model, nn.Module) else []


def check_still(model: Model, before: list[int]) -> None:
    """Raise if the pass since ``before``, in evaluation mode, changed buffers: every chunk would be another network."""
    if versions(model) != before and isinstance(model, nn.Module):
        named = zip((name for name, _ in model.named_buffers()), before, versions(model), strict=True)
        names = ", ".join(name for name, old, new in named if old != new)
        raise HoldfastError(
            f"the model's forward pass itself changes its buffers ({names}) in evaluation mode, so that chunks cannot "
            "be recomputed: keep counters and caches in plain attributes, or leave internal_batch_size at None."
        )


def check_versions(model: Model, before: list[int]) -> None:
    """Raise if buffers changed since: what is recomputed would be the gradient of another network."""
    if versions(model) != before:
        raise HoldfastError(
            "the model's buffers (batch-norm statistics?) changed between the forward and the backward pass of an "
            "attribution, which recomputes: call backward() before the model runs in training mode again, or run "
            "the model in training mode first."
        )


class _ChunkedSum(Function):
    @staticmethod
    def forward(ctx: Any, path: Path, rows: int, x: Tensor, baseline: Tensor, *parameters: Tensor) -> Tensor:
        ctx.path, ctx.rows, ctx.versions = path, rows, versions(path.model)
        ctx.autocast = autocast_state(x.device)
        ctx.save_for_backward(x, baseline, *parameters)
        total = sum_without_graph(path, x, baseline, rows)
        check_still(path.model, ctx.versions)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        path: Path = ctx.path
        x, baseline, *parameters = ctx.saved_tensors
        check_versions(path.model, ctx.versions)
        alpha, weight = path.rule(x)
        wanted = ctx.needs_input_grad[2:4]
        own = [torch.zeros_like(x, dtype=precise(x.dtype)) if want else None for want in wanted]
        totals: list[Tensor | None] = [None] * len(parameters)
        with evaluating(path.model), torch.enable_grad(), torch.autocast(*ctx.autocast), without_hooks(parameters):
            for node, image in path.blocks(len(x), ctx.rows, x.device):
                ends = [t[image].detach().requires_grad_() for t in (x, baseline)]
                z = path.points(ends[0], ends[1], alpha, node)
                gradient = path.gradient_with_graph(z, path.target[image])
                term = path.term(gradient, ends[0], weight, node)
                if not term.requires_grad:
                    continue
                asked = [end for end, want in zip(ends, wanted, strict=True) if want]
                grads = list(torch.autograd.grad(term, [*asked, *parameters], grad[image], allow_unused=True))
                for total in own:
                    if total is not None and (g := grads.pop(0)) is not None:
                        total.index_add_(0, image, g.to(total.dtype))
                add(totals, grads)
        return None, None, *(None if t is None else t.to(x.dtype) for t in own), *as_gradients(totals, parameters)


@contextmanager
def without_hooks(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Inside, ``Tensor.register_hook`` on ``tensors`` has no effect: the backward pass of the result runs the hooks."""
    hooked = [(t, t._backward_hooks) for t in tensors if t._backward_hooks]
    for t, _ in hooked:
        t._backward_hooks = None
    try:
        yield
    finally:
        for t, hooks in hooked:
            t._backward_hooks = hooks


def as_gradients(totals: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Sums in the types of ``tensors``; where there is none a hook gets zeros, since it would fail on None."""
    return [
        (torch.zeros_like(t) if t._backward_hooks else None) if total is None else total.to(t.dtype)
        for total, t in zip(totals, tensors, strict=True)
    ]


def add(totals: list[Tensor | None], gradients: Sequence[Tensor | None]) -> None:
    """Add gradients to running totals, of which half-precision ones are kept in float32."""
    for i, g in enumerate(gradients):
        if g is not None:
            total = totals[i]
            totals[i] = g.to(precise(g.dtype)) if total is None else total.add_(g)
