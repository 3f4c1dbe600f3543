"""IGR at images of its own choosing (Eq. 5), and the bases that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import AT, IGR, PGD, TRADES, HoldfastError, Standard, igr_penalty
from holdfast.attacks import Attack
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import IGRAttack
from tests.oracles import Fixed, plain_distance, plain_ig

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]
Batch = tuple[Tensor, Tensor]


def right(n_steps: int, size: int | None = None) -> IntegratedGradients:
    return IntegratedGradients(n_steps, "riemann_right", internal_batch_size=size)


@pytest.mark.parametrize("size", [None, 3])
def test_the_penalty_is_at_its_own_images(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    net = make_network("F.relu").double()
    x, x_adv, y = pair
    of_base, own = Fixed(1 - x), Fixed(x_adv)
    out = IGR(AT(of_base), lam=0.7, attribution=right(3, size), attack=own)(net, x, y)
    penalty = igr_penalty(net, x, x_adv, y, n_steps=3).mean()
    assert (len(of_base.calls), len(own.calls)) == (1, 1)
    assert out.x_adv is of_base.adv
    torch.testing.assert_close(out.parts["igr"], penalty.detach())
    torch.testing.assert_close(out.loss, F.cross_entropy(net(1 - x), y) + 0.7 * penalty)


def test_over_standard_training_with_either_attack(make_network: MakeNetwork, pair: Pair) -> None:
    """Eq. 3 with the cross-entropy of the clean image as L."""
    net = make_network("F.relu").double()
    x, x_adv, y = pair
    attack = Fixed(x_adv)
    expected = F.cross_entropy(net(x), y) + 2 * igr_penalty(net, x, x_adv, y, n_steps=3).mean()
    for objective in (IGR(Standard(attack), 2.0, right(3)), IGR(Standard(), 2.0, right(3), attack=attack)):
        out = objective(net, x, y)
        assert out.x_adv is x_adv
        assert set(out.parts) == {"ce", "igr"}
        torch.testing.assert_close(out.loss, expected)
    assert len(attack.calls) == 2


def test_without_any_attack_it_says_what_to_do() -> None:
    with pytest.raises(HoldfastError, match=r"Standard makes no adversarial images.*or give IGR an attack of its own"):
        IGR(Standard())(nn.Linear(3, 2), torch.rand(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("name", ["F.relu", "residual", "attention"])
def test_finite_differences_in_the_parameters(
    make_network: MakeNetwork, pair: Pair, name: str, size: int | None
) -> None:
    net = make_network(name).double().eval()
    x, x_adv, y = pair
    objective = IGR(Standard(), lam=3.0, attribution=right(3, size), attack=Fixed(x_adv))
    parameters = [*net.parameters()]
    found = torch.cat([g.flatten() for g in torch.autograd.grad(objective(net, x, y).loss, parameters)])
    start = nn.utils.parameters_to_vector(parameters).detach()
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(len(start), generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            nn.utils.vector_to_parameters(start + sign * 1e-6 * direction, parameters)
            ends.append(float(objective(net, x, y).loss.detach()))
        assert float(found @ direction) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("size", [None, 4])
def test_an_ordinary_backward_reaches_the_parameters_of_any_network(
    any_network: nn.Module, pair: Pair, size: int | None
) -> None:
    """``backward()`` walks into every leaf, where ``torch.autograd.grad`` visits only those asked for."""
    net = any_network.double().eval()
    x, x_adv, y = pair
    plain_distance(plain_ig(net, x, y, 3), plain_ig(net, x_adv, y, 3)).sum().backward()
    expected = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
    net.zero_grad()
    igr_penalty(net, x, x_adv, y, n_steps=3, internal_batch_size=size).sum().backward()
    largest = max(float(e.abs().max()) for e in expected)
    assert largest > 0
    for p, e in zip(net.parameters(), expected, strict=True):
        found = torch.zeros_like(p) if p.grad is None else p.grad
        assert float((found - e).abs().max()) < 1e-9 * max(float(e.abs().max()), 1e-6 * largest)


@pytest.mark.parametrize("size", [None, 3])
def test_a_zero_last_layer_gives_finite_gradients(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    net = make_network("F.relu").double()
    nn.init.zeros_(net.fc2.weight)
    x, _, y = pair
    attack = IGRAttack(eps=0.1, alpha=0.05, steps=2)
    IGR(Standard(), attribution=right(2, size), attack=attack)(net, x, y).loss.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())
    assert bool(net.fc2.weight.grad.any())


@pytest.mark.parametrize("clean", [True, False])
def test_trades_as_published_and_as_printed(clean: bool) -> None:
    net = nn.Linear(3, 3, bias=False)
    net.weight.data = 10 * torch.eye(3)
    x, x_adv = torch.tensor([[0.1, 0.3, 0.0]]), torch.tensor([[0.3, 0.2, 0.0]])
    p, q = ([math.exp(10 * v) for v in t[0].tolist()] for t in (x, x_adv))
    p, q = ([v / sum(powers) for v in powers] for powers in (p, q))
    out = TRADES(Fixed(x_adv), beta=2.0, clean=clean)(net, x, torch.tensor([1]))
    ce = -math.log((p if clean else q)[1])
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx({"ce": ce, "kl": kl})
    assert float(out.loss.detach()) == pytest.approx(ce + 2 * kl)


def test_the_direction_is_that_of_the_twin_and_the_value_that_of_the_network(
    conv_net: Callable[..., nn.Module], pair: Pair
) -> None:
    net = conv_net(F.relu).double().eval()
    twin = conv_net(partial(F.softplus, beta=20.0)).double().eval()
    x, x_adv, y = pair
    clean = plain_ig(net, x, y, 3).detach()
    for beta, through in ((20.0, twin), (None, net)):
        attack = IGRAttack(eps=0.3, alpha=0.01, steps=1, attribution=right(3), surrogate_beta=beta)
        adv = x_adv.clone().requires_grad_()
        distance = plain_distance(plain_ig(through, adv, y, 3), clean)
        (expected,) = torch.autograd.grad(distance.sum(), adv)
        reference = attack.prepare(net, x, y)
        found = attack.gradient(net, x_adv, *reference)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)
        value = attack.value(net, x_adv, *reference)
        torch.testing.assert_close(value.detach(), plain_distance(plain_ig(net, x_adv, y, 3), clean).detach())


def test_the_twin_finds_images_that_plain_gradients_and_pgd_do_not(trained: nn.Module, digits: Batch) -> None:
    x, y = digits[0][:100], digits[1][:100]

    def distance(attack: Attack) -> float:
        adv = attack(trained, x, y, generator=torch.Generator().manual_seed(0))
        return float(plain_distance(plain_ig(trained, x, y, 20), plain_ig(trained, adv, y, 20)).detach().mean())

    with_twin = distance(IGRAttack(eps=0.1, alpha=0.02, steps=15))
    assert with_twin > 1.05 * distance(IGRAttack(eps=0.1, alpha=0.02, steps=15, surrogate_beta=None))
    assert with_twin > 1.05 * distance(PGD(eps=0.1, alpha=0.02, steps=15))
