"""What the page says of how its rows were made: settings, their origins, and commands that make them again."""

from __future__ import annotations

import shlex
from dataclasses import replace
from types import SimpleNamespace

from holdfast.cli import evaluate as evaluate_command_line
from holdfast.cli import train as train_command_line
from holdfast.cli.parse import parse
from holdfast.config import TrainConfig
from holdfast.recipes import evaluation, origin, recipe
from holdfast.reproduce.model import Reproduction
from holdfast.reproduce.page import render_page
from holdfast.reproduce.sections.runs import evaluate_command, train_command
from holdfast.sweep.plan import load_plan


def test_reduced_profile_says_what_it_leaves_out(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    text = made_up.Reader(render_page(reproduction)).text
    assert "This is not the paper's schedule." in text
    small, full = recipe("mnist-trades", "laptop"), recipe("mnist-trades")
    assert f"{small.optim.epochs} of {full.optim.epochs} epochs" in text
    assert f"{small.data.train_size:,} of 55,000 training images" in text


def test_settings_in_which_rows_differ_come_first_with_their_origins(
    reproduction: Reproduction, made_up: SimpleNamespace
) -> None:
    page = render_page(reproduction)
    text = made_up.Reader(
        page[page.index('<h3 id="settings-mnist"') : page.index('<h3 id="settings-fashion-mnist"')]
    ).text
    differing, _, shared = text.partition("The same for all rows")
    assert "igr.lam , ours 0 , ours 1" in differing.replace(" ,", " ,")
    assert "optim.lr" not in differing
    assert f"optim.lr 0.001 {origin('mnist', 'optim.lr', 'trades', 'laptop')} 0.0001" in shared
    assert f"attack.eps 0.3 {origin('mnist', 'attack.eps', 'trades', 'laptop')}" in shared


def test_a_value_that_is_not_the_recipes_is_ours(made_up: SimpleNamespace) -> None:
    run = made_up.run_of("mnist", "trades")
    run = replace(run, train=replace(run.train, attack=replace(run.train.attack, eps=0.2)))
    text = made_up.Reader(render_page(Reproduction("laptop", ("mnist",), (0,), results=(run,)))).text
    assert "attack.eps 0.2 ours 0.3" in text


def test_commands_give_the_very_settings_of_a_run(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    run = made_up.run_of("mnist", "trades-igr", seed=3)
    odd = replace(
        run,
        train=replace(
            run.train,
            optim=replace(run.train.optim, lr=0.5, schedule="multistep", milestones=(2, 4)),
            igr=replace(run.train.igr, internal_batch_size=2),
        ),
        evaluation=replace(run.evaluation, n_attribution=7, ifia=replace(run.evaluation.ifia, random_start=True)),
    )
    for result in (run, odd):
        _, verb, name, *rest = shlex.split(train_command(result))
        assert (verb, name, rest[:2]) == ("train", "mnist-trades-igr", ["--profile", "laptop"])
        options = parse(train_command_line.TrainOptions(recipe(name, "laptop")), rest, "train", "")
        assert options.config == result.train
        assert options.out == f"runs/{result.name}"
        _, verb, folder, *rest = shlex.split(evaluate_command(result))
        assert (verb, folder) == ("evaluate", options.out)
        known = evaluate_command_line.EvaluateOptions(evaluation("mnist"))
        assert parse(known, rest, "evaluate", "").config == result.evaluation
    page = made_up.Reader(render_page(replace(reproduction, results=(odd,)))).text
    assert "--methods trades-igr" not in page, "no sweep makes a run of other settings"
    assert train_command(odd) in page


def test_a_row_is_made_again_by_its_sweep(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    text = made_up.Reader(render_page(reproduction)).text
    command = "holdfast sweep all --profile laptop --datasets mnist,fashion_mnist --methods trades --seeds 0,1"
    assert command in text
    assert "holdfast sweep all --profile laptop --datasets mnist,fashion_mnist --methods ssr --seeds 0,1" in text
    made = load_plan("all", profile="laptop", datasets=("mnist", "fashion_mnist"), methods=("trades",), seeds=(0, 1))
    trained: set[TrainConfig] = {run.train for run in made.runs()}
    assert {run.train for run in reproduction.results if run.method == "trades"} <= trained
