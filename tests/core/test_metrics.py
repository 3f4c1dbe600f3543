"""Metrics as parts, and maps as people have them: ranks, masks, half precision, tiny scales."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, spearmanr
from torch import Tensor, nn

import holdfast as hf
from holdfast.metrics import ZeroShare
from holdfast.part_json import from_json, to_json
from holdfast.parts import find, named

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kendall": hf.kendall_tau,
    "kendall a": lambda a, b: hf.kendall_tau(a, b, variant="a"),
    "spearman": hf.spearman_correlation,
    "pearson": hf.pearson_correlation,
    "cosine": hf.cosine_similarity,
    "topk": lambda a, b: hf.topk_intersection(a, b, 2),
    "lens": lambda a, b: hf.lens_topk(a.view(len(a), 1, -1), b.view(len(b), 1, -1), 2).recall,
    "gamma": lambda a, b: hf.goodman_kruskal_gamma(a[0], b[0])[None],
}
DTYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool, torch.float16, torch.bfloat16)
each_function = pytest.mark.parametrize("name", FUNCTIONS)
METRICS = [
    hf.KendallTau(),
    hf.KendallTau("a"),
    hf.KendallTau(magnitude=False),
    hf.KendallTau(nonzero=True),
    hf.TopK(3),
    hf.TopK(4, magnitude=False),
    hf.LensTopK(3),
    hf.LensTopK(3, side="precision"),
    hf.LensTopK(3, 5),
    hf.Spearman(),
    hf.Cosine(),
    hf.Cosine(magnitude=True),
    hf.Pearson(),
    hf.Pearson(magnitude=True),
    ZeroShare(),
]


@each_function
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_small_dtypes_equal_float64(name: str, dtype: torch.dtype) -> None:
    """Every value here is exact in every dtype, so only the arithmetic could differ."""
    a = torch.tensor([[1, 2, 3, 4, 5, 0], [5, 0, 3, 2, 2, 1]])
    b = torch.tensor([[2, 1, 3, 5, 4, 1], [0, 0, 4, 1, 3, 3]])
    a, b = (maps % 2 if dtype == torch.bool else maps for maps in (a, b))
    expected = FUNCTIONS[name](a.double(), b.double())
    found = FUNCTIONS[name](a.to(dtype), b.to(dtype))
    assert found.is_floating_point()
    assert found.dtype.itemsize >= 4
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    mixed = FUNCTIONS[name](a.to(dtype), b.double())
    torch.testing.assert_close(mixed, expected)


def test_ranks_as_integers_by_scipy() -> None:
    a, b = [1, 2, 3, 4, 5], [2, 1, 3, 5, 4]
    x, y = torch.tensor([a]), torch.tensor([b])
    assert float(hf.kendall_tau(x, y)) == pytest.approx(kendalltau(a, b).statistic)
    assert float(hf.spearman_correlation(x, y)) == pytest.approx(spearmanr(a, b).statistic)
    assert float(hf.pearson_correlation(x, y)) == pytest.approx(pearsonr(a, b).statistic)
    assert float(hf.goodman_kruskal_gamma(x[0], y[0])) == pytest.approx(0.6)
    masks = torch.tensor([[True, False, True]]), torch.tensor([[True, False, False]])
    assert float(hf.kendall_tau(*masks)) == pytest.approx(0.5)
    assert hf.kendall_rank_corrcoef(x, y) == hf.kendall_tau(x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_long_half_precision_maps(dtype: torch.dtype) -> None:
    """Sums of 3,000 squares overflow float16 and stall in bfloat16."""
    a = (torch.randn(3, 3000, generator=torch.Generator().manual_seed(1)) * 100).to(dtype)
    b = (a + torch.randn(3, 3000, generator=torch.Generator().manual_seed(2)) * 50).to(dtype)
    rows = [*zip(a.double().numpy(), b.double().numpy(), strict=True)]
    for found, oracle in (
        (hf.cosine_similarity(a, b), lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)),
        (hf.pearson_correlation(a, b), lambda x, y: pearsonr(x, y).statistic),
        (hf.kendall_tau(a, b), lambda x, y: kendalltau(x, y).statistic),
    ):
        assert found.tolist() == pytest.approx([oracle(x, y) for x, y in rows], abs=1e-5)
    zero = torch.zeros(1, 8, dtype=dtype)
    for similarity in (hf.cosine_similarity, hf.pearson_correlation, hf.kendall_tau):
        assert similarity(zero, torch.ones_like(zero)).tolist() == [0]
        assert similarity(zero, torch.arange(8, dtype=dtype)[None]).tolist() == [0]


@pytest.mark.parametrize("name", ["cosine", "pearson"])
@settings(max_examples=40, deadline=None)
@given(exponent=st.integers(-300, 300), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_no_scale_of_its_own(name: str, exponent: int, dtype: torch.dtype) -> None:
    exponent = exponent // 10 if dtype == torch.float32 else exponent
    generator = torch.Generator().manual_seed(7)
    a, b = (torch.randn(2, 50, dtype=dtype, generator=generator) for _ in range(2))
    torch.testing.assert_close(FUNCTIONS[name](a * 10.0**exponent, b), FUNCTIONS[name](a, b))


def test_a_small_last_layer_changes_no_similarity() -> None:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 5)).double()
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64, generator=generator)
    noisy = (x + 0.1 * torch.randn(x.shape, dtype=torch.float64, generator=generator)).clamp(0, 1)
    y = torch.tensor([0, 1, 2, 3])

    def penalty(scale: float) -> Tensor:
        return hf.igr_penalty(lambda z: net(z) * scale, x, noisy, y)

    for scale in (1e-6, 1e-9, 1e-30):
        torch.testing.assert_close(penalty(scale), penalty(1.0))


def test_complex_maps_are_named() -> None:
    with pytest.raises(hf.HoldfastError, match=r"complex64; pass real numbers"):
        hf.cosine_similarity(torch.zeros(1, 3, dtype=torch.complex64), torch.zeros(1, 3))


def test_activation_consistency_counts_units_exactly_in_half_precision() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x.flatten(1))

    x = torch.ones(1, 1, 5000, dtype=torch.float16)
    x_adv = x.clone()
    x_adv[..., :1] = -1
    assert float(hf.activation_consistency(Net(), x, x_adv)) == pytest.approx((4999 / 5000) ** 0.5, abs=1e-6)


def test_tau_where_the_clean_map_is_not_zero_by_scipy() -> None:
    generator = torch.Generator().manual_seed(4)
    clean = torch.randn(4, 1, 6, 6, generator=generator) * (torch.rand(4, 1, 6, 6, generator=generator) < 0.3)
    clean[2] = 0
    maps = torch.randn(4, 1, 6, 6, generator=generator)
    found = hf.KendallTau(nonzero=True)(maps, clean)
    for row in (0, 1, 3):
        chosen = clean[row] != 0
        expected = kendalltau(maps[row][chosen].abs(), clean[row][chosen].abs()).statistic
        assert float(found[row]) == pytest.approx(expected, abs=1e-6)
    assert float(found[2]) == 0
    assert float((found - hf.KendallTau()(maps, clean)).abs().max()) > 0.05, "the zeros matter"
    maps[0, clean[0] == 0] = float("nan")
    with pytest.raises(hf.HoldfastError, match="a map contains NaN"):
        hf.KendallTau(nonzero=True)(maps, clean)


@pytest.mark.parametrize(("k", "window"), [(1, 1), (3, 3), (7, 3), (5, 5), (36, 3)])
def test_lens_by_its_definition(k: int, window: int) -> None:
    generator = torch.Generator().manual_seed(k)
    a, b = (torch.rand(3, 2, 6, 6, generator=generator) for _ in range(2))
    found = hf.lens_topk(a, b, k, window=window)
    half = window // 2
    for row in range(3):
        tops = []
        for maps in (a, b):
            flat = maps[row].sum(0).flatten().tolist()
            tops.append({divmod(i, 6) for i in sorted(range(36), key=lambda i: -flat[i])[:k]})

        def near(p: tuple[int, int], others: set[tuple[int, int]]) -> bool:
            return any(abs(p[0] - q[0]) <= half and abs(p[1] - q[1]) <= half for q in others)

        assert float(found.precision[row]) == pytest.approx(sum(near(p, tops[1]) for p in tops[0]) / k)
        assert float(found.recall[row]) == pytest.approx(sum(near(p, tops[0]) for p in tops[1]) / k)
    if window == 1 and k == 1:
        torch.testing.assert_close(found.recall, hf.topk_intersection(a.sum(1), b.sum(1), 1))


def test_lens_errors() -> None:
    maps = torch.rand(2, 1, 4, 4)
    for window in (0, 2, 3.0, True):
        with pytest.raises(hf.HoldfastError, match="odd number of pixels"):
            hf.lens_topk(maps, maps, 2, window=window)
    with pytest.raises(hf.HoldfastError, match="needs pixels"):
        hf.lens_topk(maps.flatten(1), maps.flatten(1), 2)
    with pytest.raises(hf.HoldfastError, match=r"k is 17.*16 features"):
        hf.lens_topk(maps, maps, 17)


def test_keys_and_titles_tell_metrics_apart() -> None:
    for words in ([m.key for m in METRICS], [m.title for m in METRICS]):
        assert len(set(words)) == len(METRICS)
    assert hf.KendallTau().key == "kendall"
    assert (hf.Cosine().key, hf.Cosine(magnitude=True).key) == ("cosine", "magnitude_cosine")


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.key)
def test_each_part(metric: hf.Metric) -> None:
    assert from_json(hf.Metric, to_json(metric), "here") == metric  # type: ignore[type-abstract]
    assert metric.meaning.endswith(".")
    maps = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    value = metric(maps, maps.clone())
    assert value.shape == (3,)
    if metric.if_failed is not None and metric.key != "kendall_a":
        torch.testing.assert_close(value, torch.ones(3))
    metric.check((1, 6, 6))


@pytest.mark.parametrize("metric", [m for m in METRICS if m.chance(36) is not None], ids=lambda m: m.key)
def test_chance_is_the_mean_over_unrelated_maps(metric: hf.Metric) -> None:
    generator = torch.Generator().manual_seed(11)
    a, b = (torch.randn(800, 1, 6, 6, generator=generator) for _ in range(2))
    found = metric(a, b)
    spread = float(found.std()) / len(found) ** 0.5
    chance = metric.chance(36)
    assert chance is not None
    assert abs(float(found.mean()) - chance) < 4 * spread


def test_ranks_follow_magnitudes_unless_signed() -> None:
    a, b = torch.tensor([[-5.0, 1.0, 2.0]]), torch.tensor([[5.0, 1.0, 2.0]])
    assert float(hf.KendallTau()(a, b)) == 1
    assert float(hf.KendallTau(magnitude=False)(a, b)) == pytest.approx(-1 / 3)
    assert float(hf.TopK(1)(a, b)) == 1
    assert float(hf.TopK(1, magnitude=False)(a, b)) == 0
    assert float(hf.Cosine(magnitude=True)(a, b)) == pytest.approx(1)
    assert float(hf.Cosine()(a, b)) == pytest.approx(-20 / 30)


def test_found_by_name() -> None:
    assert find(hf.Metric, "lens-top-k") is hf.LensTopK  # type: ignore[type-abstract]
    assert {c.__name__ for c in named(hf.Metric).values()} == {  # type: ignore[type-abstract]
        "Cosine", "KendallTau", "LensTopK", "Pearson", "Spearman", "TopK", "ZeroShare",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hf.TopK(0), "k is 0"),
        (lambda: hf.LensTopK(3, side="both"), "unknown side 'both'"),
        (lambda: hf.KendallTau("c"), "unknown variant 'c'"),
        (lambda: hf.TopK(65).check((1, 8, 8)), "k is 65.*64 features"),
        (lambda: hf.LensTopK(65).check((3, 8, 8)), "k is 65.*64 features"),
        (lambda: hf.LensTopK(3).check((64,)), "leave LensTopK out"),
    ],
)
def test_unusable_settings(make: Callable[[], object], words: str) -> None:
    with pytest.raises(hf.HoldfastError, match=words):
        make()


@pytest.mark.parametrize("name", ["cosine", "pearson"])
def test_one_nan_is_never_a_number(name: str) -> None:
    maps, nan = torch.rand(2, 6), torch.rand(2, 6)
    nan[0, 2] = float("nan")
    for pair in ((maps, nan), (nan, maps)):
        assert FUNCTIONS[name](*pair).isnan().tolist() == [True, False]


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("cosine", "pearson")])
def test_nan_is_refused_where_ranks_are_needed(name: str) -> None:
    maps, nan = torch.rand(1, 6), torch.rand(1, 6)
    nan[0, 2] = float("nan")
    for pair in ((maps, nan), (nan, maps)):
        with pytest.raises(hf.HoldfastError, match="NaN"):
            FUNCTIONS[name](*pair)
