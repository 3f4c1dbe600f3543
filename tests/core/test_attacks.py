from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from holdfast import FGSM, IFIA, PGD, TPGD, CWInf, HoldfastError
from holdfast.attacks import Attack

Build = Callable[..., Attack]
KINDS: dict[str, Build] = {
    "FGSM": FGSM,
    "PGD": partial(PGD, alpha=0.04, steps=4),
    "PGD fixed": partial(PGD, alpha=0.04, steps=4, random_start=False),
    "PGD L2": partial(PGD, alpha=0.3, steps=4, norm="L2"),
    "TPGD": partial(TPGD, alpha=0.04, steps=4),
    "CWInf": partial(CWInf, alpha=0.04, steps=4),
    "PGD restarts": partial(PGD, alpha=0.04, steps=2, restarts=3),
    "IFIA": partial(IFIA, alpha=0.04, steps=2, k=5, n_steps=2),
    "IFIA random": partial(IFIA, alpha=0.04, steps=2, k=5, n_steps=2, objective="random", random_start=True),
}
RANDOM = ("PGD", "PGD L2", "TPGD", "CWInf", "PGD restarts", "IFIA random")
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
@given(eps=st.floats(0, 1.5), seed=st.integers(0, 1000))
def test_ball_and_box(kind: str, net: nn.Module, eps: float, seed: int) -> None:
    images = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    labels = torch.tensor([seed % 3, 0, 2])
    adv = KINDS[kind](net, eps=eps)(images, labels)
    delta = (adv - images).flatten(1)
    size = delta.norm(dim=1) if kind == "PGD L2" else delta.abs().amax(1)
    assert adv.shape == images.shape
    assert float(size.max()) <= eps + 1e-6
    assert float(adv.min()) >= 0
    assert float(adv.max()) <= 1
    assert not adv.requires_grad


@each_kind
def test_eps_zero_returns_the_images(kind: str, net: nn.Module, batch: Batch) -> None:
    assert torch.equal(KINDS[kind](net, eps=0.0)(*batch), batch[0])


@pytest.mark.parametrize("kind", ["FGSM", "PGD fixed", "IFIA"])
def test_a_batch_is_many_single_images(kind: str, net: nn.Module, batch: Batch) -> None:
    images, labels = (t.double() if t.is_floating_point() else t for t in batch)
    attack = KINDS[kind](copy.deepcopy(net).double(), eps=0.1)
    together = attack(images, labels)
    singly = torch.cat([attack(images[i : i + 1], labels[i : i + 1]) for i in range(len(images))])
    torch.testing.assert_close(together, singly)


@pytest.mark.parametrize("kind", RANDOM)
def test_generator_decides(kind: str, net: nn.Module, batch: Batch) -> None:
    def run(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return KINDS[kind](net, eps=0.15, generator=generator)(*batch)

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
        loss = bound.loss(net(adv), *bound.prepare(images, labels)).double()
        return (1e3 * wrong + loss).detach()

    generator = torch.Generator().manual_seed(3)
    bound = attack(net, eps=0.05, alpha=0.02, steps=2, generator=generator)
    singles = torch.stack([value(bound(images, labels)) for _ in range(4)])
    generator.manual_seed(3)
    four = attack(net, eps=0.05, alpha=0.02, steps=2, restarts=4, generator=generator)
    torch.testing.assert_close(value(four(images, labels)), singles.amax(0), rtol=0, atol=1e-5)
    assert bool((singles.argmax(0) > 0).any())


def test_among_restarts_any_misclassified_image_is_worse_than_a_correct_one() -> None:
    """Whatever the losses; and among misclassified ones small differences of loss still count."""
    attack = PGD(lambda logits: logits, eps=0.1, alpha=0.1, steps=1)
    nearly_lost = torch.zeros(1, 50)
    nearly_lost[0, 0] = 0.01
    just_lost = torch.full((1, 50), -9.0)
    just_lost[0, :2] = torch.tensor([0.0, 0.01])
    label = torch.tensor([0])
    assert F.cross_entropy(nearly_lost, label) > F.cross_entropy(just_lost, label)
    correct, wrong, more = (
        attack._score(logits, (label,), label)
        for logits in (nearly_lost, just_lost, just_lost + torch.eye(50)[1] * 1e-3)
    )
    assert bool(correct < wrong)
    assert bool(wrong < more)


@pytest.mark.parametrize("kind", ["PGD", "CWInf", "TPGD"])
def test_the_loss_rises(kind: str, net: nn.Module, batch: Batch) -> None:
    images, labels = batch
    attack = KINDS[kind](net, eps=0.1)
    reference = attack.prepare(images, labels)
    before, after = (attack.loss(net(t), *reference) for t in (images, attack(images, labels)))
    assert bool((after > before).all())


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(kind: str, batch: Batch, dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).to(dtype)
    assert KINDS[kind](net, eps=0.1)(batch[0].to(dtype), batch[1]).dtype == dtype


@each_kind
def test_any_callable_and_flat_inputs(kind: str) -> None:
    weight = torch.randn(6, 3)
    images = torch.rand(4, 6)
    adv = KINDS[kind](lambda x: F.relu(x) @ weight, eps=0.1)(images, torch.tensor([0, 1, 2, 0]))
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
        KINDS[kind](net, eps=0.1)(**arguments)


@each_kind
def test_models_that_return_no_logits(kind: str, batch: Batch) -> None:
    with pytest.raises(HoldfastError, match=r"returned \(1, 1, 6, 6\)"):
        KINDS[kind](nn.Identity(), eps=0.1)(*batch)


@pytest.mark.parametrize("kind", ["FGSM", "PGD", "TPGD", "CWInf", "IFIA"])
@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_impossible_eps(kind: str, net: nn.Module, eps: float) -> None:
    with pytest.raises(HoldfastError, match=rf"eps is {eps}"):
        KINDS[kind](net, eps=eps)


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
def test_impossible_settings(net: nn.Module, change: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        PGD(net, **{"eps": 0.1, "alpha": 0.1, "steps": 2, **change})
