"""What a training run is: its data, its network, its objective as a tree of parts, and its schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.attacks import PGD
from holdfast.data.loader import Augment
from holdfast.errors import HoldfastError
from holdfast.objectives import Objective, Standard
from holdfast.train.precision import Precision
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class DataConfig:
    """Which images."""

    name: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, a folder, or file.py:function."""
    train_size: int | None = None
    """Use only so many training images (the first ones); None uses all."""
    augment: Augment = "none"
    """crop_flip: random crop with 4 pixels of padding and horizontal flip."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule."""

    name: Literal["adam", "sgd"] = "adam"
    """Optimiser."""
    lr: float = 1e-4
    """Learning rate at the start (the peak with onecycle)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 0.0
    """L2 penalty."""
    epochs: int = 90
    """Passes over the training images."""
    batch_size: int = 128
    """Images a step, over all processes."""
    schedule: Literal["constant", "multistep", "onecycle"] = "constant"
    """Learning-rate schedule."""
    milestones: tuple[int, ...] = ()
    """multistep: epochs (from 1) at whose start the rate is multiplied by gamma."""
    gamma: float = 0.1
    """multistep: the factor."""
    eps_warmup: float = 0.0
    """Part of all steps over which every attack's eps and the objective's weight lam grow linearly from 0 to theirs."""

    def __post_init__(self) -> None:
        check_positive("optim.lr", self.lr)
        for name in ("momentum", "weight_decay", "gamma"):
            check_positive(f"optim.{name}", getattr(self, name), zero=True)
        check_count("optim.epochs", self.epochs)
        check_count("optim.batch_size", self.batch_size)
        if not 0 <= self.eps_warmup <= 1:
            raise HoldfastError(f"optim.eps_warmup is {self.eps_warmup}; it is a part of the steps, from 0 to 1.")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the result of a training run."""

    recipe: str = "custom"
    """Name of the recipe this came from."""
    profile: str = "paper"
    """Profile of that recipe: smoke, laptop, fast or paper."""
    data: DataConfig = DataConfig()
    model: str = "small_cnn"
    """small_cnn, resnet18, module:factory or file.py:factory."""
    objective: Objective = Standard()
    """What is minimised."""
    optim: OptimConfig = OptimConfig()
    validation: PGD = PGD(eps=0.1, alpha=0.025, steps=10)
    """The attack on held-out images after each epoch."""
    precision: Precision = "float32"
    """Of the training pass: tfloat32 (CUDA) rounds products, bfloat16 is autocast; all else stays float32."""
    val_size: int = 1000
    """Held-out images that choose the best checkpoint after each epoch."""
    seed: int = 0
    """Seed of the initial weights, the order of images, the attacks and dropout."""

    def __post_init__(self) -> None:
        check_count("val_size", self.val_size)
