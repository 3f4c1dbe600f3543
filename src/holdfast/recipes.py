"""Complete configurations by name: a data set and a method, every field with its origin. No torch here.

Origins: "paper" (stated there), "cited code" (the published code of TRADES, MART, Madry's challenge or
Chen et al., which the paper says it follows), "ours" (nobody says; see docs/choices.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from holdfast.config import (
    AttackConfig,
    DataConfig,
    EvalConfig,
    IFIAConfig,
    IGRConfig,
    ObjectiveConfig,
    OptimConfig,
    TrainConfig,
)
from holdfast.errors import unknown_name

PAPER, CODE, OURS = "paper", "cited code", "ours"


@dataclass(frozen=True)
class Setup:
    """What the methods on one data set share, and where each value comes from."""

    base: TrainConfig
    trades_beta: float
    mart_beta: float
    igr: IGRConfig
    evaluation: EvalConfig
    origins: dict[str, str]


def digits_setup() -> Setup:
    """The embedded 8x8 digits: minutes on a CPU; every value is ours."""
    return Setup(
        base=TrainConfig(
            data=DataConfig("digits"),
            attack=AttackConfig(eps=0.1, alpha=0.03, steps=5),
            optim=OptimConfig(lr=2e-3, epochs=22, batch_size=64, schedule="onecycle"),
            val_size=200,
        ),
        trades_beta=6.0,
        mart_beta=5.0,
        igr=IGRConfig(lam=1.0, n_steps=5),
        evaluation=EvalConfig(
            dataset="digits",
            n_attribution=120,
            eps=0.1,
            pgd_alpha=0.01,
            ifia=IFIAConfig(eps=0.1, alpha=0.02, steps=40, k=8, n_steps=10),
        ),
        origins={"igr.method": PAPER},
    )


def mnist_setup(name: str = "mnist") -> Setup:
    """MNIST and Fashion-MNIST: the paper's network and optimiser, the cited codes' attack."""
    return Setup(
        base=TrainConfig(
            data=DataConfig(name),
            attack=AttackConfig(eps=0.3, alpha=0.01, steps=40),
            optim=OptimConfig(name="adam", lr=1e-4, epochs=90, batch_size=128),
            val_size=1000,
        ),
        trades_beta=1.0,
        mart_beta=5.0,
        igr=IGRConfig(lam=1.0, n_steps=10),
        evaluation=EvalConfig(
            dataset=name,
            eps=0.3,
            pgd_alpha=0.03,
            ifia=IFIAConfig(eps=0.3, alpha=0.01, steps=200, k=100, n_steps=20),
        ),
        origins={
            "model": PAPER,
            "optim.name": PAPER,
            "optim.lr": PAPER,
            "optim.epochs": PAPER,
            "optim.schedule": PAPER,
            "optim.batch_size": CODE,
            "attack.eps": PAPER,
            "attack.alpha": CODE,
            "attack.steps": CODE,
            "objective.beta": CODE,
            "igr.method": PAPER,
            "evaluation.eps": PAPER,
            "evaluation.ifia.eps": PAPER,
            "evaluation.ifia.alpha": CODE,
            "evaluation.ifia.steps": PAPER,
            "evaluation.ifia.k": PAPER,
            "evaluation.ifia.objective": PAPER,
        },
    )


def fashion_mnist_setup() -> Setup:
    """As MNIST; the paper uses eps = 0.3 for both."""
    return mnist_setup("fashion_mnist")


def cifar10_setup() -> Setup:
    """CIFAR-10: ResNet-18 with the paper's SGD schedule, the cited codes' attack and augmentation."""
    mnist = mnist_setup()
    return Setup(
        base=TrainConfig(
            data=DataConfig("cifar10", augment="crop_flip"),
            model="resnet18",
            attack=AttackConfig(eps=8 / 255, alpha=0.007, steps=10),
            optim=OptimConfig(
                name="sgd",
                lr=0.1,
                momentum=0.9,
                weight_decay=5e-4,
                epochs=120,
                batch_size=128,
                schedule="multistep",
                milestones=(75, 90),
            ),
            val_size=1000,
        ),
        trades_beta=6.0,
        mart_beta=5.0,
        igr=IGRConfig(lam=1.0, n_steps=5),
        evaluation=EvalConfig(
            dataset="cifar10",
            eps=8 / 255,
            pgd_alpha=2 / 255,
            ifia=IFIAConfig(eps=8 / 255, alpha=1 / 255, steps=200, k=1000, n_steps=10),
        ),
        origins=mnist.origins
        | {
            "data.augment": CODE,
            "optim.momentum": PAPER,
            "optim.weight_decay": PAPER,
            "optim.milestones": PAPER,
            "optim.gamma": PAPER,
        },
    )


SETUPS: dict[str, Callable[[], Setup]] = {
    "digits": digits_setup,
    "mnist": mnist_setup,
    "fashion_mnist": fashion_mnist_setup,
    "cifar10": cifar10_setup,
}


def setup(dataset: str) -> Setup:
    """The setup of a data set; any data set without one of its own starts from CIFAR-10's."""
    if dataset in SETUPS:
        return SETUPS[dataset]()
    cifar = cifar10_setup()
    return replace(
        cifar,
        base=replace(cifar.base, data=replace(cifar.base.data, name=dataset)),
        evaluation=replace(cifar.evaluation, dataset=dataset),
    )


def _without_igr(s: Setup, objective: ObjectiveConfig) -> TrainConfig:
    return replace(s.base, objective=objective, igr=replace(s.igr, lam=0.0))


def standard(s: Setup) -> TrainConfig:
    """Cross-entropy on clean images (Table 2, row 1)."""
    return _without_igr(s, ObjectiveConfig("standard", beta=0.0))


def at(s: Setup) -> TrainConfig:
    """Adversarial training (Tables 2 and 3)."""
    return _without_igr(s, ObjectiveConfig("at", beta=0.0))


def trades(s: Setup) -> TrainConfig:
    """TRADES (Tables 2 and 3)."""
    return _without_igr(s, ObjectiveConfig("trades", beta=s.trades_beta))


def mart(s: Setup) -> TrainConfig:
    """MART (Tables 2 and 3)."""
    return _without_igr(s, ObjectiveConfig("mart", beta=s.mart_beta))


def at_igr(s: Setup) -> TrainConfig:
    """AT with the integrated gradients regulariser (Eq. 3; Tables 2 and 3)."""
    return replace(at(s), igr=s.igr)


def trades_igr(s: Setup) -> TrainConfig:
    """TRADES with the integrated gradients regulariser (Eq. 3; Tables 2 and 3)."""
    return replace(trades(s), igr=s.igr)


def mart_igr(s: Setup) -> TrainConfig:
    """MART with the integrated gradients regulariser (Eq. 3; Tables 2 and 3)."""
    return replace(mart(s), igr=s.igr)


METHODS: dict[str, Callable[[Setup], TrainConfig]] = {
    "standard": standard,
    "at": at,
    "at-igr": at_igr,
    "trades": trades,
    "trades-igr": trades_igr,
    "mart": mart,
    "mart-igr": mart_igr,
}


def recipe_names() -> list[str]:
    """All recipes, ``dataset-method``.

    >>> recipe_names()[:3]
    ['digits-standard', 'digits-at', 'digits-at-igr']
    """
    return [f"{dataset}-{method}" for dataset in SETUPS for method in METHODS]


def recipe(name: str) -> TrainConfig:
    """The complete configuration of a recipe.

    Raises:
        HoldfastError: for an unknown name, with the nearest ones.

    >>> recipe("mnist-trades-igr").objective
    ObjectiveConfig(name='trades', beta=1.0)
    """
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names(), "List them with: holdfast recipes.")
    dataset, _, method = name.partition("-")
    return replace(METHODS[method](setup(dataset)), recipe=name)


def evaluation(dataset: str) -> EvalConfig:
    """How models of a data set are evaluated: the same for every row of a table."""
    return setup(dataset).evaluation


def origin(dataset: str, field: str) -> str:
    """Where a recipe's value comes from: "paper", "cited code" or "ours".

    >>> origin("mnist", "optim.lr"), origin("mnist", "igr.lam"), origin("digits", "optim.lr")
    ('paper', 'ours', 'ours')
    """
    return setup(dataset).origins.get(field, OURS)


def training_cost(config: TrainConfig) -> int:
    """Forward passes an image and epoch: attack, loss, and IGR at 4 a path point (two paths).

    >>> training_cost(recipe("mnist-at")), training_cost(recipe("mnist-at-igr"))
    (83, 163)
    """
    base = {"standard": 3, "at": 3, "trades": 7, "mart": 6}[config.objective.name]
    attack = 0 if config.objective.name == "standard" else 2 * config.attack.steps
    igr = 2 * 4 * config.igr.n_steps if config.igr.lam else 0
    return base + attack + igr


def settings(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a configuration with its dotted name.

    >>> from holdfast.config import AttackConfig
    >>> list(settings(AttackConfig(), "attack."))
    [('attack.eps', 0.1), ('attack.alpha', 0.025), ('attack.steps', 10)]
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value
