"""Cosine and Pearson similarity of two batches of maps; both differentiable."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.similarity.pairs import flat_pair

EPS = 1e-8


def cosine_similarity(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Cosine of the angle between each pair of maps, features flattened. A zero map gives 0.

    >>> import torch
    >>> cosine_similarity(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    tensor([0.7071, 0.0000])
    """
    a, b = flat_pair(preds, target)
    return F.cosine_similarity(a, b, dim=1, eps=EPS)


def pearson_correlation(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Pearson's correlation coefficient of each pair of maps. A constant map gives 0.

    >>> import torch
    >>> pearson_correlation(torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]]), torch.tensor([[2.0, 4.0, 6.0]] * 2))
    tensor([0.5000, 0.0000])
    """
    a, b = (_centred(maps) for maps in flat_pair(preds, target))
    return F.cosine_similarity(a, b, dim=1, eps=EPS)


def _centred(maps: Tensor) -> Tensor:
    constant = maps.amax(1, keepdim=True) == maps.amin(1, keepdim=True)
    return (maps - maps.mean(1, keepdim=True)).masked_fill(constant, 0)
