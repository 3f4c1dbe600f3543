"""The 4 F gradient in constant memory: a few images at a time, differentiated while the graph of their paths is there.

A loss that is a mean over images needs the *sum* of their gradients, up to one factor that only the backward pass
knows. So the forward pass adds up those gradients, group by group, and the backward pass multiplies the sum. What it
cannot know beforehand, weights that differ from image to image, it recomputes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.models.state import Model

Values = Callable[..., Tensor]
"""Values (b,) of a group's images from their slices of the tensors, each image's its own alone."""


class _Elsewhere(Exception):
    """The graph ends in something that is neither an image nor a parameter of the model."""


def by_images(values: Values, model: Model, size: int, *tensors: Tensor) -> Tensor | None:
    """``values(*tensors)`` of all images, ``size`` at a time; None where that cannot be differentiated exactly.

    ``tensors`` have one entry an image. The result is differentiable to them and to the model's parameters. Cost:
    that of ``values`` and its gradient, and as much again in the backward pass if the images' weights there differ.
    """
    device = tensors[0].device
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) is torch.float16
    recorded = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
    if not isinstance(model, nn.Module) or not torch.is_grad_enabled() or half or recorded:
        return None
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not any(t.requires_grad for t in (*tensors, *parameters)):
        return None
    try:
        return _ByImages.apply(values, size, len(tensors), *tensors, *parameters)
    except _Elsewhere:
        return None


class _ByImages(Function):
    @staticmethod
    def forward(ctx: Any, values: Values, size: int, count: int, *given: Tensor) -> Tensor:
        ctx.values, ctx.size, ctx.count = values, size, count
        kind = given[0].device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.save_for_backward(*given)
        wanted = list(ctx.needs_input_grad[3 : 3 + count])
        found, ctx.own, ctx.sums = _differentiate(values, size, given[:count], given[count:], wanted)
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        given: tuple[Tensor, ...] = ctx.saved_tensors
        tensors, parameters = given[: ctx.count], given[ctx.count :]
        own = [None if g is None else g * grad.view(-1, *[1] * (g.ndim - 1)) for g in ctx.own]
        if bool((grad == grad[0]).all()) or not parameters:
            sums = [None if g is None else g * grad[0] for g in ctx.sums]
        else:
            with torch.autocast(*ctx.autocast):
                _, _, sums = _differentiate(ctx.values, ctx.size, tensors, parameters, [False] * ctx.count, grad)
        return None, None, None, *own, *sums


def _differentiate(
    values: Values,
    size: int,
    tensors: Sequence[Tensor],
    parameters: Sequence[Tensor],
    wanted: list[bool],
    weights: Tensor | None = None,
) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
    """The values, the gradient of each to its own image, and the (weighted) sum of all to the parameters."""
    found: list[Tensor] = []
    own: list[list[Tensor]] = [[] for _ in tensors]
    sums: list[Tensor | None] = [None] * len(parameters)
    for first in range(0, len(tensors[0]), size):
        group = slice(first, first + size)
        value, to_own, to_parameters = _at_once(
            values, [t[group] for t in tensors], parameters, wanted, None if weights is None else weights[group]
        )
        found.append(value)
        for parts, g in zip(own, to_own, strict=True):
            if g is not None:
                parts.append(g)
        for i, g in enumerate(to_parameters):
            if g is not None:
                total = sums[i]
                sums[i] = g if total is None else total.add_(g)
    return torch.cat(found), [torch.cat(parts) if parts else None for parts in own], sums


def _at_once(
    values: Values, tensors: list[Tensor], parameters: Sequence[Tensor], wanted: list[bool], weights: Tensor | None
) -> tuple[Tensor, list[Tensor | None], tuple[Tensor | None, ...]]:
    """The same of one group, whose graph is gone when this returns."""
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
        value = values(*leaves)
    _check_leaves(value, [*leaves, *parameters])
    asked = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
    grad = torch.ones_like(value) if weights is None else weights.to(value.dtype)
    grads = torch.autograd.grad(value, [*asked, *parameters], grad, allow_unused=True)
    to_asked = iter(grads[: len(asked)])
    to_own = [_or_zeros(next(to_asked), leaf) if want else None for leaf, want in zip(leaves, wanted, strict=True)]
    return value.detach(), to_own, grads[len(asked) :]


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _check_leaves(value: Tensor, known: list[Tensor]) -> None:
    if value.grad_fn is None or not {id(leaf) for leaf in _leaves(value.grad_fn)} <= {id(t) for t in known}:
        raise _Elsewhere


def _leaves(node: Any) -> Iterator[Tensor]:
    """The tensors at which a graph ends."""
    seen, waiting = {node}, [node]
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            yield node.variable
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
