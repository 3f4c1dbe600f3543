"""Networks with hooks, checkpoints, in-place layers and two types, and callers in inference mode."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import holdfast as hf
from holdfast.attacks import APGD, FAB, AnnealedIFIA, Attack
from holdfast.attribution import GradCAM
from holdfast.models import SoftplusTwin
from holdfast.objectives import ART, LGA, R2ET, SSR, AdvAAT, IGNorm, IGSumNorm, Objective
from holdfast.objectives.advaat import AdvAATAttack
from holdfast.objectives.art import ARTAttack
from holdfast.objectives.ig_norm import IGNormAttack, IGSumNormAttack

TWO = {"eps": 0.1, "alpha": 0.05, "steps": 2}
OBJECTIVES: list[Objective] = [
    SSR(),
    R2ET(k=3),
    LGA(),
    ART(ARTAttack(**TWO, k=3)),
    AdvAAT(AdvAATAttack(**TWO)),
    IGNorm(IGNormAttack(**TWO)),
    IGSumNorm(IGSumNormAttack(**TWO)),
    hf.IGR(hf.AT(hf.PGD(**TWO))),
    hf.TRADES(hf.TPGD(**TWO)),
    hf.MART(hf.PGD(**TWO)),
]
ATTACKS: list[Attack] = [
    hf.PGD(**TWO),
    APGD(0.1, 4),
    FAB(0.1, 4),
    hf.IFIA(**TWO, k=3),
    AnnealedIFIA(0.5, 4, 3, least_margin=2.0),
]


def named(part: object) -> str:
    return type(part).__name__


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    return x, (x + 0.1 * torch.rand_like(x)).clamp(0, 1), torch.randint(3, (6,))


@pytest.mark.parametrize("rows", [None, 200, 20, 3], ids=str)
def test_hooks_of_parameters_run_once(pairs: tuple[Tensor, Tensor, Tensor], rows: int | None) -> None:
    x, x_adv, y = pairs
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)).double()

    def gradients() -> list[Tensor | None]:
        net.zero_grad()
        hf.igr_penalty(net, x, x_adv, y, n_steps=5, internal_batch_size=rows).mean().backward()
        return [p.grad for p in net.parameters()]

    plain, seen = gradients(), 0

    def halve(gradient: Tensor) -> Tensor:
        nonlocal seen
        seen += 1
        return gradient / 2

    handles = [p.register_hook(halve) for p in net.parameters()]
    for one, other in zip(plain, gradients(), strict=True):
        if one is not None:
            torch.testing.assert_close(other, one / 2)
    assert seen <= len(plain)
    for handle in handles:
        handle.remove()
    for one, other in zip(plain, gradients(), strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or torch.equal(one, other)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 3)
        self.reentrant: bool | None = None

    def forward(self, x: Tensor) -> Tensor:
        def block(z: Tensor) -> Tensor:
            return F.relu(self.first(z))

        flat = x.flatten(1)
        return self.last(
            block(flat) if self.reentrant is None else checkpoint(block, flat, use_reentrant=self.reentrant)
        )


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=named)
def test_objectives_of_checkpointed_networks(
    objective: Objective, pairs: tuple[Tensor, Tensor, Tensor], reentrant: bool
) -> None:
    x, _, y = pairs
    net, losses = Checkpointed(), []
    for net.reentrant in (None, reentrant):
        losses.append(objective(net, x.float(), y, generator=torch.Generator().manual_seed(0)).loss)
    torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("attack", ATTACKS, ids=named)
def test_attacks_on_checkpointed_networks(attack: Attack, pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, net, found = pairs[0].float(), Checkpointed(), []
    y = net(x).argmax(1)
    for net.reentrant in (None, True):
        found.append(attack(net, x, y, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("made_inside", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=named)
def test_values_of_objectives_in_inference_mode(
    objective: Objective, pairs: tuple[Tensor, Tensor, Tensor], made_inside: bool
) -> None:
    x, _, y = pairs
    x, net = x.float(), Checkpointed()
    loss = objective(net, x, y, generator=torch.Generator().manual_seed(0)).loss
    with torch.inference_mode():
        x, y = (x.clone(), y.clone()) if made_inside else (x, y)
        inside = objective(net, x, y, generator=torch.Generator().manual_seed(0)).loss
    assert math.isclose(inside.item(), loss.item(), rel_tol=1e-5)


def conv(last: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), last, nn.Flatten(), nn.Linear(64, 3)
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("wrapped", [nn.Identity(), None], ids=["network", "twin"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_grad_cam_before_a_layer_that_works_in_place(
    pairs: tuple[Tensor, Tensor, Tensor], wrapped: nn.Module | None, create_graph: bool
) -> None:
    x, _, y = pairs
    make: Callable[[nn.Module], nn.Module] = (lambda net: net) if wrapped else (lambda net: SoftplusTwin(net, 20.0))
    plain, in_place = (
        GradCAM()(make(conv(nn.ReLU(inplace=inplace))), x, y, create_graph=create_graph) for inplace in (False, True)
    )
    torch.testing.assert_close(in_place, plain)


class TwoTypes(nn.Module):
    """Half precision but for its normalisation, as half-precision networks are often kept."""

    def __init__(self, half: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.norm, self.b = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        self.last = nn.Linear(64, 3)
        self.to(half)
        self.norm.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.b(F.relu(self.norm(self.a(x))))).flatten(1))


def test_batch_norm_of_another_type(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, x_adv, y = (t.bfloat16() if t.is_floating_point() else t for t in pairs)
    net = TwoTypes(torch.bfloat16)
    penalty = hf.igr_penalty(net, x, x_adv, y, n_steps=3)
    penalty.mean().backward()
    assert net.a.weight.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(hf.igr_penalty(net, x, x_adv, y, n_steps=3), penalty.detach(), atol=0.1, rtol=0.1)


def test_pairs_of_other_kinds(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, x_adv, y = pairs
    net = Checkpointed()
    torch.testing.assert_close(
        hf.igr_penalty(net, x.float(), x_adv, y), hf.igr_penalty(net, x.float(), x_adv.float(), y)
    )
    with pytest.raises(hf.HoldfastError, match=r"^x_adv is ndarray; pass a float tensor"):
        hf.igr_penalty(net, x.float(), x_adv.numpy(), y)


def test_a_hessian_of_logits_without_a_gradient_is_one_line(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    net = Checkpointed()
    with pytest.raises(hf.HoldfastError, match="logits do not depend on the images"):
        SSR()(lambda x: net(x.detach()), pairs[0].float(), pairs[2])
