"""From a configuration to the objects it names."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from holdfast.attacks import PGD, TPGD
from holdfast.config import OptimConfig, TrainConfig
from holdfast.errors import HoldfastError
from holdfast.objectives import AT, IGR, MART, TRADES, Objective, Standard
from holdfast.validate import check_count, check_positive


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
    attack, optim, igr = config.attack, config.optim, config.igr
    for name, value, zero in (
        ("attack.eps", attack.eps, True),
        ("attack.alpha", attack.alpha, False),
        ("objective.beta", config.objective.beta, True),
        ("igr.lam", igr.lam, True),
        ("optim.lr", optim.lr, False),
        ("optim.momentum", optim.momentum, True),
        ("optim.weight_decay", optim.weight_decay, True),
        ("optim.gamma", optim.gamma, True),
    ):
        check_positive(name, value, zero=zero)
    for name, count in (
        ("attack.steps", attack.steps),
        ("optim.epochs", optim.epochs),
        ("optim.batch_size", optim.batch_size),
        ("igr.n_steps", igr.n_steps),
        ("igr.internal_batch_size", 1 if igr.internal_batch_size is None else igr.internal_batch_size),
        ("val_size", config.val_size),
    ):
        check_count(name, count)
    if igr.lam > 0 and config.objective.name == "standard":
        raise HoldfastError(
            f"igr.lam is {igr.lam}, but the objective standard makes no adversarial images to compare with; "
            "choose --objective.name at, trades or mart, or --igr.lam 0."
        )
