"""What every metric does with its maps first: one shape, at least float32, dim 0 the batch, the rest one vector."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.errors import HoldfastError


def flat_pair(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps as (B, features) of one floating dtype (see `real`); raises on unequal or unbatched shapes."""
    if preds.shape != target.shape or preds.ndim < 2 or preds.numel() == 0:
        raise HoldfastError(
            f"preds has shape {tuple(preds.shape)} and target {tuple(target.shape)}; "
            "pass two batches of maps of one shape (B, ...)."
        )
    a, b = real_pair(preds, target)
    return a.flatten(1), b.flatten(1)


def real_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of the dtypes that `real` gives them."""
    a, b = real(a), real(b)
    wider = torch.promote_types(a.dtype, b.dtype)
    return a.to(wider), b.to(wider)


def real(values: Tensor) -> Tensor:
    """Half precision as float32, integers and booleans as float64; float32 and float64 as they are.

    >>> real(torch.tensor([True, False])).dtype, real(torch.ones(1, dtype=torch.bfloat16)).dtype
    (torch.float64, torch.float32)
    """
    if values.is_complex():
        raise HoldfastError(f"a map is {values.dtype}; pass real numbers, for example its absolute values.")
    if not values.is_floating_point():
        return values.double()
    return values.float() if values.dtype.itemsize < 4 else values
