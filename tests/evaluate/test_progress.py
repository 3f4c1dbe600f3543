"""No number depends on the batches; progress counts images; the estimate knows what is left to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.base import normal, random_start
from holdfast.evaluate import EvaluationResult, Protocol, protocol_cost
from holdfast.seeding import ImageGenerator

PATH = hf.IntegratedGradients(n_steps=4)
PROTOCOL = Protocol(
    predictions={
        "pgd": hf.PGD(0.1, 0.05, 3),
        "trades": hf.TPGD(0.1, 0.05, 2),
        "l2": hf.PGD(0.5, 0.2, 2, norm="L2"),
        "apgd": hf.APGD(0.1, 4),
    },
    attributions=(PATH, hf.SmoothGrad(n_samples=4)),
    attacks={
        "ifia": hf.IFIA(0.1, 0.03, 3, 4, attribution=PATH, random_start=True, restarts=2),
        "random": hf.RandomSigns(0.1, 3, 4, PATH),
        "auto": hf.AutoIFIA(0.1, 4, "quick", metrics=("topk",), scale=0.1),
    },
    metrics=(hf.KendallTau(), hf.TopK(4)),
    n_attribution=9,
)


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).double().eval()


@pytest.fixture
def data(net: nn.Module) -> tuple[Tensor, Tensor]:
    images = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    return images, net(images.double()).argmax(1)


def done(net: nn.Module, data: tuple[Tensor, Tensor], size: int, **options: Any) -> EvaluationResult:
    found = hf.evaluate(lambda x: net(x.double()), data, PROTOCOL, batch_size=size, **options)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [1, 4])
def test_the_batch_size_changes_no_number(net: nn.Module, data: tuple[Tensor, Tensor], size: int) -> None:
    whole, parts = (done(net, data, n).records for n in (9, size))
    order = ["kind", "attribution", "attack", "index"]
    whole, parts = (frame.sort_values(order).reset_index(drop=True) for frame in (whole, parts))
    assert len(whole) == 9 * 5 + 9 * 6 + 9 * 2
    for name in whole.columns:
        if whole[name].dtype.kind == "f":
            np.testing.assert_allclose(whole[name], parts[name], atol=1e-6, err_msg=name)
        else:
            assert whole[name].equals(parts[name]), name


def test_each_image_has_numbers_of_its_own_in_an_evaluation_alone() -> None:
    images = torch.rand(3, 1, 4, 4)

    def drawn(rows: slice, generator: torch.Generator) -> list[Tensor]:
        starts = [random_start(images[rows], 0.1, norm, generator) for norm in ("Linf", "L2")]  # type: ignore[arg-type]
        return [normal(images[rows], generator), *starts]

    for all_three, alone in zip(
        drawn(slice(0, 3), ImageGenerator.of(7)), drawn(slice(2, 3), ImageGenerator.of(7)), strict=True
    ):
        assert torch.equal(all_three[2:], alone)
        assert not torch.equal(all_three[0], all_three[1])
    first, second = (normal(images, g) for g in [ImageGenerator.of(7)] * 2)
    assert not torch.equal(first, second)
    plain = [drawn(rows, torch.Generator().manual_seed(7))[0] for rows in (slice(0, 3), slice(2, 3))]
    assert not torch.equal(plain[0][2:], plain[1])


def test_progress_counts_images(net: nn.Module, data: tuple[Tensor, Tensor]) -> None:
    told: dict[str, list[float]] = {}
    done(net, data, 4, on_images=lambda kind, n, total: told.setdefault(kind, []).append(n / total))
    for shares in told.values():
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert shares[-1] == 1
    assert len(told["accuracy"]) == 3 * 5 + 1
    assert len(told["attribution"]) == 3 * 8 + 1
    assert len(told["control"]) == 3 * 2 + 1


def test_the_estimate_is_of_what_is_left(
    net: nn.Module, data: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.evaluate.job.seconds_per_pass", lambda model, images: 1.0)
    seconds: list[float] = []
    prediction, attribution, control = protocol_cost(PROTOCOL)
    for _ in range(2):
        done(net, data, 3, out=tmp_path, on_start=seconds.append)
    (tmp_path / "records" / "attribution-00001.parquet").unlink()
    done(net, data, 3, out=tmp_path, on_start=seconds.append)
    assert seconds == pytest.approx([9 * (prediction + attribution + control), 0.0, 3 * attribution])


@dataclass
class Counter:
    """Counts images that pass through a network, forward and backward."""

    net: nn.Module
    images: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.images += len(x)
        if x.requires_grad:
            x.register_hook(self._backward)
        return self.net(x.double())

    def _backward(self, gradient: Tensor) -> None:
        self.images += len(gradient)


@pytest.fixture
def counted(net: nn.Module) -> Counter:
    return Counter(net)


@pytest.mark.parametrize("name", ["ifia", "random", "auto"])
def test_the_cost_is_near_what_is_counted(counted: Counter, data: tuple[Tensor, Tensor], name: str) -> None:
    protocol = Protocol(attributions=(PATH,), attacks={name: PROTOCOL.attacks[name]}, metrics=(hf.TopK(4),))
    hf.evaluate(counted, data, protocol)
    told = 9 * sum(protocol_cost(protocol))
    assert 0.5 <= told / counted.images <= 2.0
