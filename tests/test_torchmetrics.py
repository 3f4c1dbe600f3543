"""`holdfast.torchmetrics` against the functions, over batches and over two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import holdfast as hf

pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: pip install 'holdfast[torchmetrics]'")

from holdfast.torchmetrics import MapSimilarity

METRICS = [hf.TopK(k=5), hf.KendallTau(), hf.Spearman(), hf.Cosine(), hf.Pearson(), hf.LensTopK(k=5)]


def maps(seed: int, count: int) -> torch.Tensor:
    return torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.key)
def test_unequal_batches_give_the_mean_over_images(metric: hf.Metric) -> None:
    preds, target = maps(0, 7), maps(1, 7)
    similarity = MapSimilarity(metric)
    for part in (slice(0, 5), slice(5, 7)):
        similarity.update(preds[part], target[part])
    assert torch.allclose(similarity.compute(), metric(preds, target).double().mean())
    similarity.reset()
    with pytest.warns(UserWarning, match="before the"), pytest.raises(hf.HoldfastError, match="no maps"):
        similarity.compute()


def _process(rank: int, store: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    preds, target = maps(0, 7), maps(1, 7)
    part = slice(0, 5) if rank == 0 else slice(5, 7)
    similarity = MapSimilarity(hf.TopK(k=5))
    similarity.update(preds[part], target[part])
    torch.save(similarity.compute(), f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.spawn(_process, (str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    expected = hf.TopK(k=5)(maps(0, 7), maps(1, 7)).double().mean()
    for rank in range(2):
        assert torch.allclose(torch.load(tmp_path / f"{rank}.pt"), expected)
