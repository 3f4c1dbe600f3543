"""The 4 F gradient in constant memory: a few images at a time, differentiated while the graph of their points is there.

A loss that is a mean over images needs the *sum* of their gradients, up to one factor that only the backward pass
knows. So the forward pass adds up those gradients, group by group, and the backward pass multiplies the sum. What it
cannot know beforehand, weights that differ from image to image, it recomputes. It buys memory that does not grow with
the batch at no cost for a mean, and at 8 F per point for unequal weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.gradient.chunks import (
    add,
    as_gradients,
    check_still,
    check_versions,
    others,
    share_nodes,
    versions,
    without_hooks,
)
from holdfast.gradient.points import block_rows, explained
from holdfast.models.arithmetic import autocast_state
from holdfast.models.state import Model

Values = Callable[..., Tensor]
"""``values(rows, *tensors)`` (b,): those of a group's images, given how many points at once and the images' slices."""


class _Elsewhere(Exception):
    """The graph ends in tensors that are neither images nor known parameters."""


def by_whole_paths(
    function: Callable[..., Tensor], points: int, rows: int | None, images: Tensor, *others: Tensor
) -> Tensor:
    """``function(images, *others)``, image by image the same, on as many images at once as fill a block of ``rows``.

    So the graph of all ``points`` of an image is there when its gradient is taken, while memory does not grow with
    the batch.
    """
    size = max((rows or block_rows(images)) // points, 1)
    if size >= len(images):
        return function(images, *others)
    groups = zip(*(t.split(size) for t in (images, *others)), strict=True)
    return torch.cat([function(*group) for group in groups])


def in_groups(values: Values, model: Model, size: int, points: int, tensors: tuple[Tensor, ...]) -> Tensor | None:
    """The values of all images, ``size`` at a time; None where that cannot be differentiated exactly."""
    half = autocast_state(tensors[0].device)[1:] == (torch.float16, True)
    if not torch.is_grad_enabled() or half:
        return None
    values = partial(values, size * points)
    parameters: list[Tensor] = []
    if isinstance(model, nn.Module):
        parameters = [p for p in model.parameters() if p.requires_grad]
    else:
        found = _outside(values, [], tensors)
        if found is None:
            return None
        parameters = found
    if not any(t.requires_grad for t in (*tensors, *parameters)):
        return None
    groups = _Groups(values, model, size)
    try:
        return _Grouped.apply(groups, len(tensors), *tensors, *parameters)
    except _Elsewhere:
        found = _outside(values, parameters, tensors)
        if not found:
            return None
    try:
        return _Grouped.apply(groups, len(tensors), *tensors, *parameters, *found)
    except _Elsewhere:
        return None


def _outside(values: Values, known: list[Tensor], tensors: tuple[Tensor, ...]) -> list[Tensor] | None:
    """What one image's value depends on beside the image and ``known``; None if some of it is itself computed."""
    graphs = []
    for _ in range(2):
        ends = [_leaf(t[:1]) for t in tensors]
        with torch.enable_grad():
            value = values(*ends)
        graphs.append((value, others(value, [*ends, *known])))
    (one, found), (other, _) = graphs
    return None if share_nodes(one, other) else found


def _leaf(t: Tensor) -> Tensor:
    return t.detach().requires_grad_(t.is_floating_point())


class _Grouped(Function):
    @staticmethod
    def forward(ctx: Any, groups: _Groups, count: int, *given: Tensor) -> Tensor:
        ctx.groups, ctx.count, ctx.versions = groups, count, versions(groups.model)
        ctx.autocast = autocast_state(given[0].device)
        ctx.save_for_backward(*given)
        wanted = ctx.needs_input_grad[2 : 2 + count]
        found, ctx.own, ctx.sums = groups.differentiate(given[:count], given[count:], wanted)
        check_still(groups.model, ctx.versions)
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        given: tuple[Tensor, ...] = ctx.saved_tensors
        tensors, parameters = given[: ctx.count], given[ctx.count :]
        own = [None if g is None else (g * grad.view(-1, *[1] * (g.ndim - 1))).to(g.dtype) for g in ctx.own]
        if bool((grad == grad[0]).all()) or not parameters:
            sums = [None if g is None else g * grad[0] for g in ctx.sums]
        else:
            check_versions(ctx.groups.model, ctx.versions)
            with torch.autocast(*ctx.autocast):
                _, _, sums = ctx.groups.differentiate(tensors, parameters, (False,) * ctx.count, grad)
        return None, None, *own, *as_gradients(sums, parameters)


@dataclass(frozen=True)
class _Groups:
    """``values`` of ``size`` images at a time."""

    values: Values
    model: Model
    size: int

    def differentiate(
        self,
        tensors: Sequence[Tensor],
        parameters: Sequence[Tensor],
        wanted: tuple[bool, ...],
        weights: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
        """The values, the gradient of each to its own image, and the (weighted) sum of all to the parameters."""
        found: list[Tensor] = []
        own: list[list[Tensor]] = [[] for _ in tensors]
        sums: list[Tensor | None] = [None] * len(parameters)
        columns = [t.split(self.size) for t in tensors]
        shares = [None] * len(columns[0]) if weights is None else weights.split(self.size)
        for i, (share, *group) in enumerate(zip(shares, *columns, strict=True)):
            leaves = [_leaf(t) for t in group]
            with torch.enable_grad():
                value = self.values(*leaves)
            if i == 0 and weights is None and (value.grad_fn is None or others(value, [*leaves, *parameters])):
                raise _Elsewhere
            asked = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
            grad = torch.ones_like(value) if share is None else share.to(value.dtype)
            with explained(), without_hooks(parameters):
                grads = list(torch.autograd.grad(value, [*asked, *parameters], grad, allow_unused=True))
            found.append(value.detach())
            for parts, leaf, want in zip(own, leaves, wanted, strict=True):
                if want:
                    g = grads.pop(0)
                    parts.append(torch.zeros_like(leaf) if g is None else g)
            add(sums, grads)
            del value, grads, leaves
        return torch.cat(found), [torch.cat(parts) if parts else None for parts in own], sums
