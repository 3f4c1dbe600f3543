"""Locality-aware top-k: noise moves single pixels of a map, attacks move regions."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.metrics.pairs import flat_pair
from holdfast.metrics.rank import check_k, check_ranked, topk_mask


class Lens(NamedTuple):
    """Shares in [0, 1], one per image."""

    precision: Float[Tensor, " B"]
    recall: Float[Tensor, " B"]


def lens_topk(preds: Float[Tensor, "B *C H W"], target: Float[Tensor, "B *C H W"], k: int, *, window: int = 3) -> Lens:
    """Top-k intersection that forgives a shift within a ``window`` x ``window`` square of pixels.

    Kulkarni et al., 2024, "Rethinking Robustness of Model Attributions" (https://arxiv.org/abs/2312.10534), LENS.
    ``precision`` (LENS-prec@k) is the share of the top-k pixels of ``preds`` that lie within the window around one
    of ``target``, ``recall`` (LENS-recall@k) the share of the top-k pixels of ``target`` near one of ``preds``.
    Positions are pixels: channels are summed. Pass absolute attributions to rank by magnitude.

    Raises:
        HoldfastError: maps without rows and columns, an even window, NaN, more features asked for than pixels.

    >>> a, b = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    >>> a[0, 0, 0] = b[0, 1, 1] = 1.0  # a shift by one pixel
    >>> lens_topk(a, b, k=1).recall, lens_topk(a, b, k=1, window=1).recall
    (tensor([1.]), tensor([0.]))
    """
    check_window(window)
    if preds.ndim not in (3, 4):
        raise HoldfastError(f"maps have shape {tuple(preds.shape)}; LENS needs pixels: (B, H, W) or (B, C, H, W).")
    shape = preds.shape[-2:]
    a, b = (maps.unflatten(1, (-1, *shape)).sum(1).flatten(1) for maps in flat_pair(preds, target))
    check_k(k, a.shape[1])
    check_ranked(a, b)
    top_a, top_b = topk_mask(a, k), topk_mask(b, k)
    near_a, near_b = _near(top_a, shape, window), _near(top_b, shape, window)
    return Lens((top_a & near_b).sum(1).to(a.dtype) / k, (top_b & near_a).sum(1).to(a.dtype) / k)


def check_window(window: int) -> None:
    """Raise unless ``window`` has a pixel in its middle."""
    if isinstance(window, bool) or not isinstance(window, int) or window < 1 or window % 2 == 0:
        raise HoldfastError(f"window is {window!r}; it must be an odd number of pixels, 1 or more.")


def _near(chosen: Tensor, shape: torch.Size, window: int) -> Tensor:
    pixels = chosen.unflatten(1, shape).float()[:, None]
    return F.max_pool2d(pixels, window, stride=1, padding=window // 2).flatten(1).bool()
