"""The ensemble: a minimum over its members, inside the ball, with the label, whatever is beside an image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from holdfast import HoldfastError, cosine_similarity, kendall_tau, topk_intersection
from holdfast.attacks import (
    IFIA,
    AnnealedIFIA,
    AutoFound,
    AutoIFIA,
    BlockSearch,
    CosineGoal,
    KendallGoal,
    RandomSigns,
    SoftTopKGoal,
    TargetGoal,
)
from holdfast.attacks.auto_members import Member
from holdfast.attacks.base import Attack
from holdfast.attacks.noise import noise_of
from holdfast.attacks.worst import Shortlist
from holdfast.attribution import External, IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.models.state import Model, evaluating
from holdfast.part_json import from_json, to_json
from tests.attacks.conftest import Known, seeded

EPS, K = 0.15, 10
FINE = IntegratedGradients(n_steps=20)
ALL = AutoIFIA(EPS, K, "quick", metrics=("topk", "kendall", "cosine"), attribution=FINE, scale=0.2)
SIMILARITY = {
    "topk": lambda a, b: topk_intersection(a.abs(), b.abs(), K),
    "kendall": lambda a, b: kendall_tau(a.abs(), b.abs()),
    "cosine": cosine_similarity,
}


def scores(known: Known, adv: Tensor, metric: str, attribution: Attribution = FINE) -> Tensor:
    maps, clean = (attribution.map(known.net, images, known.y) for images in (adv, known.x))
    return SIMILARITY[metric](maps, clean)


@pytest.fixture(scope="module")
def found(known: Known) -> AutoFound:
    return ALL.run(known.net, known.x, known.y, generator=seeded())


@pytest.mark.parametrize("metric", [*SIMILARITY])
def test_the_worst_is_a_minimum_over_the_members_and_what_the_images_score(
    known: Known, found: AutoFound, metric: str
) -> None:
    one = found.by_metric[metric]
    torch.testing.assert_close(one.score, found.reached[metric].amin(0).clamp(max=1))
    torch.testing.assert_close(scores(known, one.adv_images, metric), one.score, rtol=0, atol=1e-5)
    assert float((one.adv_images - known.x).abs().max()) <= EPS + 1e-6
    assert 0 <= float(one.adv_images.min()) <= float(one.adv_images.max()) <= 1
    assert torch.equal(known.net(one.adv_images).argmax(1), known.y)
    winners = found.winner[metric]
    assert bool((winners >= 0).all())
    by_winner = found.reached[metric].gather(0, winners[None])[0]
    torch.testing.assert_close(by_winner, one.score)
    assert bool((one.history.diff() <= 1e-7).all())


def test_the_first_metric_is_what_a_call_returns(known: Known, found: AutoFound) -> None:
    adv = ALL(known.net, known.x, known.y, generator=seeded())
    assert torch.equal(adv, found.adv_images)
    assert torch.equal(adv, found.by_metric["topk"].adv_images)
    assert found.members[:2] == ("random signs", "kendall")


def test_a_seed_decides_and_another_one_differs(known: Known, found: AutoFound) -> None:
    again = ALL.run(known.net, known.x, known.y, generator=seeded())
    assert all(torch.equal(again.by_metric[m].adv_images, one.adv_images) for m, one in found.by_metric.items())
    noise = noise_of(known.x, 0, "a")
    assert float(noise.abs().max()) <= 1
    assert not torch.equal(noise, noise_of(known.x, 1, "a"))
    assert not torch.equal(noise, noise_of(known.x, 0, "b"))


def test_an_image_does_not_depend_on_those_beside_it(known: Known, found: AutoFound) -> None:
    rows = torch.tensor([7, 2, 3])
    few = ALL.run(known.net, known.x[rows], known.y[rows], generator=seeded())
    for m, one in few.by_metric.items():
        torch.testing.assert_close(one.score, found.by_metric[m].score[rows], rtol=0, atol=1e-6)
        torch.testing.assert_close(one.adv_images, found.by_metric[m].adv_images[rows], rtol=0, atol=1e-6)


def test_an_image_with_a_wrong_label_comes_back(known: Known) -> None:
    labels = known.y.clone()
    labels[4] = (labels[4] + 1) % 10
    result = ALL.run(known.net, known.x, labels, generator=seeded())
    for one in result.by_metric.values():
        assert not bool(one.succeeded[4])
        assert torch.equal(one.adv_images[4], known.x[4])
        assert float(one.score[4]) == 1
    assert not bool(ALL.run(known.net, known.x[4:5], labels[4:5]).succeeded.any())


def test_stronger_than_ifia_and_random_signs_at_equal_forward_passes(known: Known) -> None:
    """IFIA with 5 points and a score of each step (11 F) against an ensemble of one metric."""
    five = IntegratedGradients(n_steps=5)
    for metric, budget in (("topk", "quick"), ("kendall", "standard")):
        auto = AutoIFIA(EPS, K, budget, metrics=(metric,), attribution=FINE, scale=0.5)  # type: ignore[arg-type]
        steps = int(auto.cost // (6 * 5 + 11))
        goal = KendallGoal() if metric == "kendall" else IFIA.goal
        ifia = IFIA(EPS, 0.01, steps, K, goal, five, select=metric)  # type: ignore[arg-type]
        control = RandomSigns(EPS, 20, K, FINE, select=metric)  # type: ignore[arg-type]
        ours = scores(known, auto(known.net, known.x, known.y, generator=seeded()), metric).mean()
        theirs = scores(known, ifia(known.net, known.x, known.y), metric).mean()
        noise = scores(known, control(known.net, known.x, known.y, generator=seeded()), metric).mean()
        assert float(ours) < float(theirs) - 0.01
        assert float(ours) < float(noise) - 0.01


def test_the_label_is_held_whatever_the_scale_of_the_logits(known: Known) -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return known.net(x) * 1024

    attack = AnnealedIFIA(0.25, 20, K, KendallGoal(), select="kendall")
    plain = attack.run(known.net, known.x, known.y)
    torch.testing.assert_close(attack.run(Scaled(), known.x, known.y).adv_images, plain.adv_images)
    free = replace(attack, hold=0.0)

    def lost(one: AnnealedIFIA) -> float:
        worst_of = AutoIFIA(0.25, K, "quick", metrics=("kendall",), attribution=FINE)
        alone = (Member("alone", "kendall", "image", one),)
        object.__setattr__(worst_of, "_annealed", lambda budget: alone)
        return float(worst_of.run(known.net, known.x, known.y, generator=seeded()).lost.nanmean())

    assert lost(attack) < lost(free)


def test_images_at_chance_leave_the_batch(known: Known) -> None:
    """With all features in the top k the share is at chance from the start, and no member runs."""
    attack = AutoIFIA(EPS, 64, "quick", metrics=("topk",), attribution=FINE)
    result = attack.run(known.net, known.x, known.y)
    assert not bool(result.reached["topk"][1:].isfinite().any())


@dataclass(frozen=True)
class Patches(Attribution):
    """Occlusion of 2 x 2 patches, as somebody's own function without a gradient; counts the maps it is asked for."""

    asked: ClassVar[list[int]] = []
    differentiable: ClassVar[bool] = False

    def __call__(self, model: Model, x: Tensor, target: Tensor, **options: object) -> Tensor:
        return self.map(model, x, target)

    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        assert not create_graph
        self.asked.append(len(x))
        maps = torch.zeros_like(x)
        with torch.no_grad(), evaluating(model):
            full = model(x).gather(1, target[:, None])[:, 0]
            for i in range(0, 8, 2):
                for j in range(0, 8, 2):
                    hidden = x.clone()
                    hidden[:, :, i : i + 2, j : j + 2] = 0
                    drop = full - model(hidden).gather(1, target[:, None])[:, 0]
                    maps[:, :, i : i + 2, j : j + 2] = drop.view(-1, 1, 1, 1)
        return maps


def test_an_explanation_without_gradients_end_to_end(known: Known) -> None:
    Patches.asked.clear()
    attack = AutoIFIA(EPS, K, "quick", attribution=Patches(), scale=0.25)
    result = attack.run(known.net, known.x, known.y, generator=seeded())
    queries = sum(Patches.asked)
    assert result.maps == queries / len(known.x) < 300
    assert attack.queries(Patches()) == 200
    for metric, one in result.by_metric.items():
        torch.testing.assert_close(scores(known, one.adv_images, metric, Patches()), one.score, rtol=0, atol=1e-5)
        assert torch.equal(known.net(one.adv_images).argmax(1), known.y)
        assert float((one.adv_images - known.x).abs().max()) <= EPS + 1e-6
        control = RandomSigns(EPS, 20, K, Patches(), select=metric)  # type: ignore[arg-type]
        noise = scores(known, control(known.net, known.x, known.y, generator=seeded()), metric, Patches())
        assert float(one.score.mean()) < float(noise.mean())
    assert any(name.startswith("block search") for name in result.members)


def test_block_search_never_rises_and_counts_its_queries(known: Known) -> None:
    class Counting(Patches):
        asked: ClassVar[list[int]] = []

    search = BlockSearch(EPS, 30, K, Counting(), "kendall")
    result = search.run(known.net, known.x, known.y, generator=seeded())
    assert sum(Counting.asked) <= 32 * len(known.x)
    longer = replace(search, queries=60).run(known.net, known.x, known.y, generator=seeded())
    assert float(result.score.mean()) < 0.95
    assert float(longer.score.mean()) < float(result.score.mean())
    two = search.run(known.net, known.x[3:5], known.y[3:5], generator=seeded())
    assert torch.equal(two.adv_images, result.adv_images[3:5])


def test_block_search_on_flat_images() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2)), torch.rand(4, 12)
    adv = BlockSearch(0.1, 20, 3, IntegratedGradients(n_steps=3))(net, x, net(x).argmax(1))
    assert float((adv - x).abs().max()) <= 0.1 + 1e-6


def test_a_shortlist_keeps_the_lowest_of_each_image() -> None:
    images = torch.zeros(2, 1)
    best = Shortlist(images, ("m",), 2)
    for step, values in enumerate([[0.5, 0.9], [0.7, 0.1], [0.6, float("inf")], [0.4, 0.2]]):
        best.see(torch.full((2, 1), float(step)), {"m": torch.tensor(values)}, step)
    kept = [sorted(int(adv[i]) for adv, _, there in best.each() if there[i]) for i in range(2)]
    assert kept == [[0, 3], [1, 3]]
    assert all(int(adv[0]) == int(step[0]) for adv, step, _ in best.each())


def test_soft_top_k_by_hand() -> None:
    """Shares .4, .3, .2, .1 of four features, k 2: the edge is the mean of the second and third log."""
    share = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    goal = SoftTopKGoal(width=0.5, floor=1e-9)
    top = goal.reference(torch.tensor([[1.0, 9.0, 0.0, 8.0]]), 2)
    logs = (share * 4).log()[0]
    belongs = torch.sigmoid((logs - (logs[1] + logs[2]) / 2) / 0.5)
    torch.testing.assert_close(goal(share, *top)[0], belongs[0] - belongs[1] + belongs[2] - belongs[3])


def test_signed_and_targeted_goals_by_hand() -> None:
    clean = torch.tensor([[3.0, -4.0]])
    goal = CosineGoal()
    assert float(goal.of(torch.tensor([[3.0, 4.0]]), *goal.reference_of(clean, 1))) == pytest.approx(7 / 25)
    inverted = TargetGoal()
    (drawn,) = inverted.reference_of(torch.tensor([[3.0, -4.0, 0.0]]), 1)
    torch.testing.assert_close(drawn, torch.tensor([[0.2, 0.0, 0.8]]))
    assert float(inverted.of(torch.tensor([[1.0, 0.0, -4.0]]), torch.tensor([[0.2, 0.0, 0.8]]))) == pytest.approx(0)
    onwards = TargetGoal("next").reference_of(torch.tensor([[1.0, 0.0], [0.0, -2.0]]), 1)[0]
    assert onwards.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "huge"}, "budget"),
        ({"metrics": ("topk", "topk")}, "at most once"),
        ({"metrics": ()}, "at most once"),
        ({"metrics": ("ssim",)}, "ssim"),
        ({"eps": -1.0}, "eps"),
        ({"k": 0}, "k is 0"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        AutoIFIA(**settings)  # type: ignore[arg-type]


def test_a_k_beyond_the_features_is_named(known: Known) -> None:
    with pytest.raises(HoldfastError, match="64 features"):
        AutoIFIA(EPS, 65, "quick")(known.net, known.x, known.y)


@pytest.mark.parametrize("attack", [ALL, AnnealedIFIA(goal=SoftTopKGoal(0.2)), BlockSearch(queries=3)])
def test_stored_and_read_again(attack: Attack) -> None:
    assert from_json(Attack, to_json(attack), "here") == attack


def test_explanations_of_captum_end_to_end(known: Known) -> None:
    captum = pytest.importorskip("captum.attr")

    def grey(x: Tensor, target: Tensor) -> Tensor:
        return x.square()

    occlusion = captum.Occlusion(known.net)

    def windows(x: Tensor, target: Tensor) -> Tensor:
        return occlusion.attribute(x, sliding_window_shapes=(1, 4, 4), strides=(1, 4, 4), target=target)

    x, y = known.x[:2], known.y[:2]
    for fn in (captum.DeepLift, windows, grey):
        attack = AutoIFIA(EPS, K, "quick", metrics=("topk",), attribution=External(fn), scale=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = attack.run(known.net, x, y, generator=seeded())
        assert float(result.score.mean()) < 0.95
        assert result.maps < 300
