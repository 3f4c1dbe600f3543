"""Kendall's tau beside scipy and torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import kendalltau

import holdfast as hf
from bench.results import Row, race
from holdfast.metrics.rank import pair_counts, tau


def kendall(features: int, pairs: int = 32, device: str = "cpu", rounds: int = 3, *, peers: bool = True) -> list[Row]:
    """``pairs`` pairs of maps, half of whose features are tied at zero; without ``peers`` beside scipy alone."""
    from torchmetrics.functional.regression import kendall_rank_corrcoef

    generator = torch.Generator().manual_seed(0)
    a = torch.randn(pairs, features, generator=generator)
    b = a + torch.randn(pairs, features, generator=generator)
    a[:, : features // 2] = 0
    b[:, : features // 2] *= torch.randint(0, 2, (pairs, features // 2), generator=generator)
    a, b = a.to(device), b.to(device)
    host = a.cpu().numpy(), b.cpu().numpy()
    calls: dict[str, Callable[[], Any]] = {
        "scipy, pair by pair": lambda: [kendalltau(x, y).statistic for x, y in zip(*host, strict=True)],
        "torchmetrics": lambda: kendall_rank_corrcoef(a.T, b.T),
        "holdfast": lambda: hf.kendall_tau(a, b),
        "holdfast, device form": lambda: tau(pair_counts(a, b), "b"),
    }
    if not peers:
        del calls["torchmetrics"], calls["holdfast, device form"]
    exact = torch.tensor(calls["scipy, pair by pair"]())
    errors = {
        name: (call().cpu().double() - exact).abs().max().item() for name, call in calls.items() if "scipy" not in name
    }
    return race("Kendall", f"{pairs} pairs of {features} features", calls, rounds=rounds, errors=errors)
