"""Table 1 against the recipes, and its formulas against the losses themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from holdfast.attacks import Attack
from holdfast.objectives import IGR
from holdfast.paper.facts import objective_of
from holdfast.paper.losses import LOSSES, loss_of, settings_of, table1
from holdfast.parts import changed_parts
from holdfast.recipes import METHODS, TABLE2, TITLES, method_recipe
from holdfast.train import TrainConfig


def test_every_objective_has_a_loss() -> None:
    assert set(LOSSES) == {objective_of(method_recipe("mnist", method)) for method in METHODS}


def test_rows_and_columns() -> None:
    table = table1("paper", ["mnist", "cifar10"])
    assert [row.title for row in table.rows] == [TITLES[method] for method in TABLE2]
    assert [column.heading for column in table.columns] == [
        "Loss", "x̃ maximises", "Settings, MNIST", "Settings, CIFAR-10", "Cost in F, MNIST", "Cost in F, CIFAR-10",
        "Against the paper",
    ]  # fmt: skip
    trades_igr = table.rows[9].cells
    assert trades_igr[2:6] == (
        "β 1; λ_IGR 1, 10 points; attack ε 0.3, 40 × 0.01",
        "β 6; λ_IGR 1, 5 points; attack ε 0.031373, 10 × 0.007",
        f"{method_recipe('mnist', 'trades-igr').objective.cost:g}",
        f"{method_recipe('cifar10', 'trades-igr').objective.cost:g}",
    )
    assert "Table 1 prints CE(f(x̃), y)" in str(table.rows[8].cells[-1])
    assert trades_igr[-1] == "As without IGR."


@pytest.mark.parametrize("method", METHODS)
def test_settings_name_what_the_formula_uses(method: str) -> None:
    config = method_recipe("mnist", method)
    loss, settings = loss_of(config), settings_of(config)
    assert ("λ_IGR" in loss) == ("λ_IGR" in settings) == isinstance(config.objective, IGR)
    assert ("β" in loss) == ("β" in settings)


def ce(config: TrainConfig, x: torch.Tensor, x_adv: torch.Tensor, net: torch.nn.Module, y: torch.Tensor) -> float:
    """The cross-entropy where the formula has it."""
    return F.cross_entropy(net(x_adv if LOSSES[objective_of(config)].formula.startswith("CE(f(x̃)") else x), y).item()


@pytest.mark.parametrize("method", ["standard", "at", "trades", "trades-printed", "mart", "ig-norm", "ig-sum-norm",
                                    "advaat", "art", "ssr"])  # fmt: skip
def test_the_cross_entropy_is_where_the_formula_says(method: str) -> None:
    """With the labels' logits of x and x̃ apart, the first part of the loss tells which one it was taken at."""
    config = method_recipe("mnist", method, "laptop")

    def small(attack: Attack) -> Attack:
        return replace(attack, steps=1, **({"k": 5} if hasattr(attack, "k") else {}))

    objective = changed_parts(config.objective, Attack, small)
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    x, y = torch.rand(5, 1, 4, 4, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    out = objective(net, x, y, generator=generator)
    assert out.parts["ce"].item() == pytest.approx(ce(config, x, x if out.x_adv is None else out.x_adv, net, y))
