"""What the inner attacks of the attribution defences, and those defences, have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import IGR, AdvAAT, HoldfastError, IGNorm, IGSumNorm, Standard
from holdfast.attacks.base import random_start
from holdfast.attribution import IntegratedGradients
from holdfast.models import SmallCNN
from holdfast.objectives import AdvAATAttack, IGNormAttack, IGRAttack, IGSumNormAttack, Objective
from holdfast.objectives.ascent import AttributionAscent
from tests.oracles import Fixed, flops, plain_distance, plain_ig

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]
Batch = tuple[Tensor, Tensor]
Build = Callable[..., AttributionAscent]


def right(n_steps: int, size: int | None = None) -> IntegratedGradients:
    return IntegratedGradients(n_steps, "riemann_right", internal_batch_size=size)


def norm(kind: Build) -> Build:
    return lambda n_steps=5, size=None, **rest: kind(n_steps=n_steps, internal_batch_size=size, **rest)


def maps(kind: Build, **own: Any) -> Build:
    return lambda n_steps=5, size=None, **rest: kind(attribution=right(n_steps, size), **{**own, **rest})


ATTACKS: dict[str, Build] = {
    "IGNorm": norm(IGNormAttack),
    "IGSumNorm": norm(IGSumNormAttack),
    "AdvAAT": maps(AdvAATAttack),
    "AdvAAT relu": maps(AdvAATAttack, surrogate_beta=None),
    "IGR": maps(IGRAttack),
    "IGR relu": maps(IGRAttack, surrogate_beta=None),
}
each_attack = pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in ATTACKS.items()])
few = {"eps": 0.1, "alpha": 0.05, "steps": 2, "n_steps": 2}
OBJECTIVES: dict[str, Objective] = {
    "IGNorm": IGNorm(ATTACKS["IGNorm"](**few), n_steps=2),
    "IGSumNorm": IGSumNorm(ATTACKS["IGSumNorm"](**few), n_steps=2),
    "AdvAAT": AdvAAT(ATTACKS["AdvAAT"](**few), attribution=right(2)),
    "IGR": IGR(Standard(), attribution=right(2), attack=ATTACKS["IGR"](**few)),
    "IGNorm chunked": IGNorm(ATTACKS["IGNorm"](**few), n_steps=2, internal_batch_size=3),
    "AdvAAT chunked": AdvAAT(ATTACKS["AdvAAT"](**few), attribution=right(2, 3)),
}


def own_value(attack: AttributionAscent, net: nn.Module, adv: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What the attack is to raise, on the network itself, by plain autograd."""
    lam, n_steps = getattr(attack, "lam", 1.0), attack.path_points
    ce = F.cross_entropy(net(adv), y, reduction="none")
    if isinstance(attack, IGNormAttack):
        total = torch.zeros_like(x)
        for k in range(1, n_steps + 1):
            z = (x + k / n_steps * (adv - x)).requires_grad_()
            total += torch.autograd.grad(F.cross_entropy(net(z), y, reduction="sum"), z)[0] / n_steps
        norm = ((adv - x) * total).abs().flatten(1).sum(1)
        return (ce + lam * norm if isinstance(attack, IGSumNormAttack) else norm).detach()
    a, b = (plain_ig(net, images, y, n_steps) for images in (x, adv))
    if isinstance(attack, IGRAttack):
        return plain_distance(a, b).detach()
    a, b = (m - m.mean(1, keepdim=True) for m in (a, b))
    return (ce + lam * plain_distance(a, b) / 2).detach()


@each_attack
def test_its_own_objective_rises(build: Build, trained: nn.Module, digits: Batch) -> None:
    x, y = digits[0][:60], digits[1][:60]
    attack = build(eps=0.1, alpha=0.02, steps=12)
    adv = attack(trained, x, y, generator=torch.Generator().manual_seed(5))
    start = random_start(x, 0.1, "Linf", torch.Generator().manual_seed(5))
    before, after = (own_value(attack, trained, images, x, y) for images in (start, adv))
    assert float((after > before).float().mean()) > 0.7
    assert float(after.mean()) > 1.1 * float(before.mean())
    torch.testing.assert_close(
        attack.value(trained, adv, *attack.prepare(trained, x, y)).detach(), after, rtol=1e-3, atol=1e-5
    )


@each_attack
@pytest.mark.parametrize("eps", [0.0, 0.03, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ball_and_box(build: Build, make_network: MakeNetwork, pair: Pair, eps: float, dtype: torch.dtype) -> None:
    net = make_network("residual").to(dtype)
    x, y = pair[0].to(dtype).round(decimals=1), pair[2]
    adv = build(eps=eps, alpha=0.05, steps=3, n_steps=2)(net, x, y)
    assert (adv.shape, adv.dtype, adv.requires_grad) == (x.shape, dtype, False)
    assert float((adv - x).abs().max()) <= eps + 1e-6
    assert (float(adv.min()) >= 0, float(adv.max()) <= 1) == (True, True)
    assert eps == 0 or float((adv - x).abs().max()) > eps / 2


@each_attack
@pytest.mark.parametrize("grad", [False, True])
def test_nothing_is_left_behind(build: Build, make_network: MakeNetwork, pair: Pair, grad: bool) -> None:
    net = make_network("residual")
    net.bn2.eval()
    net.mix.requires_grad_(False)
    for p in net.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    x, y = pair[0].float().requires_grad_(), pair[2]

    def flags() -> list[object]:
        return [[m.training for m in net.modules()], [p.requires_grad for p in net.parameters()], x.requires_grad]

    def values() -> list[Tensor | None]:
        return [*net.state_dict().values(), *(p.grad for p in net.parameters()), torch.get_rng_state(), x.grad]

    before = copy.deepcopy([v if v is None else v.detach() for v in values()])
    before_flags = flags()
    with torch.set_grad_enabled(grad):
        adv = build(**few, restarts=2)(net, x, y)
    assert float((adv - x).detach().abs().max()) > 0.01
    assert flags() == before_flags
    for a, b in zip(values(), before, strict=True):
        assert (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))


@each_attack
def test_the_generator_decides(build: Build, make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("F.relu")
    x, y = pair[0].float(), pair[2]

    def run(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return build(eps=0.15, alpha=0.01, steps=2)(net, x, y, generator=generator)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert not torch.equal(run(None), run(None))


@each_attack
def test_restarts_return_the_run_of_the_largest_value(build: Build, trained: nn.Module, digits: Batch) -> None:
    """By the objective alone: an image that is misclassified has no precedence."""
    net, x, y = trained.double(), digits[0][:40].double(), digits[1][:40]
    settings = {"eps": 0.1, "alpha": 0.03, "steps": 2, "n_steps": 3}
    one, generator = build(**settings), torch.Generator().manual_seed(3)
    runs = [one(net, x, y, generator=generator) for _ in range(3)]
    singles = torch.stack([own_value(one, net, adv, x, y) for adv in runs])
    best = build(**settings, restarts=3)(net, x, y, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(own_value(one, net, best, x, y), singles.amax(0))
    assert len(singles.argmax(0).unique()) == 3


@each_attack
def test_chunks_change_nothing(build: Build, make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    x, y = pair[0], pair[2]

    def run(size: int | None) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        settings = {"eps": 0.2, "alpha": 0.03, "steps": 2, "n_steps": 4}
        return build(**settings, size=size)(net, x, y, generator=generator)

    for size in (1, 5, 100):
        torch.testing.assert_close(run(size), run(None))


@pytest.mark.parametrize("build", [ATTACKS[name] for name in ("IGSumNorm", "AdvAAT", "IGR")])
def test_a_batch_is_many_single_images(build: Build, make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    x, y = pair[0], pair[2]
    attack = build(**few, random_start=False).on(net)
    torch.testing.assert_close(attack(x, y), torch.cat([attack(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]))


def test_any_callable_can_be_attacked() -> None:
    weight = torch.randn(6, 3)
    for build in ATTACKS.values():
        adv = build(**few)(lambda x: F.relu(x) @ weight, torch.rand(4, 6), torch.tensor([0, 1, 2, 0]))
        assert adv.shape == (4, 6)


@pytest.mark.parametrize("name", ["n_steps", "internal_batch_size"])
@pytest.mark.parametrize("kind", [IGNormAttack, IGSumNormAttack])
def test_impossible_counts(kind: type[IGNormAttack], name: str) -> None:
    with pytest.raises(HoldfastError, match=f"{name} is 0"):
        kind(**{name: 0})


@each_attack
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surrogate_beta": -1.0}, r"surrogate_beta is -1\.0"),
        ({"steps": 0}, "steps is 0"),
        ({"eps": -0.1}, r"eps is -0\.1"),
        ({"alpha": 0.0}, r"alpha is 0\.0"),
        ({"restarts": 0}, "restarts is 0"),
    ],
)
def test_impossible_settings(build: Build, change: dict[str, Any], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build(**{**few, **change})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_cross_entropy_runs_in_the_callers_mode_and_all_else_in_evaluation(name: str) -> None:
    active: list[bool] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    net[3].register_forward_hook(lambda m, args, out: active.append(bool((out != args[0]).any())))
    x, y = torch.rand(4, 1, 3, 4), torch.tensor([0, 1, 2, 1])
    for training in (True, False):
        active.clear()
        OBJECTIVES[name](net.train(training), x, y).loss.backward()
        assert sum(active) == training
        assert len(active) > 4
        assert net.training is training


@pytest.mark.parametrize("name", OBJECTIVES)
def test_batch_norm_in_training_mode(name: str, make_network: MakeNetwork, pair: Pair) -> None:
    """The statistics move once, before anything keeps them for its backward pass; the attack leaves them."""
    net, reference = (make_network("residual").double() for _ in range(2))
    x, y = pair[0], pair[2]
    out = OBJECTIVES[name](net, x, y)
    out.loss.backward()
    reference(out.x_adv if name.startswith(("IGSum", "AdvAAT")) else x)
    torch.testing.assert_close(net.bn1.running_mean, reference.bn1.running_mean)
    assert int(net.bn1.num_batches_tracked) == 1
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def cost(run: Callable[[int], object], few: int, more: int) -> float:
    """Floating-point operations a unit of the argument, which a constant share cannot blur."""
    totals = []
    for count in (few, more):
        totals.append(flops(lambda count=count: run(count)))
    return (totals[1] - totals[0]) / (more - few)


def test_cost_in_forward_passes() -> None:
    """The figures of the docstrings; (in one piece, in chunks) a path point, and the rest of an attack's step."""
    net = SmallCNN(10, in_channels=3, image_size=16).eval()
    nn.init.normal_(net.fc3.weight, std=0.1)
    x, x_adv = torch.rand(2, 4, 3, 16, 16)
    y, fixed = torch.arange(4), Fixed(x_adv)
    forward = cost(lambda times: [net(x) for _ in range(times)], 0, 1)
    objectives: dict[Callable[[int, int | None], Objective], tuple[int, int]] = {
        lambda n, size: IGNorm(fixed, n_steps=n, internal_batch_size=size): (6, 8),
        lambda n, size: IGSumNorm(fixed, n_steps=n, internal_batch_size=size): (6, 8),
        lambda n, size: AdvAAT(fixed, attribution=right(n, size)): (8, 12),
    }
    for objective, expected in objectives.items():
        for size, points in zip((None, 4), expected, strict=True):

            def descend(n: int, size: int | None = size, objective: Any = objective) -> None:
                objective(n, size)(net, x, y).loss.backward()

            assert cost(descend, 5, 10) / forward == pytest.approx(points, rel=0.01)
    attacks = {
        "IGNorm": (4, 6, 0),
        "IGSumNorm": (4, 6, 2),
        "AdvAAT": (4, 6, 2),
        "IGR": (4, 6, 0),
        "IGR relu": (2, 4, 0),
    }
    for name, (*expected, rest) in attacks.items():
        for size, points in zip((None, 3), expected, strict=True):

            def ascend(steps: int, size: int | None = size, name: str = name) -> None:
                ATTACKS[name](eps=0.1, alpha=0.1, steps=steps, n_steps=5, size=size)(net, x, y)

            assert cost(ascend, 1, 3) / forward == pytest.approx(5 * points + rest, rel=0.01)
