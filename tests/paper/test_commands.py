"""What the document says of how its rows were made: settings, their origins, and commands that make them again."""

from __future__ import annotations

import shlex
from dataclasses import replace

from holdfast.attacks import Attack
from holdfast.cli import evaluate as evaluate_command_line
from holdfast.cli import train as train_command_line
from holdfast.cli.parse import parse
from holdfast.evaluate import protocol_of
from holdfast.paper.facts import evaluate_command, reductions, rows_again, sweep_command, train_command
from holdfast.parts import changed_parts
from holdfast.recipes import evaluation, origin, recipe
from holdfast.report.document import Code
from holdfast.report.settings import settings_tables
from holdfast.sweep.plan import load_plan
from holdfast.train import TrainConfig

from .conftest import MakeResult


def test_reduced_profile_says_what_it_leaves_out(result: MakeResult) -> None:
    text = reductions(result("trades"))
    small, full = recipe("mnist-trades", "laptop"), recipe("mnist-trades")
    assert f"{small.optim.epochs} of {full.optim.epochs} epochs" in text
    assert f"{small.data.train_size:,} of 55,000 training images" in text


def test_settings_in_which_rows_differ_come_first_with_their_origins(result: MakeResult) -> None:
    differing, shared = settings_tables([result("trades"), result("trades-igr"), result("trades", seed=1)])
    assert differing.title == "MNIST: where the rows differ"
    assert [column.heading for column in differing.columns] == ["TRADES", "TRADES+IGR"]
    assert next(row.cells for row in differing.rows if row.title == "objective") == ("TRADES (ours)", "IGR (ours)")
    rows = {row.title: row.cells for row in shared.rows}
    assert "optim.lr" not in {row.title for row in differing.rows}
    assert rows["optim.lr"] == ("0.001", origin("mnist", "optim.lr", "trades", "laptop"), "0.0001")
    assert rows["validation.eps"][:2] == ("0.3", origin("mnist", "validation.eps", "trades", "laptop"))


def test_a_value_that_is_not_the_recipes_is_ours(result: MakeResult) -> None:
    run = result("trades")
    objective = changed_parts(run.train.objective, Attack, lambda a: replace(a, eps=0.2))
    run = replace(run, settings=replace(run.train, objective=objective))
    (shared,) = settings_tables([run])
    assert next(row.cells for row in shared.rows if row.title == "objective.attack.eps") == ("0.2", "ours", "0.3")


def test_commands_give_the_very_settings_of_a_run(result: MakeResult) -> None:
    run = result("trades-igr", seed=3)
    odd = replace(
        run,
        settings=replace(
            run.train,
            optim=replace(run.train.optim, lr=0.5, schedule="multistep", milestones=(2, 4)),
            objective=replace(run.train.objective, share=0.5),
        ),
        protocol=protocol_of(
            replace(run.evaluation, n_attribution=7, ifia=replace(run.evaluation.ifia, random_start=True))
        ),
    )
    for each in (run, odd):
        _, verb, name, *rest = shlex.split(train_command(each))
        assert (verb, name, rest[:2]) == ("train", "mnist-trades-igr", ["--profile", "laptop"])
        options = parse(train_command_line.TrainOptions(recipe(name, "laptop")), rest, "train", "")
        assert options.config == each.train
        assert options.out == f"runs/{each.name}"
        _, verb, folder, *rest = shlex.split(evaluate_command(each))
        assert (verb, folder) == ("evaluate", options.out)
        known = evaluate_command_line.EvaluateOptions(evaluation("mnist"))
        assert parse(known, rest, "evaluate", "").config == each.evaluation
    lines = [line for block in rows_again([odd]) if isinstance(block, Code) for line in block.lines]
    assert lines == [train_command(odd), evaluate_command(odd)], "no sweep makes a run of other settings"


def test_a_row_is_made_again_by_its_sweep(result: MakeResult) -> None:
    runs = [result("trades"), result("trades", "fashion_mnist"), result("trades", seed=1)]
    command = "holdfast sweep all --profile laptop --datasets mnist,fashion_mnist --methods trades --seeds 0,1"
    assert sweep_command(runs) == command
    assert [block.lines for block in rows_again(runs) if isinstance(block, Code)] == [(command,)]
    made = load_plan("all", profile="laptop", datasets=("mnist", "fashion_mnist"), methods=("trades",), seeds=(0, 1))
    trained: set[TrainConfig] = {run.train for run in made.runs()}
    assert {run.train for run in runs} <= trained
