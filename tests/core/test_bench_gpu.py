"""The benchmarks that wait for a GPU, run small on the CPU so that they do run when there is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import holdfast as hf
from bench import gpu
from bench.results import Row


@pytest.mark.parametrize("part", [gpu.block_sizes, gpu.epoch, gpu.long_ifia])
def test_benchmarks_of_a_gpu_run_on_a_cpu(part: Callable[..., list[Row]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.ATTACKS, "SmallCNN", hf.PGD(eps=0.1, alpha=0.05, steps=2))
    small = {
        gpu.block_sizes: {"size": 2, "sizes": (8, 64)},
        gpu.epoch: {"steps": 1, "size": 2, "matrix": 16},
        gpu.long_ifia: {"steps": 2, "images": 2, "n_steps": 2},
    }
    rows = part("SmallCNN", "cpu", **small[part])
    assert rows
    assert all(row.seconds > 0 and row.ratio > 0 for row in rows)
    assert part is not gpu.epoch or "s an epoch" in rows[0].note
