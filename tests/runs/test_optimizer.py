"""From settings to rates and optimisers; values that no run could use are refused first."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from holdfast import AT, IGR, MART, TRADES, HoldfastError, Standard
from holdfast.attacks import PGD
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import Objective
from holdfast.recipes import recipe
from holdfast.train import OptimConfig, TrainConfig, train
from holdfast.train.setup import build_optimizer
from holdfast.train.step import learning_rate


def rates(config: OptimConfig, per_epoch: int) -> list[float]:
    return [learning_rate(config, step, per_epoch) for step in range(config.epochs * per_epoch)]


def test_constant() -> None:
    assert rates(OptimConfig(lr=0.3, epochs=3), 2) == [0.3] * 6


def test_multistep_changes_at_the_start_of_its_epochs() -> None:
    config = OptimConfig(lr=0.1, epochs=5, schedule="multistep", milestones=(2, 4), gamma=0.5)
    wanted = [0.1] * 3 + [0.05] * 6 + [0.025] * 6
    assert rates(config, 3) == pytest.approx(wanted)


def test_multistep_of_the_paper() -> None:
    config = recipe("cifar10-at").optim
    by_epoch = rates(config, 1)
    assert len(by_epoch) == 120
    assert by_epoch[:74] == [0.1] * 74
    assert by_epoch[74:89] == pytest.approx([0.01] * 15)
    assert by_epoch[89:] == pytest.approx([0.001] * 31)


def test_onecycle_by_hand() -> None:
    config = OptimConfig(lr=2.0, epochs=4, schedule="onecycle")
    wanted = [1.0, 2.0, *(1 + math.cos(math.pi * done / 6) for done in range(1, 7))]
    assert rates(config, 2) == pytest.approx(wanted)


def test_onecycle_ends_at_zero_and_never_exceeds_its_peak() -> None:
    found = rates(OptimConfig(lr=0.7, epochs=25, schedule="onecycle"), 19)
    assert max(found) == pytest.approx(0.7, rel=1e-4)
    assert found[-1] == 0
    peak = found.index(max(found))
    assert found[:peak] == sorted(found[:peak])
    assert found[peak:] == sorted(found[peak:], reverse=True)


def test_the_rate_reaches_the_optimiser(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("digits-standard", optim_schedule="multistep", optim_milestones=(2,), optim_name="sgd")
    used: list[float] = []
    real = torch.optim.SGD.step

    def step(self: torch.optim.SGD, closure: None = None) -> None:
        used.append(self.param_groups[0]["lr"])
        real(self)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    train(config, tmp_path)
    assert used == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4])


def test_adam() -> None:
    optimizer = build_optimizer(OptimConfig(lr=0.3, weight_decay=0.1), nn.Linear(2, 2))
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["lr"] == 0.3
    assert optimizer.defaults["weight_decay"] == 0.1


def test_sgd() -> None:
    optimizer = build_optimizer(OptimConfig(name="sgd", lr=0.3, momentum=0.8, weight_decay=0.1), nn.Linear(2, 2))
    assert type(optimizer) is torch.optim.SGD
    found = {name: optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay", "nesterov")}
    assert found == {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.1, "nesterov": False}


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    assert build_optimizer(OptimConfig(), net).param_groups[0]["params"] == [net.weight]
    net.weight.requires_grad_(False)
    with pytest.raises(HoldfastError, match="no parameters to train"):
        build_optimizer(OptimConfig(), net)


@pytest.mark.parametrize(
    ("method", "kind"),
    [("standard", Standard), ("at", AT), ("trades", TRADES), ("mart", MART)],
)
def test_objectives(method: str, kind: type[Objective]) -> None:
    plain = recipe(f"mnist-{method}").objective
    assert type(plain) is kind
    if method == "standard":
        return
    objective = recipe(f"mnist-{method}-igr").objective
    assert isinstance(objective, IGR)
    assert objective.base == plain
    assert (objective.lam, objective.attribution) == (1.0, IntegratedGradients(10, "riemann_right"))
    attack = plain.attack  # type: ignore[attr-defined]
    assert (attack.eps, attack.alpha, attack.steps, attack.norm) == (0.3, 0.01, 40, "Linf")


NAN, INF = float("nan"), float("inf")
REFUSED: list[tuple[type, dict[str, object]]] = [
    *[(PGD, {"eps": value}) for value in (-0.1, NAN, INF)],
    *[(PGD, {"alpha": value}) for value in (0.0, -0.1, NAN)],
    (PGD, {"steps": 0}),
    (TRADES, {"beta": -1.0}),
    *[(IGR, {"lam": value}) for value in (-1.0, NAN)],
    *[(IGR, {"share": value}) for value in (0.0, 1.5, NAN)],
    *[(OptimConfig, {"lr": value}) for value in (0.0, -1.0, NAN, INF)],
    (OptimConfig, {"momentum": -0.5}),
    (OptimConfig, {"weight_decay": -1.0}),
    (OptimConfig, {"gamma": -1.0}),
    (OptimConfig, {"epochs": 0}),
    (OptimConfig, {"batch_size": -3}),
    *[(OptimConfig, {"eps_warmup": value}) for value in (-0.1, 1.1, NAN)],
    (TrainConfig, {"val_size": 0}),
]


@pytest.mark.parametrize(("part", "given"), REFUSED)
def test_unusable_values_are_named_when_a_part_is_made(part: type, given: dict[str, object]) -> None:
    ((name, value),) = given.items()
    with pytest.raises(HoldfastError, match=rf"{name} is {value}; it (must be|is a part)"):
        part(**given)


def test_unusable_sizes(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    for config, words in (
        (tiny(data_train_size=0), "choose 1 to 1197"),
        (tiny(data_train_size=5000), "choose 1 to 1197"),
        (tiny(data_name="digitz"), "did you mean digits"),
        (tiny(model="resnet"), "did you mean resnet18"),
    ):
        with pytest.raises(HoldfastError, match=words):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a refused run leaves nothing behind"


def test_a_validation_set_smaller_than_asked_for_is_used_whole(
    tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    assert train(tiny("digits-standard", optim_epochs=1, val_size=100_000), tmp_path).finished


def test_the_radius_reaches_the_attack(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 steps, the first two of them a warm-up; validation always has the full radius."""
    used: list[float] = []
    real = PGD.perturb

    def perturb(self: PGD, *args: Any) -> torch.Tensor:
        used.append(self.eps)
        return real(self, *args)

    monkeypatch.setattr(PGD, "perturb", perturb)
    train(tiny("digits-at", optim_eps_warmup=0.5), tmp_path)
    assert used == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1, 0.1])
