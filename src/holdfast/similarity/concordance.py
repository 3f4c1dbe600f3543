"""Exact counts of concordant, discordant and tied pairs, batched, on any device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairCounts:
    """Over the ``total`` pairs of features of each row: int64 tensors (B,)."""

    concordant: Tensor
    discordant: Tensor
    tied_a: Tensor
    tied_b: Tensor
    total: int


def pair_counts(a: Tensor, b: Tensor) -> PairCounts:
    """Count pairs of features of two batches of vectors (B, N) by merge sort, O(N log^2 N) a row.

    Rows are ordered by (a, b); the discordant pairs are then the inversions left in b.
    """
    rank_a, rank_b = _dense_ranks(a), _dense_ranks(b)
    joint = _dense_ranks(rank_a * a.shape[1] + rank_b)
    order = joint.argsort(dim=1)
    total = a.shape[1] * (a.shape[1] - 1) // 2
    tied_a, tied_b, tied_both = (_tied_pairs(r) for r in (rank_a, rank_b, joint))
    discordant = _inversions(rank_b.gather(1, order))
    concordant = total - tied_a - tied_b + tied_both - discordant
    return PairCounts(concordant, discordant, tied_a, tied_b, total)


def _dense_ranks(x: Tensor) -> Tensor:
    ordered, order = x.sort(dim=1)
    step = torch.zeros_like(order)
    step[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).long()
    return torch.empty_like(order).scatter_(1, order, step.cumsum(1))


def _tied_pairs(rank: Tensor) -> Tensor:
    size = torch.zeros_like(rank).scatter_add_(1, rank, torch.ones_like(rank))
    return (size * (size - 1) // 2).sum(1)


def _inversions(x: Tensor) -> Tensor:
    """Number of pairs i < j with x[i] > x[j] in each row of non-negative integers (B, N)."""
    batch, n = x.shape
    width = 1
    count = torch.zeros(batch, dtype=torch.int64, device=x.device)
    size = 1 << max(n - 1, 1).bit_length()
    x = torch.nn.functional.pad(x, (0, size - n), value=n)
    while width < size:
        blocks = x.view(batch, -1, 2, width)
        left, right = blocks[:, :, 0].contiguous(), blocks[:, :, 1].contiguous()
        not_greater = torch.searchsorted(left, right, right=True)
        count += (width - not_greater).sum((1, 2))
        width *= 2
        x = x.view(batch, -1, width).sort(dim=2).values
    return count
