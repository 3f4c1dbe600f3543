"""Attacks on predictions beside the published implementations, and their ensemble."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from torch import Tensor, nn

from holdfast import HoldfastError
from holdfast.attacks import APGD, FAB, AutoAttack, Square
from holdfast.attacks.base import Attack, Norm
from holdfast.attacks.fab import project_onto_hyperplane
from tests.attacks.conftest import Known, seeded

EPS = 0.12


def standing(known: Known, adv: Tensor) -> int:
    return int((known.net(adv).argmax(1) == known.y).sum())


def theirs(name: str, net: nn.Module, **options: object) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchattacks = pytest.importorskip("torchattacks")
        return getattr(torchattacks, name)(net, **options)


@pytest.fixture(scope="module")
def more(known: Known) -> Known:
    """The same images shifted by a pixel too: 48, all correct."""
    x = torch.cat([known.x.roll(s, d).clone() for s, d in ((0, 2), (1, 2), (-1, 2), (1, 3), (-1, 3))])
    return Known(known.net, x, known.net(x).argmax(1))


@pytest.mark.parametrize(
    ("attack", "name", "options"),
    [
        (APGD(EPS, 30), "APGD", {"eps": EPS, "steps": 30, "loss": "ce"}),
        (APGD(EPS, 30, "dlr"), "APGD", {"eps": EPS, "steps": 30, "loss": "dlr"}),
        (APGD(EPS, 20, "targeted", targets=3), "APGDT", {"eps": EPS, "steps": 20, "n_classes": 4}),
        (APGD(0.4, 30, norm="L2"), "APGD", {"eps": 0.4, "steps": 30, "loss": "ce", "norm": "L2"}),
        (Square(EPS, 300), "Square", {"eps": EPS, "n_queries": 300}),
    ],
)
def test_as_many_stand_as_in_torchattacks(more: Known, attack: Attack, name: str, options: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = standing(more, theirs(name, more.net, **options)(more.x, more.y))
    ours = standing(more, attack(more.net, more.x, more.y, generator=seeded()))
    assert 3 < published < len(more.x) - 3
    assert abs(ours - published) <= 2


@pytest.mark.parametrize(("norm", "eps"), [("Linf", EPS), ("L2", 0.4)])
def test_fab_finds_the_images_of_torchattacks(more: Known, norm: str, eps: float) -> None:
    published = theirs("FAB", more.net, norm=norm, eps=eps, steps=10, multi_targeted=True, n_classes=4)(more.x, more.y)
    ours = FAB(eps, 10, norm=norm, targets=3)(more.net, more.x, more.y)  # type: ignore[arg-type]
    assert 3 < standing(more, ours) < len(more.x) - 3
    torch.testing.assert_close(ours, published, rtol=0, atol=1e-5)


def by_scipy(x: np.ndarray, w: np.ndarray, value: float, norm: str) -> tuple[float, float]:
    """The shortest move's length in the box that brings ``value + <w, move>`` to 0 or nearest to it, and to what."""
    room = np.where(w * value > 0, -x, 1 - x)
    nearest = max(abs(value) - abs(w @ room), 0) * np.sign(value)
    if norm == "Linf":  # minimise t with |move_i| <= t
        n, ones = len(x), np.ones((len(x), 1))
        sides = np.vstack([np.hstack([np.eye(n), -ones]), np.hstack([-np.eye(n), -ones])])
        bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
        found = linprog([0] * n + [1], sides, np.zeros(2 * n), [[*w, 0]], [nearest - value], bounds)
        return found.fun, nearest
    on_the_plane = {"type": "eq", "fun": lambda move: w @ move + value - nearest, "jac": lambda move: w}
    start = room * min(abs(value) / max(abs(w @ room), 1e-12), 1)
    found = minimize(
        lambda move: move @ move, start, jac=lambda move: 2 * move, bounds=list(zip(-x, 1 - x, strict=True)),
        constraints=on_the_plane, method="SLSQP", options={"ftol": 1e-12},
    )  # fmt: skip
    return float(np.linalg.norm(found.x)), nearest


pixel = st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.8, 1.0])
slope = st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.2, 1.0, 3.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(pixel, slope), min_size=1, max_size=6), st.floats(-4, 4), st.sampled_from(["Linf", "L2"]))
def test_projection_onto_hyperplane_and_box(features: list[tuple[float, float]], value: float, norm: str) -> None:
    x, w = (np.array(side) for side in zip(*features, strict=True))
    if not np.abs(w).any():
        return
    points, normal = (torch.tensor(side)[None] for side in (x, w))
    move = project_onto_hyperplane(points, normal, torch.tensor([value], dtype=torch.float64), norm)[0].numpy()  # type: ignore[arg-type]
    length, nearest = by_scipy(x, w, value, norm)
    assert (x + move >= -1e-12).all()
    assert (x + move <= 1 + 1e-12).all()
    assert w @ move + value == pytest.approx(nearest, abs=1e-9)
    own = np.abs(move).max() if norm == "Linf" else np.linalg.norm(move)
    assert own == pytest.approx(length, abs=1e-5)


@pytest.mark.parametrize(
    "attack",
    [APGD(EPS, 10), APGD(1.0, 10, norm="L2"), FAB(EPS, 5), FAB(1.0, 5, norm="L2"), Square(EPS, 50),
     AutoAttack(EPS, 10, 50)],
)  # fmt: skip
def test_inside_the_ball_by_a_seed_and_whatever_is_beside(known: Known, attack: Attack) -> None:
    adv = attack(known.net, known.x, known.y, generator=seeded())
    delta = (adv - known.x).flatten(1)
    size = delta.norm(dim=1) if getattr(attack, "norm", "Linf") == "L2" else delta.abs().amax(1)
    assert float(size.max()) <= attack.eps + 1e-5  # type: ignore[attr-defined]
    assert 0 <= float(adv.min()) <= float(adv.max()) <= 1
    rows = torch.tensor([5, 1])
    few = attack(known.net, known.x[rows], known.y[rows], generator=seeded())
    torch.testing.assert_close(few, adv[rows], rtol=0, atol=1e-6)
    if not isinstance(attack, FAB):
        assert not torch.equal(attack(known.net, known.x, known.y, generator=seeded(1)), adv)


def test_step_sizes_halve_where_the_loss_oscillates() -> None:
    """On -|x - a| per pixel a step of 2 eps jumps over the top; only halving comes near."""

    class Tent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            away = (x - 0.53).abs().flatten(1).sum(1)
            return torch.stack([away + 1, torch.zeros_like(away)], dim=1)

    x = torch.full((2, 1, 2, 2), 0.5)
    adv = APGD(0.1, 60)(Tent(), x, torch.zeros(2, dtype=torch.int64), generator=seeded())
    assert float((adv - 0.53).abs().max()) < 0.01


def test_the_ensemble_is_as_strong_as_its_members_and_says_who_won(known: Known) -> None:
    attack = AutoAttack(EPS, 20, 100, targets=3)
    found = attack.run(known.net, known.x, known.y, generator=seeded())
    left = standing(known, found.adv_images)
    for member in attack.members(10).values():
        assert left <= standing(known, member(known.net, known.x, known.y, generator=seeded()))
    shares = [*found.standing.values()]
    assert list(found.standing) == ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(left / len(known.x))
    assert torch.equal(found.succeeded, known.net(found.adv_images).argmax(1) != known.y)


def test_members_by_the_number_of_classes() -> None:
    assert [*AutoAttack().members(2)] == ["apgd-ce", "fab-t", "square"]
    assert [*AutoAttack().members(3)] == ["apgd-ce", "apgd-dlr", "fab-t", "square"]
    assert [*AutoAttack(norm="L2").members(10)] == ["apgd-ce", "apgd-t", "fab-t"]


def test_too_few_classes_are_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(HoldfastError, match="2 classes; the loss dlr needs 3"):
        APGD(loss="dlr")(net, torch.rand(2, 1, 2, 2), torch.tensor([0, 1]))
    with pytest.raises(HoldfastError, match="loss"):
        APGD(loss="huge")  # type: ignore[arg-type]


def test_images_already_wrong_come_back(known: Known) -> None:
    wrong = (known.y + 1) % 10
    for attack in (APGD(EPS, 3), FAB(EPS, 3), Square(EPS, 3), AutoAttack(EPS, 3, 3)):
        assert torch.equal(attack(known.net, known.x, wrong, generator=seeded()), known.x)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("exponent", [-80, 10, 70])
def test_fab_does_not_mind_the_scale_of_the_logits(known: Known, norm: Norm, exponent: int) -> None:
    class Loud(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return known.net(x) * 2.0**exponent

    attack = FAB(EPS if norm == "Linf" else 0.4, 10, targets=3, norm=norm)
    found = attack(known.net, known.x, known.y)
    assert not torch.equal(found, known.x)
    torch.testing.assert_close(attack(Loud(), known.x, known.y), found)
