"""The shape rule of every similarity: dim 0 is the batch, the rest is one vector of features."""

from __future__ import annotations

from torch import Tensor

from holdfast.errors import HoldfastError


def flat_pair(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps as (B, features); raises on unequal or unbatched shapes."""
    if preds.shape != target.shape or preds.ndim < 2 or preds.numel() == 0:
        raise HoldfastError(
            f"preds has shape {tuple(preds.shape)} and target {tuple(target.shape)}; "
            "pass two batches of maps of one shape (B, ...)."
        )
    return preds.flatten(1), target.flatten(1)
