"""Every recipe is complete, costs what it says, comes from where it says, and takes a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from holdfast import HoldfastError, HoldfastWarning
from holdfast.attacks.base import GradientAscent
from holdfast.attribution import IntegratedGradients
from holdfast.evaluate.standard import EvalConfig
from holdfast.models.resolve import build_model
from holdfast.objectives import IGR, Standard
from holdfast.parts import changed_parts, settings
from holdfast.recipes import (
    METHODS,
    PROFILES,
    SETUPS,
    TITLES,
    evaluation,
    method_recipe,
    origin,
    recipe,
    recipe_names,
    split_name,
)
from holdfast.recipes import setup as setup_of
from holdfast.train import TrainConfig
from holdfast.train.setup import build_optimizer

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def test_names() -> None:
    assert recipe_names() == [f"{dataset}-{method}" for dataset in SETUPS for method in METHODS]
    assert len(recipe_names()) == 5 * 18
    assert [split_name(name) for name in recipe_names()] == [(d, m) for d in SETUPS for m in METHODS]
    with pytest.raises(HoldfastError, match="did you mean mnist-trades"):
        recipe("mnist-tardes")


TITLES_IN_TABLES = {
    "standard": "Standard",
    "ig-norm": "IG-NORM",
    "ig-sum-norm": "IG-SUM-NORM",
    "advaat": "AdvAAT",
    "at": "AT",
    "at-igr": "AT+IGR",
    "trades-igr": "TRADES+IGR",
    "at-igr-own": "AT+IGR (Eq. 5)",
    "trades-printed": "TRADES (Table 1)",
}


def test_titles_are_those_of_the_objectives() -> None:
    assert {method: TITLES[method] for method in TITLES_IN_TABLES} == TITLES_IN_TABLES
    assert len(set(TITLES.values())) == len(METHODS), "no two rows of one name"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", recipe_names())
def test_each_is_what_its_name_says(name: str, profile: str) -> None:
    config = recipe(name, profile)
    dataset, method = split_name(name)
    assert (config.recipe, config.profile) == (name, profile)
    assert config.data.name == dataset.removesuffix("_01")
    assert config.objective.title == TITLES[method]
    assert isinstance(config.objective, IGR) == ("-igr" in method)
    quarter = profile == "laptop"
    assert config.model == (("resnet18_quarter" if quarter else "resnet18") if dataset == "cifar10" else "small_cnn")


@pytest.mark.parametrize("dataset", SETUPS)
def test_igr_changes_nothing_else(dataset: str) -> None:
    for method in ("at", "trades", "mart"):
        plain, with_igr = recipe(f"{dataset}-{method}"), recipe(f"{dataset}-{method}-igr")
        assert isinstance(with_igr.objective, IGR)
        assert replace(with_igr, recipe=plain.recipe, objective=with_igr.objective.base) == plain


QUICK = [name for name in recipe_names() if name.startswith(("digits", "cifar10-at", "cifar10-ssr"))]


@pytest.mark.parametrize("name", QUICK)
def test_each_takes_a_step(name: str) -> None:
    dataset, method = split_name(name)
    big = dataset == "cifar10"
    config = changed_parts(recipe(name), GradientAscent, lambda attack: replace(attack, steps=1 if big else 2))
    config = changed_parts(config, IntegratedGradients, lambda path: replace(path, n_steps=1 if big else 2))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2 if big else 4, *SHAPES[dataset], generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config.model, SHAPES[dataset], 10).train()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        output = config.objective(model, images, torch.arange(len(images)), generator=generator)
        optimizer = build_optimizer(config.optim, model)
        output.loss.backward()
        optimizer.step()
    assert torch.isfinite(output.loss)
    assert ("igr" in output.parts) == ("-igr" in method)
    if output.x_adv is not None:
        assert float((output.x_adv - images).abs().max()) <= config.validation.eps + 1e-6
    after = model.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in after.values())
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    ("name", "profile", "cost"),
    [
        ("mnist-standard", "paper", 3),
        ("mnist-at", "paper", 2 * 40 + 3),
        ("mnist-trades", "paper", 2 * 40 + 7),
        ("mnist-mart", "paper", 2 * 40 + 6),
        ("mnist-at-igr", "paper", 2 * 40 + 3 + 8 * 10),
        ("mnist-trades-igr", "paper", 2 * 40 + 7 + 8 * 10),
        ("cifar10-mart-igr", "paper", 2 * 10 + 6 + 8 * 5),
        ("digits-standard-igr", "paper", 2 * 5 + 3 + 8 * 5 / 8),
        ("digits-at-igr-own", "paper", 2 * 5 + 3 + 5 * 4 * 5 + 8 * 5 / 8),
        ("mnist-at-igr", "laptop", 2 * 5 + 3 + 8 * 5 / 8),
    ],
)
def test_cost_of_a_step(name: str, profile: str, cost: float) -> None:
    assert recipe(name, profile).objective.cost == cost


def test_the_second_edition_of_laptop() -> None:
    for dataset in ("mnist", "fashion_mnist", "fashion_mnist_01", "cifar10"):
        config = recipe(f"{dataset}-trades-igr", "laptop")
        small = dataset != "cifar10"
        assert (config.data.train_size, config.optim.epochs) == ((12_000, 4) if small else (10_000, 15))
        assert (config.optim.batch_size, config.optim.eps_warmup, config.optim.schedule) == (64, 0.4, "onecycle")
        assert isinstance(config.objective, IGR)
        assert config.objective.share == 1 / 8
        assert evaluation(dataset, "laptop").ifia.eps == evaluation(dataset).ifia.eps == config.validation.eps


def test_fashion_mnist_at_a_tenth() -> None:
    config, full = recipe("fashion_mnist_01-at"), recipe("fashion_mnist-at")
    assert config.data == full.data
    objective: Any = config.objective
    assert objective.attack.eps == config.validation.eps == evaluation("fashion_mnist_01").eps == 0.1
    assert full.validation.eps == evaluation("fashion_mnist").eps == 0.3


def test_standard_training_with_igr_makes_images_to_compare_with() -> None:
    objective = recipe("digits-standard-igr").objective
    assert isinstance(objective, IGR)
    assert isinstance(objective.base, Standard)
    assert objective.base.attack == recipe("digits-standard-igr").validation


def paths(config: TrainConfig | EvalConfig, prefix: str = "") -> set[str]:
    return {name for name, _ in settings(config, prefix)}


@pytest.mark.parametrize("dataset", SETUPS)
def test_origins_name_fields_that_exist(dataset: str) -> None:
    whole = paths(recipe(f"{dataset}-trades-igr")) | paths(evaluation(dataset), "evaluation.")
    known = {name.removeprefix("objective.").removeprefix("base.") for name in whole}
    origins = setup_of(dataset).origins
    assert origins.keys() <= known
    assert set(origins.values()) <= {"paper", "cited code", "ours"}
    assert {origin(dataset, field) for field in whole} <= {"paper", "cited code", "ours"}


def test_the_settings_of_the_paper() -> None:
    """What the paper states, and that the recipes say so."""
    mnist, cifar = recipe("mnist-trades-igr"), recipe("cifar10-trades-igr")
    stated = {
        "optim.name": ("adam", "sgd"),
        "optim.lr": (1e-4, 0.1),
        "optim.epochs": (90, 120),
        "optim.schedule": ("constant", "multistep"),
        "objective.base.attack.eps": (0.3, 8 / 255),
        "objective.attribution.method": ("riemann_right", "riemann_right"),
    }
    for field, values in stated.items():
        assert (dict(settings(mnist))[field], dict(settings(cifar))[field]) == values, field
        assert origin("mnist", field) == origin("cifar10", field) == "paper", field
    for dataset, k in (("mnist", 100), ("fashion_mnist", 100), ("cifar10", 1000)):
        config = evaluation(dataset)
        assert (config.ifia.k, config.ifia.steps, config.ifia.objective) == (k, 200, "topk")
        assert config.ifia.eps == config.eps == recipe(f"{dataset}-at").validation.eps
        assert config.n_examples is None
        assert config.n_attribution == 1000


def test_a_data_set_of_ones_own_starts_from_cifar10_and_says_so() -> None:
    with pytest.warns(HoldfastWarning, match=r"data set 'me/mine', .*resnet18, .*eps = 8/255, the 1000"):
        config = method_recipe("me/mine", "at")
    assert config.data.name == "me/mine"
    assert replace(config, data=recipe("cifar10-at").data, recipe="cifar10-at") == recipe("cifar10-at")
    with pytest.warns(HoldfastWarning, match="no settings for data set 'me/mine'"):
        assert replace(evaluation("me/mine"), dataset="cifar10") == evaluation("cifar10")


def test_recipes_are_made_afresh(tiny: Callable[..., TrainConfig]) -> None:
    assert tiny("digits-at") != recipe("digits-at")
    assert recipe("digits-at") == recipe("digits-at")
