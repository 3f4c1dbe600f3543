"""What the methods share on each data set, and where each value comes from.

Origins: "paper" (stated there), "cited code" (the published code of TRADES, MART, Madry's challenge, Chen et
al., Singh et al. or Wang et al., which the paper says it follows), "ours" (nobody says; see docs/choices.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast.attacks import PGD
from holdfast.errors import HoldfastWarning
from holdfast.evaluate.standard import EvalConfig, IFIAConfig
from holdfast.train.config import DataConfig, OptimConfig, TrainConfig

PAPER, CODE, OURS = "paper", "cited code", "ours"


@dataclass(frozen=True)
class Budget:
    """The inner attack of every row; Linf, pixels in [0, 1]."""

    eps: float
    alpha: float
    steps: int


@dataclass(frozen=True)
class Rivals:
    """What the paper's rivals share."""

    n_steps: int = 10
    """Path points in the loss of IG-NORM, IG-SUM-NORM and AdvAAT (their code: 50)."""
    attack_n_steps: int = 5
    """Path points in their attacks (their code: 5 to 10)."""
    k: int = 100
    """Features that ART's attack looks at, and that R2ET ranks."""
    art_attack: Budget | None = None
    """ART's own attack; None gives it the attack of every other row."""


@dataclass(frozen=True)
class Regulariser:
    """IGR as every row has it."""

    lam: float = 1.0
    n_steps: int = 10
    share: float = 1.0


@dataclass(frozen=True)
class Setup:
    """What the methods on one data set share, and where each value comes from."""

    base: TrainConfig
    """All but the objective and the attack on held-out images."""
    budget: Budget
    trades_beta: float
    mart_beta: float
    igr: Regulariser
    rivals: Rivals
    evaluation: EvalConfig
    origins: dict[str, str]
    title: str = ""
    """What tables call it where that is not the data set's name."""

    @property
    def validation(self) -> PGD:
        """The attack on held-out images: that of training."""
        return PGD(self.budget.eps, self.budget.alpha, self.budget.steps)


def digits_setup() -> Setup:
    """The embedded 8x8 digits: minutes on a CPU; every value is ours."""
    return Setup(
        base=TrainConfig(
            data=DataConfig("digits"),
            optim=OptimConfig(lr=2e-3, epochs=22, batch_size=64, schedule="onecycle"),
            val_size=200,
        ),
        budget=Budget(eps=0.1, alpha=0.03, steps=5),
        trades_beta=6.0,
        mart_beta=5.0,
        igr=Regulariser(n_steps=5, share=1 / 8),
        rivals=Rivals(n_steps=5, attack_n_steps=3, k=8),
        evaluation=EvalConfig(
            dataset="digits",
            n_attribution=120,
            eps=0.1,
            pgd_alpha=0.01,
            ifia=IFIAConfig(eps=0.1, alpha=0.02, steps=40, k=8, n_steps=10),
            auto="quick",
        ),
        origins={"attribution.method": PAPER},
    )


def mnist_setup(name: str = "mnist") -> Setup:
    """MNIST and Fashion-MNIST: the paper's network and optimiser, the cited codes' attack."""
    return Setup(
        base=TrainConfig(
            data=DataConfig(name),
            optim=OptimConfig(name="adam", lr=1e-4, epochs=90, batch_size=128),
            val_size=1000,
        ),
        budget=Budget(eps=0.3, alpha=0.01, steps=40),
        trades_beta=1.0,
        mart_beta=5.0,
        igr=Regulariser(),
        rivals=Rivals(),
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
            "validation.eps": PAPER,
            "validation.alpha": CODE,
            "validation.steps": CODE,
            "beta": CODE,
            "attribution": PAPER,
            "attribution.method": PAPER,
            "share": PAPER,
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


def fashion_mnist_01_setup() -> Setup:
    """Fashion-MNIST at eps = 0.1 (Chen et al.'s own radius), where networks are useful."""
    s = fashion_mnist_setup()
    ev = s.evaluation
    return replace(
        s,
        title="Fashion-MNIST, ε = 0.1",
        budget=Budget(eps=0.1, alpha=0.01, steps=20),
        evaluation=replace(ev, eps=0.1, pgd_alpha=0.01, ifia=replace(ev.ifia, eps=0.1)),
        origins=s.origins | dict.fromkeys(("attack.eps", "validation.eps", "evaluation.eps"), CODE),
    )


def cifar10_setup() -> Setup:
    """CIFAR-10: ResNet-18 with the paper's SGD schedule, the cited codes' attack and augmentation."""
    mnist = mnist_setup()
    return Setup(
        base=TrainConfig(
            data=DataConfig("cifar10", augment="crop_flip"),
            model="resnet18",
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
        budget=Budget(eps=8 / 255, alpha=0.007, steps=10),
        trades_beta=6.0,
        mart_beta=5.0,
        igr=Regulariser(n_steps=5),
        rivals=Rivals(k=1000, art_attack=Budget(eps=8 / 255, alpha=5 / 255, steps=3)),
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
    "fashion_mnist_01": fashion_mnist_01_setup,
    "cifar10": cifar10_setup,
}


def setup(dataset: str) -> Setup:
    """The setup of a data set; one without its own starts from CIFAR-10's, with a warning that says what that is."""
    if dataset in SETUPS:
        return SETUPS[dataset]()
    cifar = cifar10_setup()
    warnings.warn(
        f"there are no settings for data set {dataset!r}, so those of CIFAR-10 are taken: {cifar.base.model}, attacks "
        f"of eps = 8/255, the {cifar.evaluation.ifia.k} largest features (an eighth of them on small images); override "
        "what does not fit.",
        HoldfastWarning,
        stacklevel=3,
    )
    return replace(
        cifar,
        base=replace(cifar.base, data=replace(cifar.base.data, name=dataset)),
        evaluation=replace(cifar.evaluation, dataset=dataset),
    )
