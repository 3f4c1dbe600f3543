"""What runs on CUDA against the same on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import Tensor, nn

from holdfast import IFIA, PGD, TPGD, CWInf, igr_penalty, integrated_gradients, kendall_tau
from holdfast.attacks import Attack, KendallGoal, RandomSigns
from holdfast.attribution import IntegratedGradients
from holdfast.cli import main
from holdfast.models import ResNet18, SmallCNN
from holdfast.models.arithmetic import float32_products
from holdfast.objectives import ARTAttack, IGRAttack
from holdfast.train.folder import RunFolder, read_metrics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA = "cuda"
Pair = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    with float32_products(tf32=False):
        yield


def parameter_gradients(net: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, size: int | None) -> list[Tensor]:
    net.zero_grad()
    igr_penalty(net, x, x_adv, y, n_steps=4, internal_batch_size=size).sum().backward()
    return [p.grad.cpu().clone() for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("size", [None, 5])
def test_gradients_are_those_of_the_cpu(any_network: nn.Module, pair: Pair, size: int | None) -> None:
    net = any_network.double()
    expected = parameter_gradients(net, *pair, size)
    found = parameter_gradients(net.to(CUDA), *(t.to(CUDA) for t in pair), size)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", [SmallCNN, ResNet18])
def test_gradients_of_the_papers_networks_in_float32(kind: Callable[..., nn.Module], last: bool) -> None:
    net = kind(in_channels=3, image_size=32) if kind is SmallCNN else kind()
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5)
    x, x_adv = torch.rand(2, 4, 3, 32, 32)
    y = torch.tensor([0, 3, 1, 9])
    exact = parameter_gradients(net.double().to(CUDA), x.double().to(CUDA), x_adv.double().to(CUDA), y.to(CUDA), None)
    net.float()
    if last:
        net.to(memory_format=torch.channels_last)
    found = parameter_gradients(net, x.to(CUDA), x_adv.to(CUDA), y.to(CUDA), None)
    together = [torch.cat([g.double().flatten() for g in grads]) for grads in (found, exact)]
    assert float(F.cosine_similarity(*together, dim=0)) > 0.999


def test_kendall_is_scipys() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(-40, 40, (20, 3072), generator=generator).float()
    b = a + torch.randint(-9, 9, a.shape, generator=generator)
    b[:, :1500] = 0
    expected = torch.tensor([kendalltau(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    torch.testing.assert_close(kendall_tau(a.to(CUDA), b.to(CUDA)).cpu(), expected.float(), rtol=1e-6, atol=1e-7)


def test_ifia_reaches_what_it_reaches_on_the_cpu(trained: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    net = trained.double()
    images, labels = digits[0][:40].double(), digits[1][:40]
    attack = IFIA(eps=0.15, alpha=0.03, steps=8, k=10, attribution=IntegratedGradients(n_steps=6))
    expected = attack.run(net, images, labels)
    found = attack.run(net.to(CUDA), images.to(CUDA), labels.to(CUDA))
    assert torch.equal(found.succeeded.cpu(), expected.succeeded)
    torch.testing.assert_close(found.history.cpu(), expected.history, rtol=0, atol=1e-2)


budget: dict[str, Any] = {"eps": 0.15, "alpha": 0.03, "steps": 6}
FOUR = IntegratedGradients(n_steps=4)
ATTACKS: dict[str, Attack] = {
    "pgd": PGD(**budget),
    "pgd-l2": PGD(**budget, norm="L2"),
    "tpgd": TPGD(**budget),
    "cw": CWInf(**budget, restarts=2),
    "ifia-kendall": IFIA(**budget, k=10, attribution=FOUR, goal=KendallGoal(), random_start=True),
    "random-signs": RandomSigns(eps=0.15, attribution=FOUR),
    "igr": IGRAttack(**budget, attribution=FOUR, surrogate_beta=20.0),
    "art": ARTAttack(**budget, k=20),
}


@pytest.mark.parametrize("name", [*ATTACKS])
def test_a_generator_on_the_device_decides(trained: nn.Module, digits: tuple[Tensor, Tensor], name: str) -> None:
    """In float64, where the order of sums turns no signs."""
    net = trained.double().to(CUDA)
    images, labels = digits[0][:24].double().to(CUDA), digits[1][:24].to(CUDA)

    def run(seed: int) -> Tensor:
        return ATTACKS[name](net, images, labels, generator=torch.Generator(CUDA).manual_seed(seed))

    torch.testing.assert_close(run(3), run(3), rtol=0, atol=1e-9)
    assert not torch.equal(run(3), run(4))
    assert ATTACKS[name](net, images, labels).device == images.device


@pytest.mark.parametrize("name", [*ATTACKS])
def test_the_same_attack_on_the_cpu(
    trained: nn.Module, digits: tuple[Tensor, Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same noise, drawn on the CPU."""
    net, images, labels = trained.double(), digits[0][:24].double(), digits[1][:24]
    for draw in ("uniform_", "normal_"):
        original = getattr(Tensor, draw)

        def on_the_cpu(self: Tensor, *args: float, generator: torch.Generator, original: Any = original) -> Tensor:
            return self.copy_(original(torch.empty(self.shape, dtype=self.dtype), *args, generator=generator))

        monkeypatch.setattr(Tensor, draw, on_the_cpu)
    rand = torch.rand
    monkeypatch.setattr(
        torch, "rand", lambda *size, generator, device, dtype: rand(*size, generator=generator, dtype=dtype).to(device)
    )
    expected = ATTACKS[name](net, images, labels, generator=torch.Generator().manual_seed(3))
    found = ATTACKS[name](net.to(CUDA), images.to(CUDA), labels.to(CUDA), generator=torch.Generator().manual_seed(3))
    near = ((found.cpu() - expected).abs() < 1e-9).double().mean()
    assert float(near) > 0.98


def test_memory_does_not_grow_with_the_steps_in_chunks() -> None:
    net = SmallCNN().to(CUDA)
    x, x_adv = torch.rand(2, 16, 1, 28, 28, device=CUDA)
    y = torch.zeros(16, dtype=torch.int64, device=CUDA)
    peaks = []
    for n_steps in (10, 10, 100):
        torch.cuda.reset_peak_memory_stats()
        igr_penalty(net, x, x_adv, y, n_steps=n_steps, internal_batch_size=64).mean().backward()
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[2] < 1.05 * peaks[1]


def test_attributions_in_blocks_of_any_size_agree(trained: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    net, images = trained.to(CUDA), digits[0][:10].to(CUDA)
    whole = integrated_gradients(net, images, 3)
    torch.testing.assert_close(integrated_gradients(net, images, 3, internal_batch_size=7), whole)


@pytest.mark.parametrize("precision", ["float32", "tfloat32", "bfloat16"])
def test_a_run_from_training_to_numbers(precision: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = f"train digits-trades-igr --profile smoke --device cuda --precision {precision} --out {run}"
    assert main(line.split()) == 0
    assert main(f"evaluate {run} --device cuda --out {tmp_path / 'evaluation'}".split()) == 0
    checks = [e["gradient_cosine"] for e in read_metrics(RunFolder(run).metrics) if e["kind"] == "precision"]
    assert all(cosine > 0.9 for cosine in checks)
    assert bool(checks) == (precision != "float32")
