"""Table 1 against the recipes, and its formulas against the losses themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from holdfast.train.build import build_objective

from holdfast.config import ObjectiveName, TrainConfig
from holdfast.paper.losses import LOSSES, loss_of, settings_of, table1
from holdfast.recipes import METHODS, TABLE2, method_recipe, training_cost
from holdfast.train.build import build_objective


def test_every_objective_has_a_loss() -> None:
    assert set(LOSSES) == set(get_args(ObjectiveName))


def test_rows_and_columns() -> None:
    table = table1("paper", ["mnist", "cifar10"])
    assert [row.title for row in table.rows] == list(TABLE2.values())
    assert [column.heading for column in table.columns] == [
        "Loss", "x̃ maximises", "Settings, MNIST", "Settings, CIFAR-10", "Cost in F, MNIST", "Cost in F, CIFAR-10",
        "Against the paper",
    ]  # fmt: skip
    trades_igr = table.rows[9].cells
    assert trades_igr[2:6] == (
        "β 1; λ_IGR 1, 10 points; attack ε 0.3, 40 × 0.01",
        "β 6; λ_IGR 1, 5 points; attack ε 0.031373, 10 × 0.007",
        f"{training_cost(method_recipe('mnist', 'trades-igr'))}",
        f"{training_cost(method_recipe('cifar10', 'trades-igr'))}",
    )
    assert "Table 1 prints CE(f(x̃), y)" in str(table.rows[8].cells[-1])
    assert trades_igr[-1] == "As without IGR."


@pytest.mark.parametrize("method", METHODS)
def test_settings_name_what_the_formula_uses(method: str) -> None:
    config = method_recipe("mnist", method)
    loss, settings = loss_of(config), settings_of(config)
    assert ("λ_IGR" in loss) == ("λ_IGR" in settings) == bool(config.igr.lam)
    assert ("β" in loss) == ("β" in settings)


def ce(config: TrainConfig, x: torch.Tensor, x_adv: torch.Tensor, net: torch.nn.Module, y: torch.Tensor) -> float:
    """The cross-entropy where the formula has it."""
    return F.cross_entropy(net(x_adv if LOSSES[config.objective.name].formula.startswith("CE(f(x̃)") else x), y).item()


@pytest.mark.parametrize("method", ["standard", "at", "trades", "trades-printed", "mart", "ig-norm", "ig-sum-norm",
                                    "advaat", "art", "ssr"])  # fmt: skip
def test_the_cross_entropy_is_where_the_formula_says(method: str) -> None:
    """With the labels' logits of x and x̃ apart, the first part of the loss tells which one it was taken at."""
    config = method_recipe("mnist", method, "laptop")
    config = replace(config, attack=replace(config.attack, steps=1), objective=replace(config.objective, k=5))
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    x, y = torch.rand(5, 1, 4, 4, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    out = build_objective(config, generator)(net, x, y)
    assert out.parts["ce"].item() == pytest.approx(ce(config, x, x if out.x_adv is None else out.x_adv, net, y))
