"""IFIA and its random control: what is scored, what is followed, what is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import HoldfastError, kendall_tau, topk_intersection
from holdfast.attacks import Goal, KendallGoal, TopKGoal
from holdfast.attacks import attribution_attack as module
from holdfast.attacks import ifia as ifia_module
from holdfast.attacks.attribution_attack import Scores
from holdfast.attribution import IntegratedGradients
from tests.attacks.ifia_kinds import EPS, KINDS, Batch, attack, control, each_goal, maps


@pytest.mark.parametrize("kind", KINDS)
def test_protocol(trained: nn.Module, batch: Batch, kind: str) -> None:
    images, labels = batch
    result = KINDS[kind].run(trained, *batch, generator=torch.Generator().manual_seed(0))
    adv, won = result.adv_images, result.succeeded
    assert float((adv - images).abs().max()) <= EPS + 1e-6
    assert float(adv.min()) >= 0
    assert float(adv.max()) <= 1
    assert int(won[:10].sum()) >= 8
    assert torch.equal(trained(adv).argmax(1)[:10], labels[:10])
    assert not bool(won[10:].any())
    assert torch.equal(adv[~won], images[~won])
    assert bool((adv[won] != images[won]).flatten(1).any(1).all())
    assert bool((result.score[~won] == 1).all())
    assert bool((result.score[won] < 1).all())
    assert torch.equal(result.best_step > 0, won)
    assert int(result.best_step.max()) <= 16
    assert result.history.shape == (16,)
    assert bool((result.history.diff() <= 0).all())
    assert float(result.history[-1]) == pytest.approx(float(result.score.mean()), abs=1e-6)
    recomputed = kendall_tau(maps(trained, adv, labels), maps(trained, images, labels))
    torch.testing.assert_close(result.score, recomputed, rtol=0, atol=1e-5)


def test_topk_selection_reports_its_own_score(trained: nn.Module, batch: Batch) -> None:
    images, labels = batch
    result = attack(select="topk").run(trained, *batch)
    recomputed = topk_intersection(maps(trained, result.adv_images, labels), maps(trained, images, labels), 10)
    torch.testing.assert_close(result.score, recomputed)
    assert float(result.score[:10].mean()) < 0.9


def test_every_iterate_is_scored_inside_ball_and_box(
    trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    score = Scores.score

    def spy(self: Scores, adv: Tensor) -> Tensor:
        seen.append(adv)
        return score(self, adv)

    monkeypatch.setattr(Scores, "score", spy)
    result = attack(random_start=True, restarts=2).run(trained, *batch)
    assert len(seen) == 16
    for adv in seen:
        assert float((adv - batch[0]).abs().max()) <= EPS + 1e-6
        assert 0 <= float(adv.min()) <= float(adv.max()) <= 1
    for i, best in enumerate(result.best_step.tolist()):
        if best:
            assert torch.equal(result.adv_images[i], seen[best - 1][i])


@pytest.mark.parametrize("select", ["kendall", "topk"])
def test_only_iterates_that_keep_the_label_are_scored(
    trained: nn.Module, batch: Batch, select: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = batch
    strong = partial(attack, eps=0.4, alpha=0.1, select=select)
    monkeypatch.setattr(module, "READABLE", set())
    expected = strong().run(trained, images, labels)
    monkeypatch.setattr(module, "READABLE", {"cpu"})
    seen: list[tuple[Tensor, Tensor]] = []
    scored = Scores.magnitudes

    def spy(self: Scores, x: Tensor, y: Tensor) -> Tensor:
        seen.append((x, y))
        return scored(self, x, y)

    monkeypatch.setattr(Scores, "magnitudes", spy)
    found = strong().run(trained, images, labels)
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-6)
    iterates = seen[1:]
    assert 0 < sum(len(x) for x, _ in iterates) < 0.8 * 8 * len(images)
    assert all(torch.equal(trained(x).argmax(1), y) for x, y in iterates)


class BreaksFarOut(nn.Module):
    """Its logits are NaN for images that differ enough from those it was made with."""

    def __init__(self, net: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.net, self.images = net, images

    def forward(self, x: Tensor) -> Tensor:
        far = len(x) == len(self.images) and float((x - self.images).detach().abs().max()) > 0.1
        return self.net(x) * (float("nan") if far else 1.0)


def test_a_network_that_breaks_on_the_way_is_an_error(trained: nn.Module, batch: Batch) -> None:
    images, labels = (t[:10] for t in batch)
    with pytest.raises(HoldfastError, match="NaN, which has no rank"):
        attack().run(BreaksFarOut(trained, images), images, labels)


def test_the_best_iterate_is_the_first_of_the_smallest(
    trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.5, 0.5, 0.7, 1.0, 0.5, 0.6, 0.5])
    monkeypatch.setattr(Scores, "score", lambda self, adv: torch.full((12,), next(scores)))
    result = attack().run(trained, *batch)
    assert result.best_step.tolist() == [2] * 12
    torch.testing.assert_close(result.history, torch.tensor([0.9] + [0.5] * 7))
    monkeypatch.setattr(Scores, "score", lambda self, adv: torch.ones(12))
    assert not bool(attack().run(trained, *batch).succeeded.any())


def test_call_returns_the_images_of_run(trained: nn.Module, batch: Batch) -> None:
    assert torch.equal(attack()(trained, *batch), attack().run(trained, *batch).adv_images)


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The gradients that attacks step along."""
    seen: list[Tensor] = []
    step = ifia_module.step

    def note(adv: Tensor, gradient: Tensor, *rest: Any) -> Tensor:
        seen.append(gradient)
        return step(adv, gradient, *rest)

    monkeypatch.setattr(ifia_module, "step", note)
    return seen


@each_goal
def test_first_step_moves(trained: nn.Module, batch: Batch, goal: Goal, followed: list[Tensor]) -> None:
    """From the clean image itself; for mass_center because the clean centre is rounded to a pixel."""
    images, labels = (t[:10] for t in batch)
    found = attack(steps=1, goal=goal).run(trained, images, labels)
    assert len(followed) == 1
    assert bool((followed[0].flatten(1).norm(dim=1) > 1e-6).all())
    assert bool(found.succeeded.any())


@each_goal
def test_direction_is_the_gradient_of_the_goal(
    trained: nn.Module, batch: Batch, goal: Goal, followed: list[Tensor]
) -> None:
    """Central differences in float64 through the softplus network."""
    net = trained.double()
    net[2] = nn.AvgPool2d(2)
    images, labels = batch[0][:3].double().clamp(0.2, 0.8), batch[1][:3]
    attack(steps=1, goal=goal, surrogate_beta=5.0)(net, images, labels)
    clean = maps(net, images, labels).flatten(1)

    twin = nn.Sequential(*[nn.Softplus(beta=5.0) if isinstance(m, nn.ReLU) else m for m in net])
    top = clean.argsort(dim=1, descending=True, stable=True)[:, :10]

    def centre(share: Tensor) -> Tensor:
        grid = torch.arange(8, dtype=torch.float64)
        square = share.view(-1, 8, 8)
        return torch.stack([(square.sum(2) * grid).sum(1), (square.sum(1) * grid).sum(1)], dim=1)

    def value(x: Tensor) -> Tensor:
        share = maps(twin, x, labels).flatten(1)
        share = share / share.sum(1, keepdim=True)
        if isinstance(goal, TopKGoal):
            return -share.gather(1, top).sum(1)
        if isinstance(goal, KendallGoal):
            ranks = clean.argsort(dim=1).argsort(dim=1).double()  # float64 maps of this network have no ties
            centred = (ranks - ranks.mean(1, keepdim=True)) / 64
            return -(centred * torch.log(64 * share + 0.05)).sum(1)
        normal = clean / clean.sum(1, keepdim=True)
        return (centre(share) - centre(normal).round()).square().sum(1)

    h = 1e-6
    tangent = torch.randn(images.shape, dtype=torch.float64)
    slope = (value(images + h * tangent) - value(images - h * tangent)) / (2 * h)
    found = (followed[0] * tangent).flatten(1).sum(1)
    torch.testing.assert_close(found, slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("beta", [None, 30.0])
@each_goal
def test_chunks_change_nothing(trained: nn.Module, batch: Batch, goal: Goal, beta: float | None) -> None:
    net, images, labels = trained.double(), batch[0][:6].double(), batch[1][:6]
    build = partial(attack, steps=3, goal=goal, surrogate_beta=beta)
    whole = build().run(net, images, labels)
    assert bool(whole.succeeded.any())
    for size in (1, 5):
        chunked = IntegratedGradients(n_steps=6, internal_batch_size=size)
        found = build(attribution=chunked).run(net, images, labels)
        torch.testing.assert_close(found.adv_images, whole.adv_images, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.score, whole.score, rtol=0, atol=1e-12)


def test_stronger_than_random_signs(trained: nn.Module, batch: Batch) -> None:
    """The top-k goal than one draw, in its own set: 20 draws light up the background of digits and come as far.

    The Kendall goal than 20 draws.
    """
    images, labels = (t[:10] for t in batch)

    def mean_score(select: str = "topk", **kwargs: Any) -> float:
        built = attack(eps=0.3, steps=20, select=select, **kwargs)
        return float(built.run(trained, images, labels).score.mean())

    def random(draws: int, select: str) -> float:
        signs = control(eps=0.3, draws=draws, select=select)
        return float(signs.run(trained, images, labels, generator=torch.Generator().manual_seed(0)).score.mean())

    once = random(1, "topk")
    assert mean_score() < once - 0.15
    assert mean_score(surrogate_beta=None) < once - 0.1
    assert random(20, "topk") < once - 0.15
    ordered = [mean_score("kendall", **kwargs) for kwargs in ({"goal": KendallGoal()}, {}, {"surrogate_beta": None})]
    assert ordered[0] < random(20, "kendall") - 0.15
    assert ordered[0] < ordered[1] - 0.1 < ordered[2] - 0.2


def test_a_map_without_order_is_no_success(trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its correlation with anything is 0, the smallest score of all."""
    images, labels = (t[:10] for t in batch)
    scored = Scores.magnitudes
    for constant, won in ((0.0, False), (0.3, False), (None, True)):

        def flattened(self: Scores, x: Tensor, y: Tensor, constant: float | None = constant) -> Tensor:
            if constant is None or torch.equal(x, images):
                return scored(self, x, y)
            return torch.full_like(x, constant)

        monkeypatch.setattr(Scores, "magnitudes", flattened)
        result = attack().run(trained, images, labels)
        assert bool(result.succeeded.any()) is won
        assert won or torch.equal(result.adv_images, images)


def test_steps_without_gradient_stay_put(trained: nn.Module, batch: Batch) -> None:
    zero = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(zero[1].weight)
    labels = zero(batch[0]).argmax(1)
    result = attack().run(zero, batch[0], labels)
    assert torch.equal(result.adv_images, batch[0])
    assert bool(result.adv_images.isfinite().all())
