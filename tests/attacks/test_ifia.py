from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from holdfast import IFIA, HoldfastError, integrated_gradients, kendall_tau, topk_intersection
from holdfast.attacks import ifia as ifia_module

EPS = 0.15
attack = partial(IFIA, eps=EPS, alpha=0.03, steps=8, k=10, n_steps=6)
each_objective = pytest.mark.parametrize("objective", ["topk", "mass_center", "random"])
Batch = tuple[Tensor, Tensor]


@pytest.fixture
def batch(trained: nn.Module, digits: Batch) -> Batch:
    """Twelve images, the last two with a wrong label."""
    images, labels = (t[:200] for t in digits)
    right = (trained(images).argmax(1) == labels).nonzero()[:12, 0]
    assert len(right) == 12
    labels = labels[right].clone()
    labels[-2:] = (labels[-2:] + 1) % 10
    return images[right], labels


def maps(net: nn.Module, images: Tensor, labels: Tensor, n_steps: int = 6) -> Tensor:
    return integrated_gradients(net, images, labels, n_steps=n_steps).abs()


@each_objective
def test_protocol(trained: nn.Module, batch: Batch, objective: str) -> None:
    images, labels = batch
    generator = torch.Generator().manual_seed(0)
    result = attack(trained, objective=objective, generator=generator, restarts=2, random_start=True).run(*batch)
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
    result = attack(trained, select="topk").run(*batch)
    recomputed = topk_intersection(maps(trained, result.adv_images, labels), maps(trained, images, labels), 10)
    torch.testing.assert_close(result.score, recomputed)
    assert float(result.score[:10].mean()) < 0.9


def test_every_iterate_is_scored_inside_ball_and_box(
    trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    score = IFIA._score

    def spy(self: IFIA, adv: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
        seen.append(adv)
        return score(self, adv, labels, clean)

    monkeypatch.setattr(IFIA, "_score", spy)
    result = attack(trained, random_start=True, restarts=2).run(*batch)
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
    monkeypatch.setattr(ifia_module, "READABLE", set())
    expected = strong(trained).run(images, labels)
    monkeypatch.setattr(ifia_module, "READABLE", {"cpu"})
    seen: list[tuple[Tensor, Tensor]] = []
    scored = IFIA._scored_map

    def spy(self: IFIA, x: Tensor, y: Tensor) -> Tensor:
        seen.append((x, y))
        return scored(self, x, y)

    monkeypatch.setattr(IFIA, "_scored_map", spy)
    found = strong(trained).run(images, labels)
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
        attack(BreaksFarOut(trained, images)).run(images, labels)


def test_the_best_iterate_is_the_first_of_the_smallest(
    trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.5, 0.5, 0.7, 1.0, 0.5, 0.6, 0.5])
    monkeypatch.setattr(IFIA, "_score", lambda self, adv, labels, clean: torch.full((12,), next(scores)))
    result = attack(trained).run(*batch)
    assert result.best_step.tolist() == [2] * 12
    torch.testing.assert_close(result.history, torch.tensor([0.9] + [0.5] * 7))
    monkeypatch.setattr(IFIA, "_score", lambda self, adv, labels, clean: torch.ones(12))
    assert not bool(attack(trained).run(*batch).succeeded.any())


def test_call_returns_the_images_of_run(trained: nn.Module, batch: Batch) -> None:
    assert torch.equal(attack(trained)(*batch), attack(trained).run(*batch).adv_images)


@each_objective
def test_first_step_moves(trained: nn.Module, batch: Batch, objective: str) -> None:
    """From the clean image itself; for mass_center because the clean centre is rounded to a pixel."""
    adv = IFIA(trained, eps=EPS, alpha=0.03, steps=1, k=10, n_steps=6, objective=objective)
    images, labels = (t[:10] for t in batch)
    clean = adv._scored_map(images, labels)
    if objective != "random":
        gradient = adv._gradient(images, labels, *adv._reference(images, clean))
        assert bool((gradient.flatten(1).norm(dim=1) > 1e-6).all())
    assert bool(adv.run(images, labels).succeeded.any())


@pytest.mark.parametrize("objective", ["topk", "mass_center"])
def test_direction_is_the_gradient_of_the_objective(trained: nn.Module, batch: Batch, objective: str) -> None:
    """Central differences in float64 through the softplus network."""
    net = trained.double()
    net[2] = nn.AvgPool2d(2)
    images, labels = batch[0][:3].double().clamp(0.2, 0.8), batch[1][:3]
    adv = IFIA(net, eps=EPS, alpha=0.03, steps=1, k=10, n_steps=6, objective=objective, surrogate_beta=5.0)
    clean = adv._scored_map(images, labels)
    reference = adv._reference(images, clean)

    twin = nn.Sequential(*[nn.Softplus(beta=5.0) if isinstance(m, nn.ReLU) else m for m in net])
    top = clean.argsort(dim=1, descending=True, stable=True)[:, :10]

    def centre(share: Tensor) -> Tensor:
        grid = torch.arange(8, dtype=torch.float64)
        square = share.view(-1, 8, 8)
        return torch.stack([(square.sum(2) * grid).sum(1), (square.sum(1) * grid).sum(1)], dim=1)

    def objective_value(x: Tensor) -> Tensor:
        share = maps(twin, x, labels).flatten(1)
        share = share / share.sum(1, keepdim=True)
        if objective == "topk":
            return -share.gather(1, top).sum(1)
        normal = clean / clean.sum(1, keepdim=True)
        return (centre(share) - centre(normal).round()).square().sum(1)

    h = 1e-6
    tangent = torch.randn(images.shape, dtype=torch.float64)
    slope = (objective_value(images + h * tangent) - objective_value(images - h * tangent)) / (2 * h)
    found = (adv._gradient(images, labels, *reference) * tangent).flatten(1).sum(1)
    torch.testing.assert_close(found, slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("beta", [None, 30.0])
@pytest.mark.parametrize("objective", ["topk", "mass_center"])
def test_chunks_change_nothing(trained: nn.Module, batch: Batch, objective: str, beta: float | None) -> None:
    net, images, labels = trained.double(), batch[0].double(), batch[1]
    build = partial(attack, net, steps=4, objective=objective, surrogate_beta=beta)
    whole = build().run(images, labels)
    assert bool(whole.succeeded.any())
    for size in (1, 5, 1000):
        found = build(internal_batch_size=size).run(images, labels)
        torch.testing.assert_close(found.adv_images, whole.adv_images, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.score, whole.score, rtol=0, atol=1e-12)


def test_stronger_than_random_signs(trained: nn.Module, batch: Batch) -> None:
    """In what it attacks, the top-k set. (Kendall's tau of digits is moved as far by lighting up the background.)"""
    images, labels = (t[:10] for t in batch)

    def mean_score(select: str = "topk", **kwargs: object) -> float:
        generator = torch.Generator().manual_seed(0)
        built = attack(trained, eps=0.3, steps=20, select=select, generator=generator, **kwargs)
        return float(built.run(images, labels).score.mean())

    random = mean_score(objective="random")
    assert mean_score() < random - 0.15
    assert mean_score(surrogate_beta=None) < random - 0.1
    ordered = [mean_score("kendall"), mean_score("kendall", surrogate_beta=None)]
    assert ordered[0] < ordered[1] - 0.1


def test_a_map_without_order_is_no_success(trained: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its correlation with anything is 0, the smallest score of all."""
    images, labels = (t[:10] for t in batch)
    clean = attack(trained)._scored_map(images, labels)
    scored = IFIA._scored_map
    for constant, won in ((0.0, False), (0.3, False), (None, True)):

        def flattened(self: IFIA, x: Tensor, y: Tensor, constant: float | None = constant) -> Tensor:
            if constant is None or torch.equal(x, images):
                return scored(self, x, y)
            return torch.full((len(x), clean.shape[1]), constant)

        monkeypatch.setattr(IFIA, "_scored_map", flattened)
        result = attack(trained).run(images, labels)
        assert bool(result.succeeded.any()) is won
        assert won or torch.equal(result.adv_images, images)


def test_steps_without_gradient_stay_put(trained: nn.Module, batch: Batch) -> None:
    zero = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(zero[1].weight)
    labels = zero(batch[0]).argmax(1)
    result = attack(zero).run(batch[0], labels)
    assert torch.equal(result.adv_images, batch[0])
    assert bool(result.adv_images.isfinite().all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 65}, "k is 65.*64 features"),
        ({"k": 0}, "k is 0"),
        ({"eps": -0.1}, "eps is -0.1"),
        ({"alpha": 0}, "alpha is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"restarts": 0}, "restarts is 0"),
        ({"objective": "top-k"}, "unknown objective 'top-k'.*did you mean topk"),
        ({"select": "spearman"}, "unknown select 'spearman'.*kendall, topk"),
        ({"surrogate_beta": -1.0}, "beta is -1.0"),
        ({"method": "simpson"}, "unknown quadrature method 'simpson'"),
        ({"internal_batch_size": 0}, "internal_batch_size is 0"),
    ],
)
def test_impossible_settings(trained: nn.Module, batch: Batch, change: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        attack(trained, **change)(*batch)


def test_mass_center_needs_images() -> None:
    net = nn.Linear(6, 2)
    with pytest.raises(HoldfastError, match=r"\(3, 6\).*mass_center"):
        attack(net, k=2, objective="mass_center")(torch.rand(3, 6), torch.tensor([0, 1, 0]))


def test_mass_center_by_hand() -> None:
    maps = torch.zeros(2, 2, 3, 4)
    maps[0, 0, 2, 1] = 2
    maps[0, 1, 0, 3] = 2
    assert ifia_module._mass_center(maps).tolist() == [[1, 2], [0, 0]]
