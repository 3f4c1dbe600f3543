"""Attacks against torchattacks, and against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchattacks
from torch import Tensor, nn

from holdfast import FGSM, PGD, TPGD, CWInf
from holdfast.attacks.base import project, random_start, step

EPS, ALPHA, STEPS = 0.08, 0.02, 7
Batch = tuple[Tensor, Tensor]


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(6, 2, 8, 8, generator=generator)
    images[0] = images[0].round()  # the faces of the box too
    return images, torch.tensor([0, 3, 1, 2, 2, 0])


@pytest.fixture
def net(make_network: Callable[[str], nn.Module]) -> nn.Module:
    return make_network("residual").eval()


def test_fgsm(net: nn.Module, batch: Batch) -> None:
    torch.testing.assert_close(FGSM(eps=EPS)(net, *batch), torchattacks.FGSM(net, eps=EPS)(*batch))


def test_pgd_without_random_start(net: nn.Module, batch: Batch) -> None:
    found = PGD(eps=EPS, alpha=ALPHA, steps=STEPS, random_start=False)(net, *batch)
    oracle = torchattacks.PGD(net, eps=EPS, alpha=ALPHA, steps=STEPS, random_start=False)
    torch.testing.assert_close(found, oracle(*batch))
    assert float((found - batch[0]).abs().max()) > EPS / 2


def test_pgd_from_the_same_noise(net: nn.Module, batch: Batch) -> None:
    generator = torch.Generator().manual_seed(11)
    found = PGD(eps=EPS, alpha=ALPHA, steps=STEPS)(net, *batch, generator=generator)
    torch.manual_seed(11)
    torch.testing.assert_close(found, torchattacks.PGD(net, eps=EPS, alpha=ALPHA, steps=STEPS)(*batch))


def test_tpgd_from_the_same_noise(net: nn.Module, batch: Batch) -> None:
    """In float64: at its start the divergence is so flat that float32 rounding decides signs of the gradient."""
    net, images, labels = net.double(), batch[0].double(), batch[1]
    generator = torch.Generator().manual_seed(12)
    found = TPGD(eps=EPS, alpha=ALPHA, steps=STEPS)(net, images, labels, generator=generator)
    torch.manual_seed(12)
    torch.testing.assert_close(found, torchattacks.TPGD(net, eps=EPS, alpha=ALPHA, steps=STEPS)(images, labels))


def test_pgd_l2_without_random_start(net: nn.Module, batch: Batch) -> None:
    found = PGD(eps=0.7, alpha=0.2, steps=STEPS, random_start=False, norm="L2")(net, *batch)
    oracle = torchattacks.PGDL2(net, eps=0.7, alpha=0.2, steps=STEPS, random_start=False, eps_for_division=1e-12)
    torch.testing.assert_close(found, oracle(*batch), rtol=1e-4, atol=1e-5)
    lengths = (found - batch[0]).flatten(1).norm(dim=1)
    assert bool((lengths > 0.3).all())


def test_values_by_hand() -> None:
    logits = torch.tensor([[1.0, 4.0, -2.0], [0.0, 0.0, 0.0], [5.0, 1.0, 2.0]])
    labels = torch.tensor([1, 0, 2])
    network = nn.Identity()
    torch.testing.assert_close(CWInf().value(network, logits, labels), torch.tensor([-3.0, 0.0, 3.0]))
    p = torch.softmax(logits, dim=1)
    cross_entropy = PGD().value(network, logits, labels)
    torch.testing.assert_close(cross_entropy, -p[torch.arange(3), labels].log())
    q = p.flip(0)
    kl = TPGD().value(network, logits, q)
    torch.testing.assert_close(kl, (q * (q / p).log()).sum(1))


def test_cw_follows_the_margin(batch: Batch) -> None:
    """On a linear model one large enough step maximises the margin over the ball exactly."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 2))
    images, labels = batch[0], batch[1] % 2
    weight = net[1].weight.detach()
    rise = (weight[1 - labels] - weight[labels]).view_as(images)
    best = (images + EPS * rise.sign()).clamp(0, 1)
    attack = CWInf(eps=EPS, alpha=2 * EPS, steps=1, random_start=False)
    torch.testing.assert_close(attack(net, images, labels), best)
    many = CWInf(eps=EPS, alpha=2 * EPS, steps=5)(net, images, labels)
    torch.testing.assert_close(many, best)
    torch.testing.assert_close(attack(net, best, labels).clamp(images - EPS, images + EPS), best)


def test_projection_l2() -> None:
    images = torch.full((3, 1, 1, 2), 0.5)
    adv = images + torch.tensor([[0.3, 0.4], [0.03, 0.04], [0.0, 0.0]]).view(3, 1, 1, 2)
    found = project(adv, images, 0.25, "L2") - images
    expected = torch.tensor([[0.15, 0.2], [0.03, 0.04], [0.0, 0.0]]).view(3, 1, 1, 2)
    torch.testing.assert_close(found, expected)
    outside = project(torch.tensor([[2.0, 0.5]]), torch.tensor([[0.9, 0.5]]), 0.5, "L2")
    assert outside.tolist() == [[1.0, 0.5]]


def test_step_has_length_alpha() -> None:
    gradient = torch.randn(4, 2, 3, 3)
    gradient[3] = 0
    moved = step(torch.zeros(4, 2, 3, 3), gradient, 0.3, "L2")
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.tensor([0.3, 0.3, 0.3, 0.0]))
    signs = step(torch.zeros(4, 2, 3, 3), gradient, 0.3)
    torch.testing.assert_close(signs, 0.3 * gradient.sign())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_random_start_fills_the_ball(norm: str) -> None:
    images = torch.full((500, 2), 0.5)
    noise = random_start(images, 0.2, norm, torch.Generator().manual_seed(0)) - images
    size = noise.abs().amax(1) if norm == "Linf" else noise.norm(dim=1)
    assert float(size.max()) <= 0.2 + 1e-6
    assert float(size.max()) > 0.19
    assert float(noise.mean().abs()) < 0.02
    assert float(size.min()) < 0.03


def test_tpgd_start_is_a_thousandth_of_normal_noise() -> None:
    images = torch.full((50, 2, 8, 8), 0.5)
    start = TPGD(eps=0.1, alpha=0.1, steps=1).start(images, torch.Generator().manual_seed(0))
    assert float((start - images).std()) == pytest.approx(0.001, rel=0.05)
