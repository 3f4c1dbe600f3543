"""Rank similarities of two batches of maps (Kendall's tau, Spearman's rho, top-k, gamma), by exact counts of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import scipy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from holdfast.errors import HoldfastError, NotFinite, unknown_name
from holdfast.metrics.pairs import flat_pair, pearson_correlation, real, real_pair

Variant = Literal["a", "b"]


def kendall_tau(
    preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."], *, variant: Variant = "b"
) -> Float[Tensor, " B"]:
    """Kendall's rank correlation of each pair of maps (paper, Eq. 2), features flattened.

    ``variant="b"`` corrects for ties and equals ``scipy.stats.kendalltau``; ``variant="a"`` is Eq. 2 as
    printed, with tied pairs counted as neither concordant nor discordant. A constant map has no order: its
    correlation with anything is 0.

    Raises:
        HoldfastError: on unequal shapes, NaN, or an unknown variant.

    >>> a = torch.tensor([[1.0, 2.0, 3.0, 3.0], [7.0, 7.0, 7.0, 7.0]])
    >>> b = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    >>> kendall_tau(a, b)
    tensor([0.9129, 0.0000])
    >>> kendall_tau(a, b, variant="a")
    tensor([0.8333, 0.0000])
    """
    if variant not in get_args(Variant):
        raise unknown_name("variant", str(variant), get_args(Variant))
    a, b = flat_pair(preds, target)
    check_ranked(a, b)
    return tau_b(a, b) if variant == "b" else tau(pair_counts(a, b), variant).to(a.dtype)


kendall_rank_corrcoef = kendall_tau


def check_ranked(*maps: Tensor) -> None:
    """Raise NotFinite on NaN."""
    if any(bool(torch.isnan(m).any()) for m in maps):
        raise NotFinite("a map contains NaN, which has no rank; find out where the attribution broke.")


def tau_b(a: Float[Tensor, "B N"], b: Float[Tensor, "B N"]) -> Float[Tensor, " B"]:
    """`kendall_tau` of flat maps without its checks, which wait for the device: for loops that have made them."""
    a, b = real_pair(a, b)
    if a.device.type == "cpu" and a.shape[1] > 1:
        return _scipy_tau_b(a, b).to(a.dtype)
    return tau(pair_counts(a, b), "b").to(a.dtype)


def _scipy_tau_b(a: Tensor, b: Tensor) -> Tensor:
    rows = zip(a.detach().numpy(), b.detach().numpy(), strict=True)
    statistics = torch.tensor(
        [scipy.stats.kendalltau(x, y).statistic for x, y in rows], dtype=torch.float64, device="cpu"
    )
    return statistics.nan_to_num(nan=0.0)


def tau(counts: PairCounts, variant: Variant) -> Float[Tensor, " B"]:
    """Kendall's tau in float64 from integer pair counts."""
    net = (counts.concordant - counts.discordant).double()
    total = torch.full_like(net, counts.total)
    if variant == "a":
        return net / total.clamp(min=1)
    untied = (total - counts.tied_a).sqrt() * (total - counts.tied_b).sqrt()
    return torch.where(untied > 0, net / untied.clamp(min=1), torch.zeros_like(net))


def goodman_kruskal_gamma(a: Float[Tensor, " N"], b: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """``(C - D) / (C + D)`` over all pairs of entries of two vectors; tied pairs are left out.

    0 when every pair is tied. The paper uses it to compare Kendall's tau with cosine and Pearson over many
    images (Figures 2b and 5).

    >>> goodman_kruskal_gamma(torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0, 2.5]))
    tensor(0.6000)
    """
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise HoldfastError(
            f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; pass two vectors of one length (at least 2)."
        )
    a, b = real_pair(a, b)
    check_ranked(a, b)
    counts = pair_counts(a[None], b[None])
    decided = counts.concordant + counts.discordant
    net = (counts.concordant - counts.discordant).double()
    return (net / decided.clamp(min=1))[0].to(a.dtype)


def spearman_correlation(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """Spearman's rho of each pair of maps: Pearson's correlation of average ranks. Constant maps give 0.

    >>> spearman_correlation(torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([0.8660])
    """
    a, b = flat_pair(preds, target)
    check_ranked(a, b)
    return pearson_correlation(average_ranks(a), average_ranks(b)).to(a.dtype)


def average_ranks(x: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Ranks from 1 within each row, in float64; equal values share their mean rank.

    >>> average_ranks(torch.tensor([[0.0, 5.0, 0.0]]))
    tensor([[1.5000, 3.0000, 1.5000]], dtype=torch.float64)
    """
    x = real(x).contiguous()
    ordered = x.sort(dim=1).values
    below = torch.searchsorted(ordered, x, right=False)
    up_to = torch.searchsorted(ordered, x, right=True)
    return (below + up_to + 1).double() / 2


def topk_indices(maps: Float[Tensor, "B ..."], k: int) -> Tensor:
    """Indices (B, k) of the largest features; of equal ones the lowest index comes first.

    >>> topk_indices(torch.tensor([[0.0, 2.0, 1.0, 2.0]]), 3)
    tensor([[1, 3, 2]])
    """
    flat = real(maps).flatten(1)
    check_k(k, flat.shape[1])
    check_ranked(flat)
    return _top(flat, k)


def check_k(k: int, features: int) -> None:
    """Raise unless ``k`` of the features can be chosen."""
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= k <= features:
        raise HoldfastError(f"k is {k!r}; it must be an integer from 1 to the {features} features.")


def _top(flat: Tensor, k: int) -> Tensor:
    return flat.sort(dim=1, descending=True, stable=True).indices[:, :k]


def topk_intersection(preds: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."], k: int) -> Float[Tensor, " B"]:
    """Share in [0, 1] of the ``k`` largest features that two maps have in common.

    Pass absolute attributions to rank by magnitude. Ties: lowest index first.

    >>> topk_intersection(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[3.0, 0.0, 2.0, 1.0]]), k=2)
    tensor([0.5000])
    """
    a, b = flat_pair(preds, target)
    check_k(k, a.shape[1])
    check_ranked(a, b)
    return topk_share(a, b, k)


def topk_share(a: Float[Tensor, "B N"], b: Float[Tensor, "B N"], k: int) -> Float[Tensor, " B"]:
    """`topk_intersection` of flat maps without its checks."""
    a, b = real_pair(a, b)
    return topk_mask(b, k).gather(1, _top(a, k)).to(a.dtype).mean(1)


def topk_mask(flat: Float[Tensor, "B N"], k: int) -> Bool[Tensor, "B N"]:
    """Where the ``k`` largest features are."""
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, _top(flat, k), True)


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
