"""The sum over points as a map: without a graph, with the whole graph, or in chunks that are recomputed."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.gradient.chunked import sum_in_chunks
from holdfast.gradient.points import Path, block_rows, holds_graph, sum_with_graph, sum_without_graph


def path_attribution(path: Path, inputs: Tensor, baselines: Tensor | float = 0.0, rows: int | None = None) -> Tensor:
    """The map of each input, unchecked; differentiable where ``path.create_graph`` says so.

    Args:
        path: what is summed.
        inputs: (B, ...).
        baselines: where the way starts: a number, or a tensor that broadcasts to ``inputs``.
        rows: points evaluated at once. None takes as many as run fastest, and holds the whole graph if it fits.
    """
    baseline = expanded_baseline(baselines, inputs)
    if not path.create_graph:
        with torch.no_grad():
            return _multiplied(path, inputs, baseline, sum_without_graph(path, inputs, baseline, _rows(rows, inputs)))
    with torch.enable_grad():
        if holds_graph(path, inputs) if rows is None else rows >= path.n_steps * len(inputs):
            total = sum_with_graph(path, inputs, baseline, block_rows(inputs))
        else:
            total = sum_in_chunks(path, inputs, baseline, _rows(rows, inputs))
        return _multiplied(path, inputs, baseline, total)


def _rows(rows: int | None, inputs: Tensor) -> int:
    return rows or block_rows(inputs)


def _multiplied(path: Path, inputs: Tensor, baseline: Tensor, total: Tensor) -> Tensor:
    inside = path.own is not None and path.own.starts is not None
    return (total if inside or not path.multiply else (inputs - baseline) * total).to(inputs.dtype)


def expanded_baseline(baselines: Tensor | float, inputs: Tensor) -> Tensor:
    """The baseline of each input."""
    try:
        baseline = torch.as_tensor(baselines, dtype=inputs.dtype, device=inputs.device)
    except (TypeError, ValueError, RuntimeError):
        raise HoldfastError(
            f"baselines are {type(baselines).__name__}; pass a number, or one tensor that broadcasts to the inputs."
        ) from None
    try:
        return baseline.expand_as(inputs)
    except RuntimeError:
        raise HoldfastError(
            f"baselines have shape {tuple(baseline.shape)}, which does not broadcast to the inputs' "
            f"{tuple(inputs.shape)}; pass a number or a tensor of the inputs' shape."
        ) from None
