"""Whatever is called, the model, the images and the global random state come back as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from holdfast import (
    AT,
    FGSM,
    IFIA,
    IGR,
    MART,
    PGD,
    TPGD,
    TRADES,
    CWInf,
    activation_consistency,
    igr_penalty,
    integrated_gradients,
)

Call = Callable[[nn.Module, Tensor, Tensor], object]
pgd = partial(PGD, eps=0.1, alpha=0.05, steps=2)
ifia = partial(IFIA, eps=0.1, alpha=0.05, steps=2, k=5, n_steps=2)
CALLS: dict[str, Call] = {
    "FGSM": lambda net, x, y: FGSM(net, eps=0.1)(x, y),
    "PGD": lambda net, x, y: pgd(net, restarts=2)(x, y),
    "PGD L2": lambda net, x, y: pgd(net, norm="L2")(x, y),
    "TPGD": lambda net, x, y: TPGD(net, eps=0.1, alpha=0.05, steps=2)(x, y),
    "CWInf": lambda net, x, y: CWInf(net, eps=0.1, alpha=0.05, steps=2)(x, y),
    "IFIA": lambda net, x, y: ifia(net)(x, y),
    "IFIA chunked": lambda net, x, y: ifia(net, internal_batch_size=3, surrogate_beta=None)(x, y),
    "IFIA random": lambda net, x, y: ifia(net, objective="random", random_start=True)(x, y),
    "IFIA mass_center": lambda net, x, y: ifia(net, objective="mass_center").run(x, y),
    "integrated_gradients": lambda net, x, y: integrated_gradients(net, x, y, n_steps=3),
    "integrated_gradients graph": lambda net, x, y: integrated_gradients(net, x, y, n_steps=3, create_graph=True),
    "integrated_gradients chunked": lambda net, x, y: integrated_gradients(
        net, x, y, n_steps=3, create_graph=True, internal_batch_size=2
    ),
    "igr_penalty": lambda net, x, y: igr_penalty(net, x, 1 - x, y, n_steps=2),
    "igr_penalty chunked": lambda net, x, y: igr_penalty(net, x, 1 - x, y, n_steps=2, internal_batch_size=3),
    "activation_consistency": lambda net, x, y: activation_consistency(net, x, 1 - x),
}
OBJECTIVES: dict[str, Call] = {
    "AT": AT(pgd),
    "TRADES": TRADES(partial(TPGD, eps=0.1, alpha=0.05, steps=2)),
    "MART": MART(pgd),
    "IGR": IGR(AT(pgd), n_steps=2, internal_batch_size=3),
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


@pytest.mark.parametrize("name", [n for n in CALLS if n.startswith(("FGSM", "PGD", "TPGD", "CWInf", "IFIA"))])
def test_attacks_move_under_no_grad(net: nn.Module, name: str) -> None:
    x = torch.rand(4, 2, 8, 8)
    y = net.eval()(x).argmax(1)
    with torch.no_grad():
        result = CALLS[name](net, x, y)
    adv = result if isinstance(result, Tensor) else result.adv_images
    assert float((adv - x).abs().max()) > 0.01


@pytest.mark.parametrize("name", [*CALLS])
def test_flags_come_back_after_an_error(net: nn.Module, name: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    net.mix.register_forward_hook(fail)
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    with unchanged(net, x, y), pytest.raises(RuntimeError, match="in the middle"):
        CALLS[name](net, x, y)
