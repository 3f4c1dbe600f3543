"""Whatever is called, the model, the images and the global random state come back as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import FGSM, IFIA, PGD, TPGD, CWInf, activation_consistency, igr_penalty, integrated_gradients
from holdfast.attacks import Attack, KendallGoal, MassCenterGoal, RandomSigns
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import AT, IGR, MART, TRADES, Objective

Call = Callable[[nn.Module, Tensor, Tensor], object]
TWO = IntegratedGradients(n_steps=2)
budget: dict[str, Any] = {"eps": 0.1, "alpha": 0.05, "steps": 2}
ATTACKS: dict[str, Attack] = {
    "FGSM": FGSM(eps=0.1),
    "PGD": PGD(**budget, restarts=2),
    "PGD L2": PGD(**budget, norm="L2"),
    "TPGD": TPGD(**budget),
    "CWInf": CWInf(**budget),
    "IFIA": IFIA(**budget, k=5, attribution=TWO),
    "IFIA chunked": IFIA(
        **budget, k=5, attribution=IntegratedGradients(n_steps=2, internal_batch_size=3), surrogate_beta=None
    ),
    "IFIA random start": IFIA(**budget, attribution=TWO, goal=KendallGoal(), random_start=True, restarts=2),
    "IFIA mass_center": IFIA(**budget, attribution=TWO, goal=MassCenterGoal()),
    "RandomSigns": RandomSigns(eps=0.1, draws=3, attribution=TWO),
}
CALLS: dict[str, Call] = {
    **ATTACKS,
    **{f"{name} run": attack.run for name, attack in ATTACKS.items()},
    "attribution": lambda net, x, y: TWO(net, x, y, create_graph=True),
    "integrated_gradients": lambda net, x, y: integrated_gradients(net, x, y, n_steps=3),
    "integrated_gradients graph": lambda net, x, y: integrated_gradients(net, x, y, n_steps=3, create_graph=True),
    "integrated_gradients chunked": lambda net, x, y: integrated_gradients(
        net, x, y, n_steps=3, create_graph=True, internal_batch_size=2
    ),
    "igr_penalty": lambda net, x, y: igr_penalty(net, x, 1 - x, y, n_steps=2),
    "igr_penalty chunked": lambda net, x, y: igr_penalty(net, x, 1 - x, y, n_steps=2, internal_batch_size=3),
    "activation_consistency": lambda net, x, y: activation_consistency(net, x, 1 - x),
}
OBJECTIVES: dict[str, Objective] = {
    "AT": AT(PGD(**budget)),
    "TRADES": TRADES(TPGD(**budget)),
    "MART": MART(PGD(**budget)),
    "IGR": IGR(AT(PGD(**budget)), attribution=IntegratedGradients(2, "riemann_right", internal_batch_size=3)),
    "IGR of a share": IGR(AT(PGD(**budget)), attribution=IntegratedGradients(2, "riemann_right"), share=0.5),
}


@pytest.fixture
def net(make_network: Callable[[str], nn.Module]) -> nn.Module:
    """In training mode but for one batch norm, partly frozen, with gradients from before."""
    net = make_network("residual")
    net.bn2.eval()
    net.mix.requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    return net


@contextmanager
def unchanged(net: nn.Module, *tensors: Tensor, state: bool = True) -> Iterator[None]:
    def snapshot() -> list[object]:
        return [
            [m.training for m in net.modules()],
            [p.requires_grad for p in net.parameters()],
            [t.requires_grad for t in tensors],
            torch.is_grad_enabled(),
            [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()],
        ]

    def values() -> list[Tensor | None]:
        weights = [*net.state_dict().values()] if state else []
        random = [] if not state else [torch.get_rng_state()]
        return [*weights, *random, *tensors, *(p.grad for p in net.parameters()), *(t.grad for t in tensors)]

    before, values_before = snapshot(), copy.deepcopy([None if v is None else v.detach() for v in values()])
    yield
    assert snapshot() == before
    for a, b in zip(values(), values_before, strict=True):
        assert (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("images_require_grad", [False, True])
def test_nothing_is_left_behind(net: nn.Module, name: str, images_require_grad: bool) -> None:
    x = torch.rand(3, 2, 8, 8, requires_grad=images_require_grad)
    y = torch.tensor([0, 3, 1])
    with unchanged(net, x, y):
        CALLS[name](net, x, y)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_leave_flags_and_gradients(net: nn.Module, name: str) -> None:
    """Their loss runs the model in its own mode, so running statistics and dropout may move."""
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    with unchanged(net, x, y, state=False):
        OBJECTIVES[name](net, x, y)
    net.eval()
    with unchanged(net, x, y):
        OBJECTIVES[name](net, x, y)


@pytest.mark.parametrize("name", [*CALLS, *OBJECTIVES])
def test_works_under_no_grad(net: nn.Module, name: str) -> None:
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    with torch.no_grad(), unchanged(net, x, y, state=name in CALLS):
        result = {**CALLS, **OBJECTIVES}[name](net, x, y)
    assert result is not None


@pytest.mark.parametrize("name", [*ATTACKS])
def test_attacks_move_under_no_grad(net: nn.Module, name: str) -> None:
    x = torch.rand(4, 2, 8, 8)
    y = net.eval()(x).argmax(1)
    with torch.no_grad():
        adv = ATTACKS[name](net, x, y)
    assert float((adv - x).abs().max()) > 0.01


@pytest.mark.parametrize("name", [*CALLS])
def test_flags_come_back_after_an_error(net: nn.Module, name: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    net.mix.register_forward_hook(fail)
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    with unchanged(net, x, y), pytest.raises(RuntimeError, match="in the middle"):
        CALLS[name](net, x, y)
