"""Where a graph ends: the tensors whose gradients a pass that recomputes must hand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


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
