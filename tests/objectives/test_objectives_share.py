"""IGR on a part of each batch: an unbiased estimate, its exact gradient, its cost; and the warm-up of the radius."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from holdfast import AT, IGR, LGA, PGD, TPGD, TRADES, AdvAAT, IGNorm, igr_penalty
from holdfast.attribution import IntegratedGradients
from holdfast.errors import HoldfastError
from holdfast.models import SmallCNN
from holdfast.objectives import IGRAttack, Objective, Standard
from holdfast.train.config import OptimConfig
from holdfast.train.step import at_radius, radius_share
from tests.oracles import Fixed, flops

RIGHT = IntegratedGradients(3, "riemann_right")


def tiny() -> nn.Module:
    """Smooth, so that single images' gradients differ."""
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 3)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    x, x_adv = torch.rand(2, 6, 1, 2, 2, dtype=torch.float64)
    return x, x_adv, torch.tensor([0, 1, 2, 0, 1, 2])


def gradient(net: nn.Module, loss: Tensor) -> Tensor:
    grads = torch.autograd.grad(loss, [*net.parameters()], allow_unused=True, materialize_grads=True)
    return torch.cat([g.detach().flatten() for g in grads])


def penalty_gradient(net: nn.Module, batch: tuple[Tensor, Tensor, Tensor], rows: list[int]) -> Tensor:
    x, x_adv, y = (t[rows] for t in batch)
    return gradient(net, igr_penalty(net, x, x_adv, y, n_steps=3).mean())


def of_share(net: nn.Module, batch: tuple[Tensor, Tensor, Tensor], share: float, generator: torch.Generator) -> Tensor:
    """The gradient of the regulariser alone."""
    x, x_adv, y = batch
    base, objective = AT(Fixed(x_adv)), IGR(AT(Fixed(x_adv)), 1.0, RIGHT, share)
    return gradient(net, objective(net, x, y, generator=generator).loss) - gradient(net, base(net, x, y).loss)


def test_the_mean_over_draws_is_the_gradient_over_the_batch(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """To within the error of the mean of 600 draws of one image in three."""
    net, generator = tiny(), torch.Generator().manual_seed(0)
    draws = torch.stack([of_share(net, batch, 1 / 3, generator) for _ in range(600)])
    whole = of_share(net, batch, 1.0, generator)
    torch.testing.assert_close(whole, penalty_gradient(net, batch, [*range(6)]), rtol=1e-9, atol=1e-12)
    error = draws.std(0) / 600**0.5
    assert float(draws.std(0).max()) > 0.1 * float(whole.abs().max())
    assert bool(((draws.mean(0) - whole).abs() <= 4.5 * error + 1e-12).all())


def test_the_gradient_is_exactly_that_of_the_images_drawn(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """One of the pairs of six images, each of which turns up; the part that is logged is their mean too."""
    net, generator = tiny(), torch.Generator().manual_seed(1)
    pairs = [list(rows) for rows in combinations(range(6), 2)]
    single = torch.stack([penalty_gradient(net, batch, rows) for rows in pairs])
    x, x_adv, y = batch
    seen = set()
    for _ in range(150):
        state = generator.get_state()
        found = of_share(net, batch, 1 / 3, generator)
        distance = (single - found).abs().amax(1)
        assert float(distance.min()) < 1e-10
        rows = pairs[int(distance.argmin())]
        seen.add(tuple(rows))
        generator.set_state(state)
        out = IGR(AT(Fixed(x_adv)), 1.0, RIGHT, 1 / 3)(net, x, y, generator=generator)
        torch.testing.assert_close(out.parts["igr"], igr_penalty(net, x[rows], x_adv[rows], y[rows], n_steps=3).mean())
        assert out.x_adv is x_adv
    assert len(seen) == 15


def test_the_draw_depends_on_the_generator_alone(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    net, (x, x_adv, y) = tiny(), batch
    objective = IGR(AT(Fixed(x_adv)), 1.0, RIGHT, share=0.5)

    def drawn(seed: int | None) -> float:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return float(objective(net, x, y, generator=generator).parts["igr"])

    state = torch.get_rng_state()
    ours = [drawn(seed) for seed in range(8)]
    torch.manual_seed(5)
    assert [drawn(seed) for seed in range(8)] == ours
    assert len(set(ours)) > 3
    torch.set_rng_state(state)
    assert len({drawn(None) for _ in range(12)}) > 1
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("share", "images"), [(0.01, 1), (1 / 3, 2), (0.5, 3), (0.9, 5), (1.0, 6)])
def test_how_many_images(batch: tuple[Tensor, Tensor, Tensor], share: float, images: int) -> None:
    """At least one, and both of each pair pass through the network at each point of the path."""
    net, (x, x_adv, y) = tiny(), batch
    passed: list[int] = []
    objective = IGR(AT(Fixed(x_adv)), 1.0, RIGHT, share)
    plain = AT(Fixed(x_adv))
    net.register_forward_hook(lambda module, args, out: passed.append(len(args[0])))
    plain(net, x, y)
    base = sum(passed)
    passed.clear()
    objective(net, x, y)
    assert sum(passed) - base == 2 * 3 * images + 1  # and the check of the labels, on one image


@pytest.mark.parametrize("base", [lambda steps: AT(PGD(0.3, 0.1, steps)), lambda steps: TRADES(TPGD(0.3, 0.1, steps))])
@pytest.mark.parametrize(("steps", "most"), [(5, 1.4), (10, 1.25)])
def test_an_eighth_costs_little_beside_its_base(base: type[AT], steps: int, most: float) -> None:
    """The whole training step, five points a path; and the estimate of the part agrees."""
    net = SmallCNN().eval()
    nn.init.normal_(net.fc3.weight, std=0.1)
    x, y = torch.rand(16, 1, 28, 28), torch.arange(16) % 10
    alone = base(steps)
    objective = IGR(alone, 1.0, IntegratedGradients(5, "riemann_right"), share=1 / 8)
    costs = [flops(lambda o=o: o(net, x, y).loss.backward()) for o in (alone, objective)]
    assert 1.05 < costs[1] / costs[0] <= most
    assert objective.cost / alone.cost == pytest.approx(costs[1] / costs[0], rel=0.02)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
def test_impossible_shares(share: float) -> None:
    with pytest.raises(HoldfastError, match=r"share is .*more than 0 and at most 1"):
        IGR(share=share)


def radii(objective: Objective) -> list[float]:
    """Of the attacks, outer before inner."""
    found = [objective.eps] if isinstance(objective, LGA) else []
    if isinstance(objective, IGR):
        found += [] if objective.attack is None else [objective.attack.eps]  # type: ignore[attr-defined]
        return found + radii(objective.base)
    attack = getattr(objective, "attack", None)
    return found + ([] if attack is None else [attack.eps])


@pytest.mark.parametrize(
    "objective",
    [
        AT(PGD(0.3, 0.1, 4, restarts=2)),
        TRADES(TPGD(0.3, 0.1, 4), beta=3.0),
        IGR(Standard(PGD(0.2, 0.1)), attack=IGRAttack(0.1, 0.05), share=0.5),
        IGNorm(),
        AdvAAT(),
        LGA(eps=0.1),
        Standard(),
    ],
    ids=lambda objective: objective.title,
)
def test_the_radius_shrinks_and_nothing_else(objective: Objective) -> None:
    half = at_radius(objective, 0.5)
    assert radii(half) == pytest.approx([0.5 * eps for eps in radii(objective)])
    assert at_radius(half, 2.0) == objective
    assert at_radius(objective, 1.0) is objective
    assert type(half) is type(objective)


def test_step_sizes_stay() -> None:
    attack = at_radius(AT(PGD(0.3, 0.1, 4)), 0.1).attack  # type: ignore[attr-defined]
    assert attack == replace(PGD(0.3, 0.1, 4), eps=0.3 * 0.1)


def test_the_radius_grows_linearly_and_stays() -> None:
    shares = [radius_share(OptimConfig(eps_warmup=0.4), step, 10) for step in range(10)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])
    assert [radius_share(OptimConfig(), step, 10) for step in (0, 9)] == [1, 1]
    assert radius_share(OptimConfig(eps_warmup=1.0), 9, 10) == 1
