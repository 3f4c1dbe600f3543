"""Inner loops on a device that is not the CPU and holds no numbers: reading one, or mixing devices, raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast import IFIA, PGD, TPGD, CWInf
from holdfast.attacks.base import Attack
from holdfast.gradient import points
from holdfast.gradient.integral import path_attribution
from holdfast.gradient.points import Path
from holdfast.metrics.rank import tau_b, topk_share
from holdfast.models import SmallCNN, SoftplusTwin
from holdfast.models.state import evaluating
from holdfast.objectives import AdvAATAttack, IGRAttack, IGSumNormAttack

META = torch.device("meta")
SHAPE = (6, 1, 28, 28)


class NoCopies(TorchDispatchMode):
    """Refuses tensors that come from the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in (*args, *(kwargs or {}).values()):
            if isinstance(value, Tensor):
                assert value.device == META, f"{func} takes a tensor from the CPU"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def network() -> nn.Module:
    return SmallCNN().to(META)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.empty(SHAPE, device=META), torch.empty(SHAPE[0], dtype=torch.int64, device=META)


@pytest.fixture
def on_the_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The nodes and weights of the quadrature rules are copied once; that has been done. No autocast there."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda kind: torch.bfloat16)
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    for method in ("riemann_middle", "riemann_right"):
        points._rule_on(method, 5, META, torch.float32)
    with NoCopies():
        yield


budget = {"eps": 0.1, "alpha": 0.03, "steps": 2}
ATTACKS: dict[str, Callable[[nn.Module, torch.Generator], Attack]] = {
    "pgd": lambda net, g: PGD(net, **budget, random_start=False, restarts=2, generator=g),
    "pgd-l2": lambda net, g: PGD(net, **budget, random_start=False, norm="L2", generator=g),
    "tpgd": lambda net, g: TPGD(net, **budget, generator=g),
    "cw": lambda net, g: CWInf(net, **budget, random_start=False, generator=g),
    "ig-sum-norm": lambda net, g: IGSumNormAttack(net, **budget, n_steps=5, random_start=False, generator=g),
    "advaat": lambda net, g: AdvAATAttack(net, **budget, n_steps=5, random_start=False, generator=g),
    "igr": lambda net, g: IGRAttack(net, **budget, n_steps=5, random_start=False, generator=g),
}


@pytest.mark.parametrize("name", [*ATTACKS])
def test_attacks_never_wait(network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None, name: str) -> None:
    attack = ATTACKS[name](network, torch.Generator())
    with evaluating(network):
        assert attack.perturb(*batch).shape == SHAPE


@pytest.mark.parametrize("objective", ["topk", "kendall", "mass_center", "random"])
@pytest.mark.parametrize("select", ["kendall", "topk"])
def test_steps_of_ifia_never_wait(
    network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None, objective: str, select: str
) -> None:
    attack = IFIA(network, **budget, k=10, n_steps=5, objective=objective, select=select)
    images, labels = batch
    features = torch.empty(6, 784, device=META)
    reference = {
        "topk": torch.empty(6, 10, dtype=torch.int64, device=META),
        "kendall": features,
        "mass_center": torch.empty(6, 2, device=META),
        "random": images,
    }
    score = torch.empty(6, device=META)
    zero, no = torch.empty((), dtype=torch.int64, device=META), torch.empty((), dtype=torch.bool, device=META)
    with evaluating(network):
        found = attack._advance(images, images, score, labels, zero, no, images, labels, features, reference[objective])
    assert [t.shape for t in found] == [images.shape, images.shape, score.shape, labels.shape, (), ()]


@pytest.mark.parametrize("rows", [None, 7])
@pytest.mark.parametrize("twin", [False, True])
def test_attributions_and_their_gradients_never_wait(
    network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None, rows: int | None, twin: bool
) -> None:
    images, labels = batch
    images.requires_grad_()
    net = SoftplusTwin(network, 30.0) if twin else network
    attribution = path_attribution(Path(net, labels, "riemann_right", 5, create_graph=True), images, rows=rows)
    attribution.sum().backward()
    assert images.grad is not None
    assert all(p.grad is not None for p in network.parameters() if p.ndim > 1)


def test_rank_metrics_never_wait(on_the_device: None) -> None:
    a, b = torch.empty(2, 5, 300, device=META)
    assert tau_b(a, b).shape == topk_share(a, b, 20).shape == (5,)


def test_waiting_is_noticed(network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None) -> None:
    images, labels = batch
    with pytest.raises(RuntimeError, match="meta tensors"):
        images.sum().item()
    with pytest.raises(AssertionError, match="from the CPU"):
        images + torch.zeros(SHAPE).to(META)
    with pytest.raises(RuntimeError, match="meta"):
        PGD(network, **budget)(images, labels)  # the checks of a public call do read the images, once
