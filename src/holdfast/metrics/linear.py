"""Cosine and Pearson similarity of two batches of maps; both differentiable, neither with a scale of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.metrics.pairs import flat_pair


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
