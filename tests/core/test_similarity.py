from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from holdfast import (
    HoldfastError,
    activation_consistency,
    cosine_similarity,
    kendall_tau,
    pearson_correlation,
    spearman_correlation,
    topk_intersection,
)
from holdfast.metrics import topk_indices

Similarity = Callable[[Tensor, Tensor], Tensor]
CORRELATIONS: dict[str, Similarity] = {
    "kendall_tau": kendall_tau,
    "kendall_tau a": lambda a, b: kendall_tau(a, b, variant="a"),
    "spearman": spearman_correlation,
    "pearson": pearson_correlation,
    "cosine": cosine_similarity,
}
RANKED = ("kendall_tau", "kendall_tau a", "spearman", "topk")
SIMILARITIES = {**CORRELATIONS, "topk": lambda a, b: topk_intersection(a, b, k=3)}
each_correlation = pytest.mark.parametrize("name", CORRELATIONS)
each_similarity = pytest.mark.parametrize("name", SIMILARITIES)
few = settings(max_examples=25, deadline=None)


@st.composite
def pairs(draw: st.DrawFn, distinct: bool = False) -> tuple[Tensor, Tensor]:
    """Two batches of maps of moderate integers: with many ties, or with none."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 12)))
    if distinct:
        rows = [[draw(st.permutations(range(-4, shape[1] - 4))) for _ in range(shape[0])] for _ in range(2)]
        return torch.tensor(rows[0], dtype=torch.float64), torch.tensor(rows[1], dtype=torch.float64)
    a, b = (draw(hnp.arrays(np.float64, shape, elements=st.integers(-4, 4).map(float))) for _ in range(2))
    return torch.from_numpy(a), torch.from_numpy(b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_scipy_and_numpy(dtype: torch.dtype) -> None:
    a = torch.randn(6, 2, 5, 5, dtype=dtype).round(decimals=1)
    b = (a + torch.randn(6, 2, 5, 5, dtype=dtype)).round(decimals=1)
    rows = [*zip(a.flatten(1).double().numpy(), b.flatten(1).double().numpy(), strict=True)]
    oracles = {
        "spearman": lambda x, y: spearmanr(x, y).statistic,
        "pearson": lambda x, y: pearsonr(x, y).statistic,
        "cosine": lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y),
    }
    for name, oracle in oracles.items():
        found = SIMILARITIES[name](a, b)
        assert found.dtype == dtype
        torch.testing.assert_close(found, torch.tensor([oracle(x, y) for x, y in rows]).to(dtype))


@each_correlation
@pytest.mark.parametrize("features", [2, 3, 7, 11, 100, 784])
def test_constant_maps_give_zero(name: str, features: int) -> None:
    constant, other = torch.full((2, features), 0.1), torch.full((2, features), 0.3)
    if name == "cosine":
        constant, other = torch.zeros(2, features), torch.rand(2, features)
    for a, b in ((constant, other), (other, constant), (constant, constant)):
        assert CORRELATIONS[name](a, b).tolist() == [0, 0]
    random = torch.rand(2, features)
    assert CORRELATIONS[name](constant, random).tolist() == [0, 0]


@pytest.mark.parametrize("name", RANKED)
def test_nan_has_no_rank(name: str) -> None:
    nan = torch.tensor([[0.0, float("nan"), 1.0, 2.0]])
    for pair in ((nan, torch.rand(1, 4)), (torch.rand(1, 4), nan)):
        with pytest.raises(HoldfastError, match="NaN"):
            SIMILARITIES[name](*pair)


@each_similarity
def test_unequal_shapes_are_named(name: str) -> None:
    for shapes in (((2, 5), (2, 6)), ((5,), (5,)), ((2, 5), (3, 5)), ((0, 5), (0, 5))):
        a, b = (torch.rand(shape) for shape in shapes)
        with pytest.raises(HoldfastError, match=rf"\({shapes[0][0]},.*\({shapes[1][0]},"):
            SIMILARITIES[name](a, b)


@each_similarity
@few
@given(pair=pairs())
def test_in_range_and_symmetric(name: str, pair: tuple[Tensor, Tensor]) -> None:
    a, b = pair
    value = SIMILARITIES[name](a, b)
    assert value.shape == (len(a),)
    assert bool((value <= 1 + 1e-12).all())
    assert bool((value >= (0 if name == "topk" else -1 - 1e-12)).all())
    torch.testing.assert_close(value, SIMILARITIES[name](b, a))


@each_similarity
@few
@given(pair=pairs(), exponent=st.integers(-6, 6))
def test_positive_scaling_changes_nothing(name: str, pair: tuple[Tensor, Tensor], exponent: int) -> None:
    a, b = pair
    torch.testing.assert_close(SIMILARITIES[name](a * 3.0**exponent, b), SIMILARITIES[name](a, b))


@each_similarity
@few
@given(pair=pairs(distinct=True), seed=st.integers(0, 99))
def test_a_common_permutation_changes_nothing(name: str, pair: tuple[Tensor, Tensor], seed: int) -> None:
    a, b = pair
    order = torch.randperm(a.shape[1], generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(SIMILARITIES[name](a[:, order], b[:, order]), SIMILARITIES[name](a, b))


@each_similarity
@few
@given(pair=pairs())
def test_a_map_is_like_itself(name: str, pair: tuple[Tensor, Tensor]) -> None:
    a, _ = pair
    assume(bool((a.amax(1) > a.amin(1)).all()))
    value = SIMILARITIES[name](a, a.clone())
    if name != "kendall_tau a":
        torch.testing.assert_close(value, torch.ones_like(value))


@each_correlation
@few
@given(pair=pairs())
def test_negation_flips_the_sign(name: str, pair: tuple[Tensor, Tensor]) -> None:
    a, b = pair
    torch.testing.assert_close(CORRELATIONS[name](-a, b), -CORRELATIONS[name](a, b))


@pytest.mark.parametrize("k", [1, 3, 20, 63, 64])
def test_topk_is_the_stable_sort_of_numpy(k: int) -> None:
    maps = torch.randint(0, 4, (8, 1, 8, 8), generator=torch.Generator().manual_seed(3)).float()
    expected = np.argsort(-maps.flatten(1).numpy(), axis=1, kind="stable")[:, :k]
    assert topk_indices(maps, k).tolist() == expected.tolist()


def test_topk_ties_go_to_the_lowest_index() -> None:
    maps = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert topk_indices(maps, 3).tolist() == [[1, 3, 0], [0, 1, 2]]
    other = torch.tensor([[0.0, 0.0, 5.0, 4.0, 3.0]] * 2)
    torch.testing.assert_close(topk_intersection(other, maps, 3), torch.tensor([1 / 3, 1 / 3]))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_topk_intersection_is_the_overlap_of_sets(k: int) -> None:
    a, b = torch.randn(2, 10, 20)
    expected = [len(set(x) & set(y)) / k for x, y in zip(topk_indices(a, k).tolist(), topk_indices(b, k).tolist(),
                                                        strict=True)]  # fmt: skip
    torch.testing.assert_close(topk_intersection(a, b, k), torch.tensor(expected))


@pytest.mark.parametrize("k", [0, -1, 6, 2.0, True])
def test_impossible_k_is_named(k: int) -> None:
    with pytest.raises(HoldfastError, match=rf"k is {k}.*5 features"):
        topk_intersection(torch.rand(2, 5), torch.rand(2, 5), k)


@pytest.mark.parametrize("name", ["pearson", "cosine"])
def test_differentiable_similarities(name: str) -> None:
    a, b = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(CORRELATIONS[name], (a, b))
    zero = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(CORRELATIONS[name](zero, b[:1].detach()).sum(), zero)
    assert bool(gradient.isfinite().all())


def test_activation_consistency_by_hand() -> None:
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(inplace=True), nn.Linear(4, 2))
    nn.init.eye_(net[0].weight)
    x = torch.tensor([[1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0], [1.0, -1.0, 0.0, -1.0]])
    x_adv = torch.tensor([[1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, -1.0]])
    torch.testing.assert_close(activation_consistency(net, x, x_adv), torch.tensor([2 / 3, 0.0, 0.5**0.5]))


def test_activation_consistency_sees_every_spelling(
    relu_spelling: nn.Module, make_network: Callable[[str], nn.Module], pair: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, x_adv, _ = pair
    expected = activation_consistency(make_network("F.relu").double(), x, x_adv)
    assert bool(((expected > 0) & (expected < 1)).all())
    torch.testing.assert_close(activation_consistency(relu_spelling.double(), x, x_adv), expected)


def test_activation_consistency_needs_relus(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 2)).double()
    with pytest.raises(HoldfastError, match="no ReLU"):
        activation_consistency(net, *pair[:2])
    with pytest.raises(HoldfastError, match=r"\(3, 2, 8, 8\).*\(2, 2, 8, 8\)"):
        activation_consistency(lambda x: F.relu(x).flatten(1), pair[0], pair[0][:2])
