from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import AT, IGR, MART, PGD, TPGD, TRADES, HoldfastError, LossOutput, Standard, igr_penalty
from holdfast.attacks import Attack
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import Objective
from tests.oracles import Fixed

pgd = PGD(eps=0.1, alpha=0.05, steps=3, random_start=False)


class Logits(nn.Module):
    """Images are logits, times a learnt scale."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


X = torch.tensor([[0.1, 0.3, 0.0], [0.5, 0.2, 0.4]])
X_ADV = torch.tensor([[0.3, 0.2, 0.0], [0.4, 0.3, 0.1]])
Y = torch.tensor([1, 0])  # the first is misclassified at X_ADV, with runner-up itself second; the second is not


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(10 * v) for v in row]
    return [p / sum(powers) for p in powers]


P = [softmax(row) for row in X.tolist()]
Q = [softmax(row) for row in X_ADV.tolist()]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_standard() -> None:
    out = Standard()(Logits(), X, Y)
    assert out.x_adv is None
    assert float(out.loss.detach()) == pytest.approx(mean([-math.log(P[0][1]), -math.log(P[1][0])]))


def test_at() -> None:
    net = Logits()
    out = AT(Fixed(X_ADV))(net, X, Y)
    assert out.x_adv is X_ADV
    assert float(out.loss.detach()) == pytest.approx(mean([-math.log(Q[0][1]), -math.log(Q[1][0])]))
    assert set(out.parts) == {"ce"}


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades(beta: float) -> None:
    net = Logits()
    out = TRADES(Fixed(X_ADV), beta=beta)(net, X, Y)
    ce = mean([-math.log(P[0][1]), -math.log(P[1][0])])
    divergence = mean([kl(P[0], Q[0]), kl(P[1], Q[1])])
    assert divergence != pytest.approx(mean([kl(Q[0], P[0]), kl(Q[1], P[1])]), rel=0.01)
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx({"ce": ce, "kl": divergence})
    assert float(out.loss.detach()) == pytest.approx(ce + beta * divergence)


def test_trades_lets_both_predictions_learn() -> None:
    net = Logits()
    out = TRADES(Fixed(X_ADV), beta=1.0)(net, X, Y)
    (found,) = torch.autograd.grad(out.loss, net.scale)
    s = net.scale
    p, q = F.softmax(s * X, dim=1), F.softmax(s * X_ADV, dim=1)
    (expected,) = torch.autograd.grad(F.cross_entropy(s * X, Y) + (p * (p / q).log()).sum(1).mean(), s)
    torch.testing.assert_close(found, expected)


def test_trades_of_equal_images_has_no_divergence() -> None:
    net = Logits()
    assert float(TRADES(Fixed(X))(net, X, Y).parts["kl"]) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 1), slice(1, 2)])
def test_mart(rows: slice) -> None:
    """The wrong class is the top one where that is wrong (first image), else the second (second image)."""
    net = Logits()
    out = MART(Fixed(X_ADV[rows]), beta=5.0)(net, X[rows], Y[rows])
    both = [(P[0], Q[0], 1, 0), (P[1], Q[1], 0, 1)][rows]
    ce = mean([-math.log(q[y]) for _, q, y, _ in both])
    margin = mean([-math.log(1.0001 - q[wrong]) for _, q, _, wrong in both])
    divergence = mean([kl(p, q) * (1.0000001 - p[y]) for p, q, y, _ in both])
    expected = {"ce": ce, "margin": margin, "kl": divergence}
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx(expected, rel=1e-5)
    assert float(out.loss.detach()) == pytest.approx(ce + margin + 5 * divergence, rel=1e-5)


def test_mart_is_finite_when_the_prediction_is_certain() -> None:
    net = Logits()
    sure = torch.tensor([[1.0, 0.0, 0.0]])
    nn.init.constant_(net.scale, 500.0)
    for y in (0, 1):
        out = MART(Fixed(sure))(net, sure, torch.tensor([y]))
        out.loss.backward()
        assert bool(out.loss.isfinite())
        assert net.scale.grad is not None
        assert bool(net.scale.grad.isfinite())


BASES: dict[str, Callable[[Attack], Objective]] = {"AT": AT, "TRADES": TRADES, "MART": MART}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("size", [None, 3])
def test_igr_adds_its_mean_penalty_at_the_very_images_of_its_base(
    make_network: Callable[[str], nn.Module], pair: tuple[Tensor, Tensor, Tensor], base: str, size: int | None
) -> None:
    net = make_network("F.relu").double()
    x, x_adv, y = pair
    attack = Fixed(x_adv)
    plain = BASES[base](attack)(net, x, y)
    out = IGR(BASES[base](attack), lam=0.7, attribution=IntegratedGradients(3, "riemann_right", 0.0, size))(net, x, y)
    penalty = igr_penalty(net, x, x_adv, y, n_steps=3, method="riemann_right").mean()
    assert len(attack.calls) == 2
    assert out.x_adv is x_adv
    assert set(out.parts) == {*plain.parts, "igr"}
    assert not out.parts["igr"].requires_grad
    torch.testing.assert_close(out.parts["igr"], penalty.detach())
    torch.testing.assert_close(out.loss, plain.loss + 0.7 * penalty)
    found = torch.autograd.grad(out.loss, [*net.parameters()])
    expected = torch.autograd.grad(plain.loss + 0.7 * penalty, [*net.parameters()])
    torch.testing.assert_close(found, expected)


@dataclass(frozen=True)
class Noted(Objective):
    """Notes the adversarial images of another objective."""

    of: Objective
    seen: list[Tensor] = field(default_factory=list)

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None
    ) -> LossOutput:
        out = self.of(model, x, y, generator=generator)
        assert out.x_adv is not None
        self.seen.append(out.x_adv)
        return out


def test_igr_attacks_once(make_network: Callable[[str], nn.Module]) -> None:
    """With a random start a second attack would give other images."""
    net = make_network("F.relu")
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    base = Noted(AT(PGD(eps=0.1, alpha=0.05, steps=2)))
    out = IGR(base, attribution=IntegratedGradients(2, "riemann_right"))(net, x, y)
    assert len(base.seen) == 1
    assert out.x_adv is base.seen[0]
    penalty = igr_penalty(net, x, base.seen[0], y, n_steps=2)
    torch.testing.assert_close(out.parts["igr"], penalty.mean().detach())


def test_igr_needs_adversarial_images() -> None:
    with pytest.raises(HoldfastError, match=r"Standard makes no adversarial images.*AT, TRADES or MART"):
        IGR(Standard())(Logits(), X, Y)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IGR(AT(pgd), lam=-1), "lam is -1"),
        (lambda: IGR(AT(pgd), share=0.0), r"share is 0\.0.*more than 0 and at most 1"),
        (lambda: IGR(AT(pgd), share=1.5), r"share is 1\.5"),
        (lambda: TRADES(pgd, beta=-0.5), "beta is -0.5"),
        (lambda: MART(pgd, beta=float("nan")), "beta is nan"),
    ],
)
def test_impossible_weights(build: Callable[[], object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build()


@pytest.mark.parametrize("base", BASES)
def test_its_images_are_those_of_its_attack_from_the_same_generator(
    make_network: Callable[[str], nn.Module], base: str
) -> None:
    net = make_network("F.relu")
    x, y = torch.rand(3, 2, 8, 8), torch.tensor([0, 3, 1])
    attack = PGD(eps=0.1, alpha=0.05, steps=3)
    out = BASES[base](attack)(net, x, y, generator=torch.Generator().manual_seed(4))
    assert out.x_adv is not None
    assert not out.x_adv.requires_grad
    assert torch.equal(out.x_adv, attack(net, x, y, generator=torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("base", [*BASES, "IGR"])
def test_the_loss_runs_in_the_callers_mode_and_all_else_in_evaluation(base: str, training: bool) -> None:
    modes: list[tuple[bool, bool]] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    net[3].register_forward_hook(lambda m, args, out: modes.append((m.training, bool((out != args[0]).any()))))
    net.train(training)
    x, y = torch.rand(4, 1, 3, 4), torch.tensor([0, 1, 2, 1])
    attack = (TPGD if base == "TRADES" else PGD)(eps=0.1, alpha=0.05, steps=3)
    objective = IGR(AT(attack), attribution=IntegratedGradients(2)) if base == "IGR" else BASES[base](attack)
    objective(net, x, y).loss.backward()
    assert all(active == mode for mode, active in modes)
    losses = {"AT": 1, "TRADES": 2, "MART": 2, "IGR": 1}[base]
    assert sum(mode for mode, _ in modes) == (losses if training else 0)
    assert len(modes) > losses + 3
    assert net.training is training
