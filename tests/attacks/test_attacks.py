from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from holdfast import FGSM, IFIA, PGD, TPGD, CWInf, HoldfastError
from holdfast.attacks import Attack, KendallGoal, RandomSigns
from holdfast.attribution import IntegratedGradients

Build = Callable[..., Attack]
TWO = IntegratedGradients(n_steps=2)
KINDS: dict[str, Build] = {
    "FGSM": FGSM,
    "PGD": partial(PGD, alpha=0.04, steps=4),
    "PGD fixed": partial(PGD, alpha=0.04, steps=4, random_start=False),
    "PGD L2": partial(PGD, alpha=0.3, steps=4, norm="L2"),
    "TPGD": partial(TPGD, alpha=0.04, steps=4),
    "CWInf": partial(CWInf, alpha=0.04, steps=4),
    "PGD restarts": partial(PGD, alpha=0.04, steps=2, restarts=3),
    "IFIA": partial(IFIA, alpha=0.04, steps=2, k=5, attribution=TWO),
    "IFIA random start": partial(IFIA, alpha=0.04, steps=2, goal=KendallGoal(), attribution=TWO, random_start=True),
    "RandomSigns": partial(RandomSigns, draws=3, attribution=TWO),
}
RANDOM = ("PGD", "PGD L2", "TPGD", "CWInf", "PGD restarts", "IFIA random start", "RandomSigns")
each_kind = pytest.mark.parametrize("kind", KINDS)
Batch = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


@pytest.fixture
def batch(net: nn.Module) -> Batch:
    images = torch.rand(5, 1, 6, 6)
    return images, net(images).argmax(1)


@each_kind
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(eps=st.floats(0, 1), seed=st.integers(0, 1000))
def test_ball_and_box(kind: str, net: nn.Module, eps: float, seed: int) -> None:
    images = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    labels = torch.tensor([seed % 3, 0, 2])
    adv = KINDS[kind](eps=eps)(net, images, labels)
    delta = (adv - images).flatten(1)
    size = delta.norm(dim=1) if kind == "PGD L2" else delta.abs().amax(1)
    assert adv.shape == images.shape
    assert float(size.max()) <= eps + 1e-6
    assert float(adv.min()) >= 0
    assert float(adv.max()) <= 1
    assert not adv.requires_grad


@each_kind
def test_eps_zero_returns_the_images(kind: str, net: nn.Module, batch: Batch) -> None:
    assert torch.equal(KINDS[kind](eps=0.0)(net, *batch), batch[0])


@pytest.mark.parametrize("kind", ["FGSM", "PGD fixed", "IFIA"])
def test_a_batch_is_many_single_images(kind: str, net: nn.Module, batch: Batch) -> None:
    images, labels = (t.double() if t.is_floating_point() else t for t in batch)
    attack = KINDS[kind](eps=0.1).on(copy.deepcopy(net).double())
    together = attack(images, labels)
    singly = torch.cat([attack(images[i : i + 1], labels[i : i + 1]) for i in range(len(images))])
    torch.testing.assert_close(together, singly)


@pytest.mark.parametrize("kind", RANDOM)
def test_generator_decides(kind: str, net: nn.Module, batch: Batch) -> None:
    def run(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return KINDS[kind](eps=0.15)(net, *batch, generator=generator)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert not torch.equal(run(None), run(None))


@pytest.mark.parametrize("attack", [PGD, TPGD, CWInf])
def test_restarts_return_the_worst_run(attack: Build, batch: Batch, make_network: Callable[[str], nn.Module]) -> None:
    """Misclassified before correct, then the larger loss, as single runs from the same noise show."""
    net = make_network("residual").eval()
    images = torch.rand(40, 2, 8, 8)
    labels = net(images).argmax(1)

    def value(adv: Tensor) -> Tensor:
        wrong = (net(adv).argmax(1) != labels).double()
        loss = one.value(net, adv, *one.prepare(net, images, labels)).double()
        return (1e3 * wrong + loss).detach()

    generator = torch.Generator().manual_seed(3)
    one = attack(eps=0.05, alpha=0.02, steps=2)
    singles = torch.stack([value(one(net, images, labels, generator=generator)) for _ in range(4)])
    generator.manual_seed(3)
    four = attack(eps=0.05, alpha=0.02, steps=2, restarts=4)
    torch.testing.assert_close(
        value(four(net, images, labels, generator=generator)), singles.amax(0), rtol=0, atol=1e-5
    )
    assert bool((singles.argmax(0) > 0).any())


def test_among_restarts_any_misclassified_image_is_worse_than_a_correct_one() -> None:
    """Whatever the losses; and among misclassified ones small differences of loss still count."""
    attack = PGD(eps=0.1, alpha=0.1, steps=1)
    nearly_lost = torch.zeros(1, 50)
    nearly_lost[0, 0] = 0.01
    just_lost = torch.full((1, 50), -9.0)
    just_lost[0, :2] = torch.tensor([0.0, 0.01])
    label = torch.tensor([0])
    assert F.cross_entropy(nearly_lost, label) > F.cross_entropy(just_lost, label)
    correct, wrong, more = (
        attack.score(nn.Identity(), logits, label, label)
        for logits in (nearly_lost, just_lost, just_lost + torch.eye(50)[1] * 1e-3)
    )
    assert bool(correct < wrong)
    assert bool(wrong < more)


@pytest.mark.parametrize("kind", ["PGD", "CWInf", "TPGD"])
def test_the_loss_rises(kind: str, net: nn.Module, batch: Batch) -> None:
    images, labels = batch
    attack = KINDS[kind](eps=0.1)
    reference = attack.prepare(net, images, labels)
    before, after = (attack.value(net, t, *reference) for t in (images, attack(net, images, labels)))
    assert bool((after > before).all())


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(kind: str, batch: Batch, dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).to(dtype)
    assert KINDS[kind](eps=0.1)(net, batch[0].to(dtype), batch[1]).dtype == dtype


@each_kind
def test_any_callable_and_flat_inputs(kind: str) -> None:
    weight = torch.randn(6, 3)
    images = torch.rand(4, 6)
    adv = KINDS[kind](eps=0.1)(lambda x: F.relu(x) @ weight, images, torch.tensor([0, 1, 2, 0]))
    assert adv.shape == images.shape


@each_kind
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0, 1, 3])}, r"\[0, 3\].*3 logits.*\[0, 2\]"),
        ({"labels": torch.tensor([0, -1, 1])}, r"\[-1, 1\]"),
        ({"labels": torch.tensor([0, 1])}, r"\(2,\).*\(3,\)"),
        ({"labels": torch.tensor([0, 1, 2], dtype=torch.int32)}, "int32.*int64"),
        ({"labels": torch.zeros(3)}, "float32.*int64"),
        ({"labels": [0, 1, 2]}, "list.*int64"),
        ({"images": torch.zeros(3, 1, 6, 6, dtype=torch.uint8)}, "uint8.*divide by 255"),
        ({"images": torch.full((3, 1, 6, 6), 255.0)}, r"\[255, 255\].*\[0, 1\]"),
        ({"images": torch.full((3, 1, 6, 6), -0.01)}, r"-0\.01"),
        ({"images": torch.full((3, 1, 6, 6), float("nan"))}, "NaN"),
        ({"images": torch.zeros(0, 1, 6, 6), "labels": torch.zeros(0).long()}, r"\(0, 1, 6, 6\)"),
        ({"images": torch.zeros(3)}, r"\(3,\)"),
    ],
)
def test_wrong_batches_are_named(kind: str, net: nn.Module, change: dict[str, object], message: str) -> None:
    arguments = {"images": torch.zeros(3, 1, 6, 6), "labels": torch.tensor([0, 1, 2]), **change}
    with pytest.raises(HoldfastError, match=message):
        KINDS[kind](eps=0.1).on(net)(**arguments)


@each_kind
def test_models_that_return_no_logits(kind: str, batch: Batch) -> None:
    with pytest.raises(HoldfastError, match=r"returned \(1, 1, 6, 6\)"):
        KINDS[kind](eps=0.1)(nn.Identity(), *batch)


@each_kind
@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_impossible_eps(kind: str, eps: float) -> None:
    with pytest.raises(HoldfastError, match=rf"eps is {eps}"):
        KINDS[kind](eps=eps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": -1}, "alpha is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"restarts": 0}, "restarts is 0"),
        ({"norm": "L1"}, "unknown norm 'L1'.*Linf, L2"),
    ],
)
def test_impossible_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        PGD(**{"eps": 0.1, "alpha": 0.1, "steps": 2, **change})


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.startswith(("IFIA", "Random"))])
def test_run_counts_what_was_lost(kind: str, net: nn.Module, batch: Batch) -> None:
    images, labels = batch
    labels = labels.clone()
    labels[0] = (labels[0] + 1) % 3  # lost before the attack
    found, again = (
        KINDS[kind](eps=0.3).run(net, images, labels, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(found.adv_images, again.adv_images)
    assert torch.equal(found.succeeded, net(found.adv_images).argmax(1) != labels)
    assert bool(found.succeeded[0])


def test_misclassified_images_count_as_lost_where_steps_might_win_them_back(net: nn.Module, batch: Batch) -> None:
    assert not bool(PGD(eps=0.0).run(net, *batch).succeeded.any())


@each_kind
def test_in_inference_mode(kind: str, net: nn.Module, batch: Batch) -> None:
    """Images made inside it, which autograd refuses, and the same result as outside."""
    expected = KINDS[kind](eps=0.1)(net, *batch, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        images, labels = batch[0].clone(), batch[1].clone()
        assert images.is_inference()
        found = KINDS[kind](eps=0.1)(net, images, labels, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, expected)
    assert float((found - batch[0]).abs().max()) > 0.01


@each_kind
def test_in_threads(kind: str, net: nn.Module) -> None:
    """One part, one network and four callers; each with a generator of its own."""
    attack = KINDS[kind](eps=0.1)
    batches = [torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(i)) for i in range(4)]

    def run(i: int) -> Tensor:
        return attack(net, batches[i], net(batches[i]).argmax(1), generator=torch.Generator().manual_seed(i))

    alone = [run(i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(run, [*range(4)] * 3)]
    for i, found in enumerate(together):
        torch.testing.assert_close(found, alone[i % 4])


@pytest.mark.parametrize("scale", [1e-39, 1e-30, 1e-20, 1e20])
def test_l2_steps_whatever_the_scale_of_the_gradient(scale: float, batch: Batch) -> None:
    """Squares of such gradients vanish or overflow in float32; the margin of a linear model has one throughout."""
    images, labels = batch[0].clamp(0.3, 0.7), batch[1]
    weight = torch.randn(36, 2)
    weight = weight / weight.flatten().norm()
    attack = CWInf(eps=0.5, alpha=0.1, steps=3, norm="L2", random_start=False)
    found = attack(lambda x: scale * x.flatten(1) @ weight, images, labels % 2)
    rise = (weight.T[1 - labels % 2] - weight.T[labels % 2]).view_as(images)
    expected = images + 0.3 * rise / rise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_l2_steps_without_a_gradient_stay(batch: Batch) -> None:
    zero = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    nn.init.zeros_(zero[1].weight)
    found = PGD(eps=0.5, alpha=0.1, steps=2, norm="L2", random_start=False)(zero, *batch)
    assert torch.equal(found, batch[0])


class RootOfBrightness(nn.Module):
    """Its gradient is NaN at black images alone."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x.flatten(1).square().sum(1, keepdim=True).sqrt()
        return torch.cat([bright, -bright], dim=1)


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_gradient_that_is_nan_names_the_image(norm: str, restarts: int) -> None:
    images = torch.rand(4, 1, 6, 6)
    images[2] = 0
    attack = PGD(eps=0.1, alpha=0.1, steps=2, norm=norm, random_start=False, restarts=restarts)
    with pytest.raises(HoldfastError, match="gradient at image 2 of the batch is NaN"):
        attack(RootOfBrightness(), images, torch.tensor([0, 0, 0, 1]))


class BreaksOnce(nn.Module):
    """Its gradient is NaN in the call of a given number."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += torch.is_grad_enabled()
        return x.flatten(1)[:, :3] * (float("nan") if torch.is_grad_enabled() and self.calls == self.at else 1.0)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_restart_that_breaks_is_not_passed_over(at: int, batch: Batch) -> None:
    attack = PGD(eps=0.1, alpha=0.1, steps=1, restarts=3)
    with pytest.raises(HoldfastError, match="image 0 of the batch is NaN"):
        attack(BreaksOnce(at), *batch)
    attack(BreaksOnce(4), *batch)
