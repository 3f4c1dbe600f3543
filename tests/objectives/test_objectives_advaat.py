"""AdvAAT against numpy's correlation, plain double backward and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import AdvAAT, HoldfastError
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import AdvAATAttack
from tests.oracles import Fixed, plain_ig

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]


def right(n_steps: int, size: int | None = None) -> IntegratedGradients:
    return IntegratedGradients(n_steps, "riemann_right", internal_batch_size=size)


def plain_pcl(a: Tensor, b: Tensor) -> Tensor:
    a, b = (m - m.mean(1, keepdim=True) for m in (a, b))
    return 1 - ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)) + 1) / 2


@pytest.mark.parametrize("size", [None, 1, 5])
def test_values_where_the_attribution_is_known(size: int | None) -> None:
    """Of a linear network IG is ``x * W_y`` at any number of steps."""
    net = nn.Linear(5, 3).double()
    rng = np.random.default_rng(0)
    x, x_adv = rng.uniform(size=(2, 4, 5))
    y = [2, 0, 1, 1]
    weight, bias = (p.detach().numpy() for p in net.parameters())
    pairs = [(weight[t] * a, weight[t] * b) for a, b, t in zip(x, x_adv, y, strict=True)]
    pcl = np.mean([1 - (np.corrcoef(a, b)[0, 1] + 1) / 2 for a, b in pairs])
    logits = x_adv @ weight.T + bias
    ce = np.mean([np.log(np.exp(row).sum()) - row[t] for row, t in zip(logits, y, strict=True)])
    attack = Fixed(torch.from_numpy(x_adv))
    out = AdvAAT(attack, lam=0.7, attribution=right(2, size))(net, torch.from_numpy(x), torch.tensor(y))
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx({"ce": ce, "pcl": pcl})
    assert float(out.loss.detach()) == pytest.approx(ce + 0.7 * pcl)
    assert out.x_adv is attack.adv
    assert 0.05 < pcl < 0.95


@pytest.mark.parametrize("size", [None, 1, 4, 64])
@pytest.mark.parametrize("name", ["F.relu", "mixed-smooth-and-not", "torch.batch_norm", "weight-norm", "small_cnn"])
def test_parameters_by_backward_in_one_piece_and_in_chunks(
    make_network: MakeNetwork, pair: Pair, name: str, size: int | None
) -> None:
    net = make_network(name).double().eval()
    x, x_adv, y = pair
    reference = F.cross_entropy(net(x_adv), y)
    reference = reference + 0.7 * plain_pcl(plain_ig(net, x, y, 3), plain_ig(net, x_adv, y, 3)).mean()
    expected = torch.autograd.grad(reference, [*net.parameters()])
    AdvAAT(Fixed(x_adv), lam=0.7, attribution=right(3, size))(net, x, y).loss.backward()
    torch.testing.assert_close([p.grad for p in net.parameters()], [*expected], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("name", ["F.relu", "residual", "attention"])
def test_finite_differences_in_the_parameters(
    make_network: MakeNetwork, pair: Pair, name: str, size: int | None
) -> None:
    net = make_network(name).double().eval()
    x, x_adv, y = pair
    objective = AdvAAT(Fixed(x_adv), lam=5.0, attribution=right(3, size))
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


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_zero_last_layer_gives_finite_gradients(
    make_network: MakeNetwork, pair: Pair, size: int | None, dtype: torch.dtype
) -> None:
    net = make_network("F.relu").to(dtype)
    nn.init.zeros_(net.fc2.weight)
    x, x_adv, y = (t.to(dtype) if t.is_floating_point() else t for t in pair)
    out = AdvAAT(Fixed(x_adv), attribution=right(2, size))(net, x, y)
    out.loss.backward()
    assert float(out.parts["pcl"]) == 0.5
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())
    assert bool(net.fc2.weight.grad.any())
    adv = AdvAATAttack(eps=0.1, alpha=0.05, steps=2)(net, x, y)
    assert bool(adv.isfinite().all())


@pytest.mark.parametrize("lam", [0.0, 1.0, 30.0])
def test_the_attack_follows_ce_of_the_network_and_pcl_of_its_twin(
    conv_net: Callable[..., nn.Module], pair: Pair, lam: float
) -> None:
    net = conv_net(F.relu).double().eval()
    twin = conv_net(partial(F.softplus, beta=20.0)).double().eval()
    x, x_adv, y = pair
    attack = AdvAATAttack(eps=0.3, alpha=0.01, steps=1, lam=lam, attribution=right(3), surrogate_beta=20.0)
    reference = attack.prepare(net, x, y)
    found = attack.gradient(net, x_adv, *reference)
    adv = x_adv.clone().requires_grad_()
    pcl = plain_pcl(plain_ig(net, x, y, 3).detach(), plain_ig(twin, adv, y, 3))
    value = F.cross_entropy(net(adv), y, reduction="none") + lam * pcl
    torch.testing.assert_close(found, torch.autograd.grad(value.sum(), adv)[0], rtol=1e-8, atol=1e-12)
    scored = F.cross_entropy(net(x_adv), y, reduction="none")
    scored = scored + lam * plain_pcl(plain_ig(net, x, y, 3), plain_ig(net, x_adv, y, 3))
    torch.testing.assert_close(attack.value(net, x_adv, *reference).detach(), scored.detach())


@pytest.mark.parametrize("part", [AdvAAT, AdvAATAttack])
def test_impossible_settings(part: type[AdvAAT | AdvAATAttack]) -> None:
    with pytest.raises(HoldfastError, match="lam is -1"):
        part(lam=-1)
