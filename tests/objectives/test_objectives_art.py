from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import ART, HoldfastError
from holdfast.objectives import ARTAttack
from holdfast.objectives.art import soft_margin
from tests.oracles import Fixed

Make = Callable[[str], nn.Module]
Batch = tuple[Tensor, Tensor]
EPS = 0.15
attack = partial(ARTAttack, eps=EPS, alpha=0.04, steps=6, k=12, surrogate_beta=20.0)

W1 = np.array([[1.0, 2.0], [-1.0, 1.0], [2.0, -3.0]])
W2 = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0], [0.5, 0.5, -1.0]])
X = np.array([[0.5, 0.2], [0.1, 0.9]])
X_ADV = np.array([[0.2, 0.4], [0.9, 0.1]])
Y = np.array([0, 1])
BETA = 2.0


@pytest.fixture
def tiny() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False)).double()
    net[0].weight.data, net[2].weight.data = torch.from_numpy(W1.copy()), torch.from_numpy(W2.copy())
    return net


def gradients(x: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the label's logit and of the largest other one of the tiny network's softplus twin."""
    hidden = W1 @ x
    logits = W2 @ (np.log1p(np.exp(BETA * hidden)) / BETA)
    logits[label] = -np.inf
    slope = 1 / (1 + np.exp(-BETA * hidden))
    return W1.T @ (W2[label] * slope), W1.T @ (W2[np.argmax(logits)] * slope)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - a @ b / np.sqrt((a @ a) * (b @ b))


def test_values_by_hand(tiny: nn.Module) -> None:
    margins = []
    for x, adv, y in zip(X, X_ADV, Y, strict=True):
        pair = [gradients(z, y) for z in (x, adv)]
        for image in (x, adv):
            d_ap = max(distance(image, g1) for g1, _ in pair)
            d_an = min(distance(image, g2) for _, g2 in pair)
            margins.append(np.log1p(np.exp(d_ap - d_an)))
    logits = np.maximum(X_ADV @ W1.T, 0) @ W2.T
    ce = np.log(np.exp(logits).sum(1)) - logits[[0, 1], Y]
    x_adv = torch.from_numpy(X_ADV)
    out = ART(Fixed(x_adv), lam=0.7, surrogate_beta=BETA)(tiny, torch.from_numpy(X), torch.from_numpy(Y))
    assert out.x_adv is x_adv
    expected = {"ce": ce.mean(), "margin": np.mean(margins)}
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx(expected)
    assert float(out.loss.detach()) == pytest.approx(expected["ce"] + 0.7 * expected["margin"])


def test_mining_is_hard_and_within_the_image() -> None:
    """Unmined margins are smaller, and another image's maps change nothing."""
    images, true, other = torch.rand(3, 2, 4, 5)
    mined = soft_margin(images, true, other)
    plain = torch.cat([soft_margin(*(m[i : i + 1] for m in (images, true, other))) for i in range(2)])
    assert mined.shape == plain.shape == (2, 4)
    assert bool((mined >= plain).all())
    assert bool((mined > plain).any())
    true[:, 1:], other[:, 1:] = torch.rand(2, 2, 3, 5)
    assert torch.equal(soft_margin(images, true, other)[:, 0], mined[:, 0])


def test_zero_maps_and_lengths_do_not_matter() -> None:
    maps = torch.rand(3, 1, 2, 5)
    torch.testing.assert_close(soft_margin(*(maps * 1e-6)), soft_margin(*maps), rtol=0, atol=1e-4)
    zero = torch.zeros(1, 2, 5, requires_grad=True)
    margin = soft_margin(zero, zero, zero)
    margin.sum().backward()
    torch.testing.assert_close(margin.detach(), torch.full((1, 2), 2.0).log())
    assert zero.grad is not None
    assert bool(zero.grad.isfinite().all())


@pytest.fixture
def batch(trained: nn.Module, digits: Batch) -> Batch:
    images, labels = digits
    return images[:8], labels[:8]


def first_start(images: Tensor, generator: torch.Generator) -> Tensor:
    return (images + torch.empty_like(images).uniform_(-EPS, EPS, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("masked_steps", [False, True])
@pytest.mark.parametrize("random_start", [False, True])
def test_ball_box_and_ascent(trained: nn.Module, batch: Batch, masked_steps: bool, random_start: bool) -> None:
    images, labels = batch
    found = attack(masked_steps=masked_steps, random_start=random_start)
    adv = found(trained, images, labels, generator=torch.Generator().manual_seed(0))
    start = first_start(images, torch.Generator().manual_seed(0)) if random_start else images
    assert float((adv - images).abs().max()) <= EPS + 1e-6
    assert 0 <= float(adv.min()) <= float(adv.max()) <= 1
    reference = labels, found.mask(trained, start, labels)
    gain = (found.value(trained, adv, *reference) - found.value(trained, start, *reference)).detach()
    assert int((gain > 0).sum()) >= 7  # signed steps may overshoot
    assert float(gain.mean()) > 0.05


def test_mask_is_the_top_gradients_of_the_network_at_the_start(trained: nn.Module, batch: Batch) -> None:
    images, labels = batch
    z = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(trained(z).gather(1, labels[:, None]).sum(), z)
    order = gradient.abs().flatten(1).argsort(dim=1, descending=True, stable=True)
    mask = attack().mask(trained, images, labels)
    assert mask.unique().tolist() == [0, 1]
    for row, top in zip(mask, order[:, :12], strict=True):
        assert sorted(row.nonzero()[:, 0].tolist()) == sorted(top.tolist())


def test_masked_steps_move_the_mask_alone(trained: nn.Module, batch: Batch) -> None:
    images, labels = batch
    masked, free = (attack(masked_steps=m) for m in (True, False))
    start = first_start(images, torch.Generator().manual_seed(0))
    outside = masked.mask(trained, start, labels).view_as(images) == 0
    moved, moved_freely = (
        (a(trained, images, labels, generator=torch.Generator().manual_seed(0)) - start).abs() > 1e-6
        for a in (masked, free)
    )
    assert not bool((moved & outside).any())
    assert bool((moved & ~outside).flatten(1).any(1).all())
    assert bool((moved_freely & outside).flatten(1).any(1).all())


def test_margin_sees_the_mask_alone(trained: nn.Module, batch: Batch) -> None:
    """Against the definition on gathered coordinates, and central differences for the direction, in float64."""
    net = trained.double()
    net[2] = nn.AvgPool2d(2)
    images, labels = batch[0].double().clamp(0.1, 0.9), batch[1]
    found = attack()
    mask = found.mask(net, images, labels)
    top = mask.nonzero()[:, 1].view(8, 12)
    twin = nn.Sequential(*[nn.Softplus(beta=20.0) if isinstance(m, nn.ReLU) else m for m in net])

    def value(x: Tensor) -> Tensor:
        z = x.clone().requires_grad_()
        logits = twin(z)
        others = logits.detach().scatter(1, labels[:, None], -1e9).argmax(1)
        maps = [z.detach()]
        for c in (labels, others):
            maps.append(torch.autograd.grad(logits.gather(1, c[:, None]).sum(), z, retain_graph=True)[0])
        image, true, other = (m.flatten(1).gather(1, top) for m in maps)
        return F.softplus(F.cosine_similarity(image, other, dim=1) - F.cosine_similarity(image, true, dim=1))

    torch.testing.assert_close(found.value(net, images, labels, mask).detach(), value(images))
    h, tangent = 1e-6, torch.randn_like(images)
    slope = (value(images + h * tangent) - value(images - h * tangent)) / (2 * h)
    direction = found.gradient(net, images, labels, mask)
    torch.testing.assert_close((direction * tangent).flatten(1).sum(1), slope, rtol=1e-5, atol=1e-8)


def test_images_do_not_depend_on_their_batch(trained: nn.Module, batch: Batch) -> None:
    net, images, labels = trained.double(), batch[0].double(), batch[1]
    fixed = attack(random_start=False).on(net)
    together = fixed(images, labels)
    alone = [fixed(images[i : i + 1], labels[i : i + 1]) for i in range(8)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_restarts_keep_the_largest_margin_over_all_features(trained: nn.Module, batch: Batch) -> None:
    images, labels = batch
    everywhere = attack().prepare(trained, images, labels)

    def margin(restarts: int) -> Tensor:
        adv = attack(restarts=restarts)(trained, images, labels, generator=torch.Generator().manual_seed(0))
        return attack().value(trained, adv, *everywhere).detach()

    gain = margin(4) - margin(1)
    assert float(gain.min()) >= -1e-6
    assert float(gain.max()) > 1e-3


def test_reproducible_with_a_generator(trained: nn.Module, batch: Batch) -> None:
    once, again, other = (attack()(trained, *batch, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert not torch.equal(attack()(trained, *batch), attack()(trained, *batch))


@pytest.mark.parametrize("no_grad", [False, True])
def test_attack_leaves_nothing_behind(make_network: Make, no_grad: bool) -> None:
    net = make_network("residual").train()
    net.bn2.eval()
    net.mix.requires_grad_(False)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    flags = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    x, y, rng = torch.rand(3, 2, 8, 8, requires_grad=True), torch.tensor([0, 3, 1]), torch.get_rng_state()
    with torch.set_grad_enabled(not no_grad):
        adv = ARTAttack(eps=0.1, alpha=0.05, steps=2, k=5, restarts=2)(net, x, y)
        assert torch.is_grad_enabled() != no_grad
    assert not adv.requires_grad
    assert bool((adv != x).flatten(1).any(1).all())
    assert flags == ([m.training for m in net.modules()], [p.requires_grad for p in net.parameters()])
    assert all(p.grad is None for p in (*net.parameters(), x))
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_training_lowers_the_margin(trained: nn.Module, batch: Batch) -> None:
    objective, generator = ART(attack()), torch.Generator().manual_seed(0)
    optimizer, margins = torch.optim.Adam(trained.parameters(), lr=3e-3), []
    for _ in range(8):
        out = objective(trained, *batch, generator=generator)
        margins.append(float(out.parts["margin"]))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert margins[-1] < margins[0] - 0.02


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda net: ART(attack(), lam=-1), "lam is -1"),
        (lambda net: ART(attack(), surrogate_beta=0), "surrogate_beta is 0"),
        (lambda net: attack(k=0), "k is 0"),
        (lambda net: attack(surrogate_beta=-1.0), "beta is -1"),
        (lambda net: attack(k=65)(net, torch.rand(1, 1, 8, 8), torch.tensor([0])), "k is 65.* 64 features"),
    ],
)
def test_impossible_settings(trained: nn.Module, build: Callable[[nn.Module], object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build(trained)
