from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import Tensor

from holdfast import HoldfastError, goodman_kruskal_gamma, kendall_tau
from holdfast.metrics.rank import pair_counts, tau


def brute_force(a: list[float], b: list[float]) -> tuple[int, int, int, int]:
    """Concordant, discordant, tied in a, tied in b."""
    concordant = discordant = tied_a = tied_b = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        product = (a[i] - a[j]) * (b[i] - b[j])
        concordant += product > 0
        discordant += product < 0
        tied_a += a[i] == a[j]
        tied_b += b[i] == b[j]
    return concordant, discordant, tied_a, tied_b


def tied_maps(features: int, levels: int, batch: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Correlated maps on a few levels, a good part of them zero, as attributions of digits are."""
    generator = torch.Generator().manual_seed(features * 100 + levels)
    a = torch.randint(-levels, levels + 1, (batch, features), generator=generator)
    b = a + torch.randint(-levels, levels + 1, (batch, features), generator=generator)
    a[torch.rand(a.shape, generator=generator) < 0.4] = 0
    b[torch.rand(b.shape, generator=generator) < 0.4] = 0
    return a.to(dtype) / 8, b.to(dtype) / 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("features", "levels"), [(2, 1), (3, 1), (7, 2), (64, 1), (65, 3), (300, 20), (784, 10**6)])
def test_tau_b_equals_scipy(features: int, levels: int, dtype: torch.dtype) -> None:
    a, b = tied_maps(features, levels, dtype=dtype)
    expected = torch.tensor([kendalltau(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    expected = expected.nan_to_num(nan=0.0).to(dtype)
    found = kendall_tau(a.view(5, 1, 1, -1), b.view(5, 1, 1, -1))
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    elsewhere = tau(pair_counts(a, b), "b").to(dtype)  # what runs off the CPU
    torch.testing.assert_close(elsewhere, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("features", "levels"), [(1, 1), (2, 1), (3, 1), (8, 2), (9, 1), (31, 3), (33, 100)])
def test_pair_counts_are_exact(features: int, levels: int) -> None:
    a, b = tied_maps(features, levels)
    counts = pair_counts(a, b)
    expected = [brute_force(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    found = torch.stack([counts.concordant, counts.discordant, counts.tied_a, counts.tied_b], dim=1)
    assert found.dtype == torch.int64
    assert found.tolist() == [list(row) for row in expected]
    assert counts.total == features * (features - 1) // 2


def test_pair_counts_leave_their_arguments_alone() -> None:
    a, b = tied_maps(20, 2)
    copies = a.clone(), b.clone()
    pair_counts(a, b)
    assert torch.equal(a, copies[0])
    assert torch.equal(b, copies[1])


@pytest.mark.parametrize(("features", "levels"), [(2, 1), (9, 1), (31, 3), (33, 100)])
def test_variant_a_is_the_papers_equation_2(features: int, levels: int) -> None:
    a, b = tied_maps(features, levels)
    total = features * (features - 1) / 2
    expected = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        concordant, discordant, *_ = brute_force(x, y)
        expected.append((concordant - discordant) / total)
    torch.testing.assert_close(kendall_tau(a, b, variant="a"), torch.tensor(expected, dtype=torch.float64))


def test_variants_agree_without_ties_and_differ_with_them() -> None:
    a, b = (torch.randn(3, 50, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(kendall_tau(a, b), kendall_tau(a, b, variant="a"))
    a, _ = tied_maps(50, 2)
    torch.testing.assert_close(kendall_tau(a, a), torch.ones(5, dtype=torch.float64))
    assert bool((kendall_tau(a, a, variant="a") < 0.9).all())


@pytest.mark.parametrize("variant", ["a", "b"])
def test_constant_and_single_feature_maps_have_no_order(variant: str) -> None:
    constant = torch.full((2, 6), 0.3)
    assert kendall_tau(constant, torch.rand(2, 6), variant=variant).tolist() == [0, 0]
    assert kendall_tau(constant, constant, variant=variant).tolist() == [0, 0]
    assert kendall_tau(torch.ones(2, 1), torch.ones(2, 1), variant=variant).tolist() == [0, 0]
    assert tau(pair_counts(constant, constant), "b").tolist() == [0, 0]


def test_infinite_values_are_ranked() -> None:
    a = torch.tensor([[float("inf"), 1.0, -float("inf")]])
    for variant in ("a", "b"):
        assert kendall_tau(a, torch.tensor([[3.0, 2.0, 1.0]]), variant=variant).tolist() == [1]


def test_errors() -> None:
    nan = torch.tensor([[0.0, float("nan"), 1.0]])
    for pair in ((nan, torch.rand(1, 3)), (torch.rand(1, 3), nan)):
        for variant in ("a", "b"):
            with pytest.raises(HoldfastError, match="NaN"):
                kendall_tau(*pair, variant=variant)
    with pytest.raises(HoldfastError, match=r"unknown variant 'c'.*a, b"):
        kendall_tau(torch.rand(1, 3), torch.rand(1, 3), variant="c")
    with pytest.raises(HoldfastError, match=r"\(1, 3\).*\(1, 4\)"):
        kendall_tau(torch.rand(1, 3), torch.rand(1, 4))
    with pytest.raises(HoldfastError, match=r"\(3,\)"):
        kendall_tau(torch.rand(3), torch.rand(3))


@pytest.mark.parametrize("levels", [1, 4, 1000])
def test_gamma_equals_brute_force(levels: int) -> None:
    a, b = (t[0] for t in tied_maps(40, levels))
    concordant, discordant, *_ = brute_force(a.tolist(), b.tolist())
    expected = (concordant - discordant) / (concordant + discordant)
    assert float(goodman_kruskal_gamma(a, b)) == pytest.approx(expected, abs=1e-12)
    assert float(goodman_kruskal_gamma(a, -b)) == pytest.approx(-expected, abs=1e-12)


def test_gamma_edges() -> None:
    assert float(goodman_kruskal_gamma(torch.ones(4), torch.rand(4))) == 0
    a = torch.tensor(np.repeat([1.0, 2.0], 3))
    assert float(goodman_kruskal_gamma(a, a)) == 1
    for bad in (torch.rand(1), torch.rand(2, 2)):
        with pytest.raises(HoldfastError, match="two vectors"):
            goodman_kruskal_gamma(bad, bad)
    with pytest.raises(HoldfastError, match="NaN"):
        goodman_kruskal_gamma(torch.tensor([1.0, float("nan")]), torch.rand(2))
