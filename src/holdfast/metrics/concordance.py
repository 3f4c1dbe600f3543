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
    """Count pairs of features of two batches of vectors (B, N), three sorts and O(N log N) a row.

    With the features in the order of (b, a), a pair is discordant when a stable sort by a swaps it; pairs tied
    in a or in b are never swapped. Nothing on the way waits for the device.
    """
    by_a = a.argsort(dim=1)
    b_sorted, by_b = b.gather(1, by_a).sort(dim=1, stable=True)
    a_sorted, moved = a.gather(1, by_a).gather(1, by_b).sort(dim=1, stable=True)
    new_a, new_b = _starts(a_sorted), _starts(b_sorted)
    new_both = new_a | _starts(b_sorted.gather(1, moved))
    tied_a, tied_b, tied_both = (_tied_pairs(new) for new in (new_a, new_b, new_both))
    total = a.shape[1] * (a.shape[1] - 1) // 2
    discordant = _inversions(moved)
    concordant = total - tied_a - tied_b + tied_both - discordant
    return PairCounts(concordant, discordant, tied_a, tied_b, total)


def _starts(ordered: Tensor) -> Tensor:
    """Whether each entry of sorted rows is the first of its run of equals."""
    return torch.cat([torch.ones_like(ordered[:, :1], dtype=torch.bool), ordered[:, 1:] != ordered[:, :-1]], dim=1)


def _tied_pairs(starts: Tensor) -> Tensor:
    position = torch.arange(starts.shape[1], dtype=torch.int32, device=starts.device)
    run = (position * starts).cummax(dim=1).values
    return (position - run).sum(1)


def _inversions(permutation: Tensor) -> Tensor:
    """Number of pairs i < j with p[i] > p[j] in each row of permutations of 0..N-1 (B, N).

    Radix sort from the highest bit: each level puts the zeros of every block before its ones, and the pairs it
    swaps are the inversions that this bit decides. Blocks are aligned powers of two, half of them ones.
    """
    batch, n = permutation.shape
    bits = max(n - 1, 1).bit_length()
    position = torch.arange(1 << bits, dtype=torch.int32, device=permutation.device)
    x = torch.cat([permutation.int(), position[n:].expand(batch, -1)], dim=1)
    count = torch.zeros(batch, dtype=torch.int64, device=x.device)
    for level in reversed(range(bits)):
        half = 1 << level
        block = position & -2 * half
        one = (x >> level) & 1
        ones_before = one.cumsum(dim=1, dtype=torch.int32) - one - block // 2
        count += (ones_before * (1 - one)).sum(1)
        to = torch.where(one.bool(), block + half + ones_before, position - ones_before)
        x = torch.empty_like(x).scatter_(1, to.long(), x)
    return count
