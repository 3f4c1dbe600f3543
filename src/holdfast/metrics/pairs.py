"""Pairs of maps: one shape, at least float32, dim 0 the batch; their cosine and Pearson similarity, without a scale."""

from __future__ import annotations

import torch
from jaxtyping import Float
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


def cosine_similarity(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Cosine of the angle between each pair of maps, features flattened. A zero map gives 0.

    >>> cosine_similarity(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    tensor([0.7071, 0.0000])
    """
    a, b = flat_pair(preds, target)
    return (unit(a) * unit(b)).sum(1)


def pearson_correlation(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Pearson's correlation coefficient of each pair of maps. A constant map gives 0.

    >>> pearson_correlation(torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]]), torch.tensor([[2.0, 4.0, 6.0]] * 2))
    tensor([0.5000, 0.0000])
    """
    a, b = (_centred(maps) for maps in flat_pair(preds, target))
    return (unit(a) * unit(b)).sum(1)


def unit(vectors: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
    """Each vector at length 1, whatever its length was; a zero vector stays 0.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    scaled, nonzero = _scaled(vectors)
    square = scaled.square().sum(-1, keepdim=True)
    return scaled / torch.where(nonzero, square, torch.ones_like(square)).sqrt()


def _scaled(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Each vector with 1 as its largest magnitude, so that no square vanishes or overflows; and which are not 0."""
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    nonzero = largest != 0
    return vectors / torch.where(nonzero, largest, torch.ones_like(largest)), nonzero


def _centred(maps: Tensor) -> Tensor:
    constant = maps.amax(1, keepdim=True) == maps.amin(1, keepdim=True)
    scaled, _ = _scaled(maps)
    return (scaled - scaled.mean(1, keepdim=True)).masked_fill(constant, 0)
