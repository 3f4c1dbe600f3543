"""Networks, types, formats and parts of the user's own that attacks meet outside the tests of their strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks import (
    APGD,
    FAB,
    AnnealedIFIA,
    Attack,
    AttributionAttack,
    AutoAttack,
    AutoIFIA,
    BlockSearch,
    RandomSigns,
    Square,
)
from holdfast.attacks.fab import project_onto_hyperplane
from holdfast.attacks.noise import noise_of
from holdfast.attribution import External
from holdfast.errors import HoldfastError, NotFinite

FEW = {"eps": 0.1, "steps": 4}
PREDICTIONS: list[Attack] = [
    hf.PGD(0.1, 0.05, 2),
    hf.TPGD(0.1, 0.05, 2),
    APGD(**FEW),
    APGD(0.1, 4, "dlr"),
    APGD(0.1, 4, "targeted"),
    FAB(**FEW),
    Square(0.1, 6),
    AutoAttack(0.1, 4, 6),
]
MAPS: list[Attack] = [
    hf.IFIA(0.1, 0.05, 2, k=3),
    AnnealedIFIA(0.1, 3, 3),
    AutoIFIA(0.1, 3, "quick", metrics=("topk", "kendall", "cosine"), scale=0.05),
    BlockSearch(0.1, 5, 3),
    BlockSearch(0.1, 5, 3, select="kendall"),
    RandomSigns(0.1, 2, 3),
]


def named(attack: Attack) -> str:
    return type(attack).__name__


def batch(*shape: int, classes: int = 5) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.rand(4, *shape)
    net = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 8), nn.ReLU(), nn.Linear(8, classes))
    return net, x, net(x).argmax(1)


class Broken(nn.Module):
    """Its gradient is NaN and its logits are numbers."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.linear.bias.data[label] = 100.0

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.linear(flat) + (0 * flat).sum(1, keepdim=True).sqrt()


@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize("attack", [a for a in PREDICTIONS if a not in (APGD(0.1, 4, "targeted"), Square(0.1, 6))])
def test_a_gradient_that_is_nan_is_neither_robust_nor_broken(attack: Attack, label: int) -> None:
    x, y = torch.rand(3, 1, 2, 2), torch.full((3,), label)
    for call in (attack, attack.run):
        with pytest.raises(NotFinite, match="the gradient at image"):
            call(Broken(label), x, y)


class Masked(nn.Module):
    """NaN wherever a pixel is not that of the image."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def forward(self, x: Tensor) -> Tensor:
        same = (x == self.x[: len(x)]).flatten(1).all(1, keepdim=True)
        return torch.where(same, torch.tensor([0.0, 0.0, 1.0]), torch.nan) + 0 * x.flatten(1)[:, :3]


def test_logits_that_are_nan_are_no_success() -> None:
    x = torch.rand(1, 1, 2, 2)
    found = Square(0.1, 3).run(Masked(x), x, torch.tensor([2]))
    assert not found.succeeded.any()
    assert torch.equal(found.adv_images, x)


def test_square_goes_on_from_a_tie_that_the_label_wins() -> None:
    def rounded(x: Tensor) -> Tensor:
        size = x.flatten(1).mean(1)
        return torch.stack([torch.ones_like(size), torch.where(size < 0.45, 2.0, 1.0)], dim=1)

    x, y = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 0])
    generator = torch.Generator().manual_seed(0)
    assert Square(0.3, 300).run(rounded, x, y, generator=generator).succeeded.all()


@pytest.mark.parametrize("attack", [*PREDICTIONS, *MAPS[:3]], ids=named)
def test_a_network_without_a_gradient_is_one_line(attack: Attack) -> None:
    if isinstance(attack, Square):
        return
    net, x, y = batch(1, 3, 3)
    with pytest.raises(HoldfastError, match="logits do not depend on the images"):
        attack(lambda z: net(z.detach()), x, y)


@pytest.mark.parametrize("attack", [*PREDICTIONS, *MAPS], ids=named)
@pytest.mark.parametrize("shape", [(9,), (3, 4), (2, 1, 5), (1, 2, 3, 3)], ids=str)
def test_features_of_any_shape(attack: Attack, shape: tuple[int, ...]) -> None:
    net, x, y = batch(*shape)
    adv = attack(net, x, y)
    assert adv.shape == x.shape
    assert (adv - x).abs().max() <= 0.1 + 1e-6


def test_square_moves_intervals_of_flat_features() -> None:
    delta = Square(0.1, 10, share=0.5)._square(torch.zeros(1, 1, 1, 40), 0, torch.Generator().manual_seed(0))
    assert (delta != 0).sum() == 20
    assert delta.unique().numel() == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("attack", MAPS, ids=named)
def test_maps_of_any_type(attack: Attack, dtype: torch.dtype) -> None:
    net, x, _ = batch(1, 3, 3)
    net, x = net.to(dtype), x.to(dtype)
    assert attack(net, x, net(x).argmax(1)).dtype == dtype


@pytest.mark.parametrize("attack", [*PREDICTIONS, *MAPS], ids=named)
def test_under_autocast(attack: Attack) -> None:
    net, x, y = batch(1, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        adv = attack(net, x, y)
    assert adv.dtype == torch.float32
    assert not adv.requires_grad


def test_noise_does_not_depend_on_the_memory_format() -> None:
    x = torch.rand(2, 3, 4, 4)
    for other in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert torch.equal(noise_of(x, 0, "a"), noise_of(other, 0, "a"))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_without_a_gradient_there_is_no_way_to_the_hyperplane(norm: str) -> None:
    x = torch.rand(2, 6)
    moves = project_onto_hyperplane(x, torch.zeros_like(x), torch.tensor([-50.0, 1.0]), norm)  # type: ignore[arg-type]
    assert torch.equal(moves, torch.zeros_like(x))


@pytest.mark.parametrize("targets", [1, 2, 9])
def test_the_cost_of_the_ensemble_counts_every_member(targets: int) -> None:
    attack = AutoAttack(steps=10, queries=20, targets=targets)
    assert attack.cost == sum(member.cost for member in attack.members(10).values())


@dataclass(frozen=True)
class WithGraph(Attack):
    def perturb(self, model: hf.Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        images.requires_grad_()
        loss = F.cross_entropy(model(images), labels)
        return images + 0 * torch.autograd.grad(loss, images, create_graph=True)[0]


@dataclass(frozen=True)
class InPlace(Attack):
    def perturb(self, model: hf.Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        labels += 1
        return images.add_(0.5).clamp_(0, 1)


@dataclass(frozen=True)
class Returns(Attack):
    what: Callable[[Tensor], Any] = torch.clone

    def perturb(self, model: hf.Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return self.what(images)  # type: ignore[no-any-return]


def test_images_of_a_plug_in_have_no_graph_and_leave_those_of_the_user_alone() -> None:
    net, x, y = batch(1, 3, 3)
    before, labels = x.clone(), y.clone()
    assert not WithGraph()(net, x, y).requires_grad
    assert not torch.equal(InPlace()(net, x, y), x)
    assert torch.equal(x, before)
    assert torch.equal(y, labels)


def test_nothing_found_is_a_copy() -> None:
    net, x, y = batch(1, 3, 3)
    before = x.clone()
    AnnealedIFIA(0.1, 2, 3)(net, x, (y + 1) % 5).zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda x: None, "Returns made NoneType of images that are torch.float32"),
        (lambda x: x.numpy(), "made ndarray"),
        (lambda x: x.flatten(1), "made torch.float32 of shape (4, 9)"),
        (lambda x: x.double(), "made torch.float64"),
        (lambda x: x + 1, "cut them to [0, 1]"),
    ],
)
def test_what_is_no_image_of_the_kind_is_named(what: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(HoldfastError) as error:
        Returns(what)(*batch(1, 3, 3))
    assert message in str(error.value)


@dataclass(frozen=True)
class Unfinished(AttributionAttack):
    def search(self, *args: object) -> hf.attacks.Found:
        raise AssertionError


def test_an_attack_without_its_attribution_is_one_line() -> None:
    with pytest.raises(HoldfastError, match="Unfinished has no field attribution"):
        Unfinished()(*batch(1, 3, 3))


@pytest.mark.parametrize("beta", [30.0, (30.0,), (8.0, 30.0, 120.0)])
def test_two_sharpnesses(beta: object) -> None:
    with pytest.raises(HoldfastError, match=r"surrogate_beta is .*; it must be two numbers"):
        AnnealedIFIA(surrogate_beta=beta)  # type: ignore[arg-type]


def test_an_unknown_norm_of_the_ensemble() -> None:
    with pytest.raises(HoldfastError, match="unknown norm 'L1'"):
        AutoAttack(norm="L1")  # type: ignore[arg-type]


def test_of_two_external_explanations_the_one_asked_for_is_attacked() -> None:
    asked, own = External(lambda x, target: x), External(lambda x, target: -x)
    assert RandomSigns(attribution=own).attacked(asked) is asked
