"""Every recipe is complete, costs what it says, comes from where it says, and takes a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from holdfast.train.build import build_objective, build_optimizer, check_train_config

from holdfast import HoldfastError
from holdfast.config import EvalConfig
from holdfast.models.resolve import build_model
from holdfast.recipes import METHODS, SETUPS, evaluation, origin, recipe, recipe_names, settings, setup, training_cost
from holdfast.train.config import TrainConfig

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def test_names() -> None:
    assert recipe_names() == [f"{dataset}-{method}" for dataset in SETUPS for method in METHODS]
    assert len(recipe_names()) == 72
    with pytest.raises(HoldfastError, match="did you mean mnist-trades"):
        recipe("mnist-tardes")


@pytest.mark.parametrize("name", recipe_names())
def test_each_is_what_its_name_says(name: str) -> None:
    config = recipe(name)
    check_train_config(config)
    dataset, _, method = name.partition("-")
    assert (config.recipe, config.data.name) == (name, dataset)
    assert config.objective.name == method.removesuffix("-own").removesuffix("-igr")
    assert (config.igr.lam > 0) == ("-igr" in method)
    assert config.model == ("resnet18" if dataset == "cifar10" else "small_cnn")


@pytest.mark.parametrize("dataset", SETUPS)
def test_igr_changes_nothing_else(dataset: str) -> None:
    for method in ("at", "trades", "mart"):
        plain, with_igr = recipe(f"{dataset}-{method}"), recipe(f"{dataset}-{method}-igr")
        assert replace(with_igr, recipe=plain.recipe, igr=replace(with_igr.igr, lam=0.0)) == plain


QUICK = [name for name in recipe_names() if name.startswith(("digits", "cifar10-at", "cifar10-ssr"))]


@pytest.mark.parametrize("name", QUICK)
def test_each_takes_a_step(name: str) -> None:
    dataset = name.partition("-")[0]
    config = recipe(name)
    big = dataset == "cifar10"
    config = replace(
        config,
        attack=replace(config.attack, steps=1 if big else 2),
        objective=replace(config.objective, n_steps=2, attack_n_steps=1),
        igr=replace(config.igr, n_steps=1 if big else 2),
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2 if big else 4, *SHAPES[dataset], generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config.model, SHAPES[dataset], 10).train()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        output = build_objective(config, generator)(model, images, torch.arange(len(images)))
        optimizer = build_optimizer(config.optim, model)
        output.loss.backward()
        optimizer.step()
    assert torch.isfinite(output.loss)
    assert ("igr" in output.parts) == ("-igr" in name)
    if output.x_adv is not None:
        assert float((output.x_adv - images).abs().max()) <= config.attack.eps + 1e-6
    after = model.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in after.values())
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("mnist-standard", 3),
        ("mnist-at", 2 * 40 + 3),
        ("mnist-trades", 2 * 40 + 7),
        ("mnist-mart", 2 * 40 + 6),
        ("mnist-at-igr", 2 * 40 + 3 + 8 * 10),
        ("mnist-trades-igr", 2 * 40 + 7 + 8 * 10),
        ("cifar10-mart-igr", 2 * 10 + 6 + 8 * 5),
    ],
)
def test_training_cost(name: str, cost: int) -> None:
    assert training_cost(recipe(name)) == cost


def paths(config: TrainConfig | EvalConfig, prefix: str = "") -> set[str]:
    return {name for name, _ in settings(config, prefix)}


@pytest.mark.parametrize("dataset", SETUPS)
def test_origins_name_fields_that_exist(dataset: str) -> None:
    known = paths(recipe(f"{dataset}-trades-igr")) | paths(evaluation(dataset), "evaluation.")
    origins = setup(dataset).origins
    assert origins.keys() <= known
    assert set(origins.values()) <= {"paper", "cited code", "ours"}
    assert {origin(dataset, field) for field in known} <= {"paper", "cited code", "ours"}


def test_the_settings_of_the_paper() -> None:
    """What the paper states, and that the recipes say so."""
    mnist, cifar = recipe("mnist-trades-igr"), recipe("cifar10-trades-igr")
    stated = {
        "optim.name": ("adam", "sgd"),
        "optim.lr": (1e-4, 0.1),
        "optim.epochs": (90, 120),
        "optim.schedule": ("constant", "multistep"),
        "attack.eps": (0.3, 8 / 255),
        "igr.method": ("riemann_right", "riemann_right"),
    }
    for field, values in stated.items():
        assert (dict(settings(mnist))[field], dict(settings(cifar))[field]) == values, field
        assert origin("mnist", field) == origin("cifar10", field) == "paper", field
    for dataset, k in (("mnist", 100), ("fashion_mnist", 100), ("cifar10", 1000)):
        config = evaluation(dataset)
        assert (config.ifia.k, config.ifia.steps, config.ifia.objective) == (k, 200, "topk")
        assert config.ifia.eps == config.eps == recipe(f"{dataset}-at").attack.eps
        assert config.n_examples is None
        assert config.n_attribution == 1000


def test_a_data_set_of_ones_own_starts_from_cifar10() -> None:
    config = setup("me/mine")
    assert config.base.data.name == config.evaluation.dataset == "me/mine"
    assert replace(config.base, data=recipe("cifar10-at").data) == setup("cifar10").base


def test_recipes_are_made_afresh(tiny: Callable[..., TrainConfig]) -> None:
    assert tiny("digits-at") != recipe("digits-at")
    assert recipe("digits-at") == recipe("digits-at")
