"""Inner loops on a device that is not the CPU and holds no numbers: reading one, or mixing devices, raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast import IFIA, PGD, TPGD, CWInf
from holdfast.attacks import Attack, Goal, KendallGoal, MassCenterGoal, RandomSigns, TopKGoal
from holdfast.attacks.attribution_attack import Scores
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import path_attribution
from holdfast.gradient import points
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


FIVE = IntegratedGradients(n_steps=5)
budget: dict[str, Any] = {"eps": 0.1, "alpha": 0.03, "steps": 2}
ATTACKS: dict[str, Attack] = {
    "pgd": PGD(**budget, random_start=False, restarts=2),
    "pgd-l2": PGD(**budget, random_start=False, norm="L2"),
    "tpgd": TPGD(**budget),
    "cw": CWInf(**budget, random_start=False),
    "ig-sum-norm": IGSumNormAttack(**budget, n_steps=5, random_start=False),
    "advaat": AdvAATAttack(**budget, attribution=FIVE, random_start=False),
    "igr": IGRAttack(**budget, attribution=FIVE, random_start=False),
}


@pytest.mark.parametrize("name", [*ATTACKS])
def test_attacks_never_wait(network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None, name: str) -> None:
    with evaluating(network):
        assert ATTACKS[name].perturb(network, *batch, torch.Generator()).shape == SHAPE


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack on attributions is about to take its first step: the clean maps, read once, are known."""
    zero = torch.empty(SHAPE[0], device=META)

    def begin(
        self: Scores, model: nn.Module, images: Tensor, labels: Tensor, attribution: Any, select: Any, k: int
    ) -> None:
        self.model, self.labels, self.attribution, self.select, self.k = model, labels, attribution, select, k
        self.clean = torch.empty(SHAPE, device=META)
        self.best, self.best_score, self.best_step = images, zero, zero.long()
        self.broken, self.history = torch.empty((), dtype=torch.bool, device=META), []

    monkeypatch.setattr(Scores, "__init__", begin)
    monkeypatch.setattr(Scores, "found", lambda self: [self.best, self.best_score, self.best_step, self.broken])


@pytest.mark.parametrize("goal", [TopKGoal(), KendallGoal(), MassCenterGoal()])
@pytest.mark.parametrize("select", ["kendall", "topk"])
def test_steps_of_ifia_never_wait(
    network: nn.Module,
    batch: tuple[Tensor, Tensor],
    on_the_device: None,
    begun: None,
    goal: Goal,
    select: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = {
        TopKGoal: torch.empty(6, 10, dtype=torch.int64, device=META),
        KendallGoal: torch.empty(6, 784, device=META),
        MassCenterGoal: torch.empty(6, 2, device=META),
    }
    monkeypatch.setattr(type(goal), "reference", lambda self, clean, k: (reference[type(goal)],))
    attack = IFIA(**budget, k=10, attribution=FIVE, goal=goal, select=select)
    with evaluating(network):
        found: Any = attack.search(network, *batch, FIVE, torch.Generator())
    assert [t.shape for t in found] == [SHAPE, (6,), (6,), ()]


@pytest.mark.parametrize("select", ["kendall", "topk"])
def test_random_signs_never_wait(
    network: nn.Module, batch: tuple[Tensor, Tensor], on_the_device: None, begun: None, select: Any
) -> None:
    with evaluating(network):
        found: Any = RandomSigns(draws=2, k=10, select=select).search(network, *batch, FIVE, torch.Generator())
    assert [t.shape for t in found] == [SHAPE, (6,), (6,), ()]


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
        PGD(**budget)(network, images, labels)  # the checks of a public call do read the images, once
