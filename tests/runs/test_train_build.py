"""From settings to rates, optimisers and objectives; values that no run could use are refused first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from holdfast import AT, IGR, MART, TRADES, HoldfastError, Standard
from holdfast.config import OptimConfig, TrainConfig
from holdfast.objectives import IGRAttack
from holdfast.recipes import recipe
from holdfast.train import train
from holdfast.train.build import build_objective, build_optimizer, check_train_config, learning_rate


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
def test_objectives(method: str, kind: type) -> None:
    generator = torch.Generator()
    assert type(build_objective(recipe(f"mnist-{method}"), generator)) is kind
    if method == "standard":
        return
    config = recipe(f"mnist-{method}-igr")
    objective = build_objective(config, generator)
    assert isinstance(objective, IGR)
    assert type(objective.base) is kind
    assert (objective.lam, objective.n_steps, objective.method) == (config.igr.lam, 10, "riemann_right")
    assert getattr(objective.base, "beta", config.objective.beta) == config.objective.beta
    attack = objective.base.attack(nn.Identity())
    assert (attack.eps, attack.alpha, attack.steps, attack.norm) == (0.3, 0.01, 40, "Linf")
    assert attack.generator is generator


NAN, INF = float("nan"), float("inf")
REFUSED = [
    *[("attack", "eps", value) for value in (-0.1, NAN, INF)],
    *[("attack", "alpha", value) for value in (0.0, -0.1, NAN)],
    ("attack", "steps", 0),
    ("objective", "beta", -1.0),
    *[("igr", "lam", value) for value in (-1.0, NAN)],
    ("igr", "n_steps", 0),
    ("igr", "internal_batch_size", 0),
    *[("optim", "lr", value) for value in (0.0, -1.0, NAN, INF)],
    ("optim", "momentum", -0.5),
    ("optim", "weight_decay", -1.0),
    ("optim", "gamma", -1.0),
    ("optim", "epochs", 0),
    ("optim", "batch_size", -3),
]


@pytest.mark.parametrize(("part", "field", "value"), REFUSED)
def test_unusable_values_are_named(part: str, field: str, value: float, tmp_path: Path) -> None:
    config = recipe("digits-trades-igr")
    config = replace(config, **{part: replace(getattr(config, part), **{field: value})})  # type: ignore[arg-type]
    with pytest.raises(HoldfastError, match=rf"^{part}\.{field} is {value}; it must be"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unusable_sizes(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    for config, words in (
        (tiny(val_size=0), "val_size is 0"),
        (tiny(data_train_size=0), "choose 1 to 1197"),
        (tiny(data_train_size=5000), "choose 1 to 1197"),
        (tiny(data_name="digitz"), "did you mean digits"),
        (tiny(model="resnet"), "did you mean resnet18"),
    ):
        with pytest.raises(HoldfastError, match=words):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a refused run leaves nothing behind"


def test_igr_over_standard_training_gets_images_to_compare_with() -> None:
    config = recipe("digits-standard-igr")
    check_train_config(config)
    objective = build_objective(config, torch.Generator())
    assert isinstance(objective, IGR)
    assert isinstance(objective.base, Standard)
    assert objective.base.attack is not None
    assert build_objective(replace(config, igr=replace(config.igr, lam=0.0)), torch.Generator()).attack is None


def test_igr_with_its_own_adversary() -> None:
    objective = build_objective(recipe("digits-at-igr-own"), torch.Generator())
    assert isinstance(objective, IGR)
    assert objective.attack.func is IGRAttack
    assert build_objective(recipe("digits-at-igr"), torch.Generator()).attack is None


def test_a_validation_set_smaller_than_asked_for_is_used_whole(
    tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    assert train(tiny("digits-standard", optim_epochs=1, val_size=100_000), tmp_path).finished
