"""The 4 F gradient in constant memory: a few images at a time, differentiated while the graph of their paths is there.

A loss that is a mean over images needs the *sum* of their gradients, up to one factor that only the backward pass
knows. So the forward pass adds up those gradients, group by group, and the backward pass multiplies the sum. What it
cannot know beforehand, weights that differ from image to image, it recomputes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.attribution.compiled import being_recorded, compiled, compiling
from holdfast.attribution.path import Path, block_rows, holds_graph
from holdfast.models.arithmetic import autocast_state
from holdfast.models.state import Model

Values = partial[Tensor]
"""Values (b,) of a group's images from the path points at once and the images' slices of the tensors, each its own.

The arguments that are filled in are hashable, and with the model's weights all that the values depend on.
"""


class _Elsewhere(Exception):
    """The graph ends in something that is neither an image nor a parameter of the model."""


def penalty(values: Values, path: Path, paths: int, rows: int | None, x: Tensor, *others: Tensor) -> Tensor:
    """``values(rows, x, *others)`` (B,), which integrates ``paths`` of the kind of ``path`` an image.

    Where it can be, it is done a few images at a time in such a way that its gradient costs 4 forward passes a path
    point of a piecewise-linear network and memory that does not grow with the batch.
    """
    size = _images_at_once(path, paths, x, rows)
    if size > 0 and (size < len(x) or compiling()):
        found = _by_images(values, path.model, min(size, len(x)), paths * path.n_steps, (x, *others))
        if found is not None:
            return found
    return values(rows, x, *others)


def _images_at_once(path: Path, paths: int, x: Tensor, rows: int | None) -> int:
    """Images whose whole paths fill a block; 0 where not even one image's graph may be held."""
    size = (rows or block_rows(x)) // (paths * path.n_steps)
    if size == 0 and rows is None and path.create_graph:
        return int(holds_graph(path, x[:1].expand(paths, *x.shape[1:])))
    return size


def _by_images(values: Values, model: Model, size: int, points: int, tensors: tuple[Tensor, ...]) -> Tensor | None:
    """The values of all images, ``size`` at a time; None where that cannot be differentiated exactly."""
    device = tensors[0].device
    half = autocast_state(device)[1:] == (torch.float16, True)
    if not isinstance(model, nn.Module) or not torch.is_grad_enabled() or half or being_recorded(device):
        return None
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not any(t.requires_grad for t in (*tensors, *parameters)):
        return None
    groups = _Groups(partial(values, size * points), model, size)
    try:
        return _ByImages.apply(groups, len(tensors), *tensors, *parameters)
    except _Elsewhere:
        return None


class _ByImages(Function):
    @staticmethod
    def forward(ctx: Any, groups: _Groups, count: int, *given: Tensor) -> Tensor:
        ctx.groups, ctx.count = groups, count
        ctx.autocast = autocast_state(given[0].device)
        ctx.save_for_backward(*given)
        wanted = ctx.needs_input_grad[2 : 2 + count]
        found, ctx.own, ctx.sums = groups.differentiate(given[:count], given[count:], wanted)
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
                _, _, sums = ctx.groups.differentiate(tensors, parameters, (False,) * ctx.count, grad)
        return None, None, *own, *sums


@dataclass(frozen=True)
class _Groups:
    """``values`` of ``size`` images at a time."""

    values: Values
    model: nn.Module
    size: int

    def differentiate(
        self,
        tensors: Sequence[Tensor],
        parameters: Sequence[Tensor],
        wanted: tuple[bool, ...],
        weights: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
        """The values, the gradient of each to its own image, and the (weighted) sum of all to the parameters."""
        key = self.values.func, self.values.args, wanted
        found: list[Tensor] = []
        own: list[list[Tensor]] = [[] for _ in tensors]
        sums: list[Tensor | None] = [None] * len(parameters)
        given = tensors if weights is None else (*tensors, weights)
        for i, group in enumerate(zip(*(t.split(self.size) for t in given), strict=True)):
            at_once = partial(_at_once, self.values, parameters, wanted, i == 0 and weights is None)
            value, to_own, to_parameters = compiled(key, self.model, at_once, *group)
            found.append(value)
            for parts, g in zip(own, to_own, strict=True):
                if g is not None:
                    parts.append(g)
            for j, g in enumerate(to_parameters):
                if g is not None:
                    total = sums[j]
                    sums[j] = g if total is None else total.add_(g)
        return torch.cat(found), [torch.cat(parts) if parts else None for parts in own], sums


def _at_once(
    values: Values, parameters: Sequence[Tensor], wanted: tuple[bool, ...], check: bool, *given: Tensor
) -> tuple[Tensor, list[Tensor | None], tuple[Tensor | None, ...]]:
    """The same of one group, whose graph is gone when this returns. Weights, where there are any, come last."""
    tensors, weights = given[: len(wanted)], given[len(wanted) :]
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
        value = values(*leaves)
    if check:
        _check_leaves(value, [*leaves, *parameters])
    asked = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
    grad = weights[0].to(value.dtype) if weights else torch.ones_like(value)
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
