"""Integrated gradients (Sundararajan et al., 2017), differentiable to the parameters and the inputs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.attribution.path import (
    Path,
    block_rows,
    check_target,
    holds_graph,
    sum_in_chunks,
    sum_with_graph,
    sum_without_graph,
)
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.models.state import Model
from holdfast.validate import check_count, check_labels


def integrated_gradients(
    model: Model,
    inputs: Float[Tensor, "B ..."],
    target: Tensor | int,
    *,
    baselines: Tensor | float = 0.0,
    n_steps: int = 50,
    method: Method = "riemann_middle",
    internal_batch_size: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "B ..."]:
    r"""Attribute a class logit to the input features (paper, Eq. 1; Eq. 4 is ``riemann_right``).

    .. math:: IG(x)_i = (x_i - a_i) \sum_k w_k \,\partial_i f_y(a + \alpha_k (x - a))

    The model runs in evaluation mode (frozen normalisation, no dropout) and is left as it was.

    Args:
        model: maps inputs to logits (B, classes).
        inputs: (B, ...), usually images (B, C, H, W) in [0, 1].
        target: the class of each input: int64 (B,), or one class for all.
        baselines: the path's start ``a``: a number, or a tensor that broadcasts to ``inputs``.
        n_steps: quadrature nodes; ``sum(IG)`` tends to ``f_y(x) - f_y(a)`` as it grows.
        method: quadrature rule.
        internal_batch_size: path points evaluated at once. With ``create_graph`` it bounds the memory of
            the *backward* pass too, which then recomputes the path chunk by chunk and stays exact. None holds
            the whole graph if that takes less than 40 % of the device's memory, and chooses chunks if not.
        create_graph: make the result differentiable to the parameters and to ``inputs``.

    Returns:
        Attributions with the shape of ``inputs``.

    Raises:
        HoldfastError: on wrong shapes, targets outside the model's classes, an unknown rule.

    Cost: ``2 * n_steps`` forward passes an image (forward and input gradient); differentiating the result
    with respect to weights adds as much again for piecewise-linear networks when the graph is kept, and
    twice that in chunks.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> ig = integrated_gradients(net, x, torch.tensor([0, 1, 1]), n_steps=4)
        >>> torch.allclose(ig.flatten(1).sum(1), net(x)[torch.arange(3), torch.tensor([0, 1, 1])])
        True
    """
    path = checked_path(model, inputs, target, method, n_steps, internal_batch_size, create_graph)
    return path_attribution(path, inputs, baselines, internal_batch_size)


def checked_path(
    model: Model,
    inputs: Tensor,
    target: Tensor | int,
    method: Method,
    n_steps: int,
    internal_batch_size: int | None,
    create_graph: bool,
) -> Path:
    """The path of `integrated_gradients`, or the error that it raises."""
    if not inputs.is_floating_point() or inputs.ndim < 2 or len(inputs) == 0:
        raise HoldfastError(
            f"inputs are {inputs.dtype} of shape {tuple(inputs.shape)}; pass a non-empty float batch (B, ...)."
        )
    if isinstance(target, int):
        target = torch.full((len(inputs),), target, device=inputs.device)
    check_labels(target, len(inputs))
    if internal_batch_size is not None:
        check_count("internal_batch_size", internal_batch_size)
    check_target(model, inputs, target)
    return Path(model, target, method, n_steps, create_graph)


def path_attribution(path: Path, inputs: Tensor, baselines: Tensor | float = 0.0, rows: int | None = None) -> Tensor:
    """`integrated_gradients` without the checks, for loops that have made them."""
    baseline = expanded_baseline(baselines, inputs)
    if not path.create_graph:
        with torch.no_grad():
            total = sum_without_graph(path, inputs, baseline, rows or block_rows(inputs))
            return (inputs - baseline) * total
    with torch.enable_grad():
        if holds_graph(path, inputs) if rows is None else rows >= path.n_steps * len(inputs):
            total = sum_with_graph(path, inputs, baseline, block_rows(inputs))
        else:
            total = sum_in_chunks(path, inputs, baseline, rows or block_rows(inputs))
        return (inputs - baseline) * total


def expanded_baseline(baselines: Tensor | float, inputs: Tensor) -> Tensor:
    """The baseline of each input."""
    baseline = torch.as_tensor(baselines, dtype=inputs.dtype, device=inputs.device)
    try:
        return baseline.expand_as(inputs)
    except RuntimeError:
        raise HoldfastError(
            f"baselines have shape {tuple(baseline.shape)}, which does not broadcast to the inputs' "
            f"{tuple(inputs.shape)}; pass a number or a tensor of the inputs' shape."
        ) from None
