"""From a configuration to the objects it names."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from holdfast.attacks import PGD, TPGD
from holdfast.config import AttackConfig, OptimConfig, TrainConfig
from holdfast.errors import HoldfastError
from holdfast.objectives import AT, IGR, MART, TRADES, Objective, Standard


def build_objective(config: TrainConfig, generator: torch.Generator) -> Objective:
    """The objective of a run; its attack draws from ``generator``."""
    eps, alpha, steps = config.attack.eps, config.attack.alpha, config.attack.steps
    pgd = partial(PGD, eps=eps, alpha=alpha, steps=steps, generator=generator)
    tpgd = partial(TPGD, eps=eps, alpha=alpha, steps=steps, generator=generator)
    beta = config.objective.beta
    base: Objective
    match config.objective.name:
        case "standard":
            base = Standard()
        case "at":
            base = AT(pgd)
        case "trades":
            base = TRADES(tpgd, beta)
        case "mart":
            base = MART(pgd, beta)
    igr = config.igr
    if igr.lam == 0:
        return base
    if config.objective.name == "standard":
        raise HoldfastError(
            f"igr.lam is {igr.lam}, but the objective standard makes no adversarial images to compare with; "
            "choose --objective.name at, trades or mart, or --igr.lam 0."
        )
    return IGR(base, igr.lam, igr.n_steps, igr.method, igr.internal_batch_size)


def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Adam or SGD over the parameters that require a gradient."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise HoldfastError("the model has no parameters to train; set requires_grad on some of them.")
    if config.name == "adam":
        return torch.optim.Adam(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def learning_rate(config: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """The rate of global step ``step`` (from 0).

    onecycle rises linearly to ``lr`` over the first quarter and falls to 0 along a cosine.

    >>> config = OptimConfig(lr=1.0, epochs=4, schedule="multistep", milestones=(3, 4))
    >>> [round(learning_rate(config, step, 1), 4) for step in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if config.schedule == "multistep":
        epoch = step // steps_per_epoch + 1
        return config.lr * config.gamma ** sum(epoch >= m for m in config.milestones)
    if config.schedule == "onecycle":
        done = (step + 1) / (config.epochs * steps_per_epoch)
        return config.lr * (done / 0.25 if done < 0.25 else (1 + math.cos(math.pi * (done - 0.25) / 0.75)) / 2)
    return config.lr


def check_train_config(config: TrainConfig) -> None:
    """Raise on values that no run could use, before any work is done."""
    attack: AttackConfig = config.attack
    if attack.eps < 0:
        raise HoldfastError(f"attack.eps is {attack.eps}; it must be at least 0 (pixels in [0, 1]).")
    for name, value in (
        ("attack.alpha", attack.alpha),
        ("attack.steps", attack.steps),
        ("optim.lr", config.optim.lr),
        ("optim.epochs", config.optim.epochs),
        ("optim.batch_size", config.optim.batch_size),
        ("igr.n_steps", config.igr.n_steps),
        ("val_size", config.val_size),
    ):
        if not value > 0:
            raise HoldfastError(f"{name} is {value}; it must be more than 0.")
    if config.igr.lam < 0:
        raise HoldfastError(f"igr.lam is {config.igr.lam}; it must be at least 0 (0 leaves IGR out).")
