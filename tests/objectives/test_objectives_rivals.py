"""What ART, SSR, LGA and R2ET have in common: exact gradients, no coupling of images, nothing left behind, cost."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from holdfast import ART, LGA, R2ET, SSR
from holdfast.attacks import Attack
from holdfast.models import SmallCNN
from holdfast.models.state import Model
from holdfast.objectives import ARTAttack, Objective, lga
from tests.oracles import flops

Make = Callable[[str], nn.Module]
Triple = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Halfway(Attack):
    """Always half as bright."""

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return images / 2


RIVALS: dict[str, Objective] = {
    "ART": ART(Halfway(), lam=0.8, surrogate_beta=10.0),
    "SSR": SSR(lam=0.9),
    "LGA": LGA(eps=0.1, lam_l2=0.3, lam_cos=0.7),
    "R2ET": R2ET(k=7, lam1=5.0, lam2=0.6),
}
each_rival = pytest.mark.parametrize("name", RIVALS)


def fixed() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("network", ["F.relu", "residual", "relu6-inplace", "gelu", "mixed-smooth-and-not"])
@pytest.mark.parametrize("name", ["ART", "SSR", "R2ET"])
def test_parameter_gradients_are_those_of_the_loss(make_network: Make, pair: Triple, name: str, network: str) -> None:
    """Central differences; LGA holds one of its gradients fixed and is tested with its values."""
    net = make_network(network).double().eval()
    x, _, y = pair
    loss = lambda: RIVALS[name](net, x, y, generator=fixed()).loss  # noqa: E731
    parameters = [*net.parameters()]
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
    assert sum(bool(g.any()) for g in gradients) > len(gradients) / 2
    h = 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        tangent = torch.randn_like(parameter)
        slopes = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(tangent, alpha=sign * h)
                slopes.append(loss().detach())
                parameter.sub_(tangent, alpha=sign * h)
        expected = (slopes[0] - slopes[1]) / (2 * h)
        torch.testing.assert_close((gradient * tangent).sum(), expected, rtol=2e-5, atol=1e-7)


@each_rival
def test_a_batch_is_the_mean_of_its_images(
    make_network: Make, pair: Triple, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = torch.linspace(-0.1, 0.1, 128, dtype=torch.float64).view(1, 2, 8, 8)
    monkeypatch.setattr(lga, "random_start", lambda images, *_: (images + shift).clamp(0, 1))
    net = make_network("residual").double().eval()
    x, _, y = pair
    batch = RIVALS[name](net, x, y, generator=fixed())
    single = [RIVALS[name](net, x[i : i + 1], y[i : i + 1]) for i in range(3)]
    assert len({round(float(out.loss.detach()), 6) for out in single}) == 3
    for part, value in batch.parts.items():
        torch.testing.assert_close(value, torch.stack([out.parts[part] for out in single]).mean())
    found = torch.autograd.grad(batch.loss, [*net.parameters()])
    each = [torch.autograd.grad(out.loss, [*net.parameters()]) for out in single]
    torch.testing.assert_close(found, tuple(torch.stack(g).mean(0) for g in zip(*each, strict=True)))


@each_rival
def test_zero_initialised_last_layer(name: str) -> None:
    net = SmallCNN(4, in_channels=2, image_size=8)
    assert not bool(net.fc3.weight.any())
    out = RIVALS[name](net, torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1]))
    out.loss.backward()
    assert bool(out.loss.isfinite())
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    assert bool(net.fc3.weight.grad.any())


@each_rival
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(make_network: Make, name: str, grad: bool, training: bool) -> None:
    net = make_network("residual").train(training)
    net.bn2.eval()
    net.mix.requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    x, y = torch.rand(3, 2, 8, 8, requires_grad=grad), torch.tensor([0, 3, 1])
    flags = lambda: ([m.training for m in net.modules()], [p.requires_grad for p in net.parameters()])  # noqa: E731
    tensors = lambda: [x, y, *(p.grad for p in net.parameters()), *(() if training else net.state_dict().values())]  # noqa: E731
    before = flags(), copy.deepcopy([None if t is None else t.detach() for t in tensors()]), torch.get_rng_state()
    with torch.set_grad_enabled(grad):
        out = RIVALS[name](net, x, y, generator=fixed())
        assert torch.is_grad_enabled() == grad
    assert out.loss.requires_grad == grad
    assert not any(part.requires_grad for part in out.parts.values())
    assert flags() == before[0]
    assert x.requires_grad == grad
    assert x.grad is None
    if not training:  # else dropout draws from it
        assert torch.equal(torch.get_rng_state(), before[2])
    for now, then in zip(tensors(), before[1], strict=True):
        assert (now is None and then is None) or torch.equal(now, then)


@each_rival
@pytest.mark.parametrize("training", [True, False])
def test_the_cross_entropy_runs_in_the_callers_mode_and_all_else_in_evaluation(name: str, training: bool) -> None:
    modes: list[bool] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    net[3].register_forward_hook(lambda m, args, out: modes.append(m.training))
    net.train(training)
    RIVALS[name](net, torch.rand(4, 1, 3, 4), torch.tensor([0, 1, 2, 1])).loss.backward()
    assert sum(modes) == training
    assert len(modes) >= 2


@each_rival
def test_bfloat16_autocast_comes_close(make_network: Make, name: str) -> None:
    net = make_network("F.relu")
    x, y = torch.rand(8, 2, 8, 8), torch.arange(8) % 4
    exact = RIVALS[name](net, x, y, generator=fixed())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = RIVALS[name](net, x, y, generator=fixed())
    rough.loss.backward()
    for part, value in rough.parts.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact.parts[part], rtol=0.1, atol=1e-3)
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "cost"), [("ART", 21.25), ("SSR", 20), ("LGA", 9), ("LGA x 3", 17), ("R2ET", 26), ("SSR, 4 classes", 14)]
)
def test_cost(name: str, cost: float) -> None:
    """In forward passes an image, as the docstrings say; ART's check of its labels is one image of four."""
    objective = LGA(eps=0.1, samples=3) if name == "LGA x 3" else RIVALS[name.split(",")[0]]
    net = SmallCNN(4 if "4" in name else 10, in_channels=3, image_size=16).eval()
    nn.init.normal_(net.fc3.weight, std=0.1)
    x, y = torch.rand(4, 3, 16, 16), torch.arange(4)
    with torch.no_grad():
        forward = flops(lambda: net(x))
    assert flops(lambda: objective(net, x, y).loss.backward()) / forward == pytest.approx(cost, rel=0.01)


def test_cost_of_arts_attack() -> None:
    """2 forward passes for the mask, 6 a step, and the check of the labels on one image of four."""
    net = SmallCNN(10, in_channels=3, image_size=16).eval()
    nn.init.normal_(net.fc3.weight, std=0.1)
    x, y = torch.rand(4, 3, 16, 16), torch.arange(4)
    with torch.no_grad():
        forward = flops(lambda: net(x))
    attack = ARTAttack(eps=0.1, alpha=0.02, steps=5, k=10)
    assert flops(lambda: attack(net, x, y)) / forward == pytest.approx(2 + 6 * 5 + 0.25, rel=0.01)
