"""From a configuration to the objects it names."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from holdfast.attacks import PGD, TPGD
from holdfast.config import OptimConfig, TrainConfig
from holdfast.errors import HoldfastError
from holdfast.objectives import (
    ART,
    AT,
    IGR,
    LGA,
    MART,
    R2ET,
    SSR,
    TRADES,
    AdvAAT,
    AdvAATAttack,
    ARTAttack,
    IGNorm,
    IGNormAttack,
    IGRAttack,
    IGSumNorm,
    IGSumNormAttack,
    Objective,
    Standard,
)
from holdfast.validate import check_count, check_positive


def build_objective(config: TrainConfig, generator: torch.Generator) -> Objective:
    """The objective of a run; its attack draws from ``generator``."""
    budget: dict[str, Any] = {
        "eps": config.attack.eps,
        "alpha": config.attack.alpha,
        "steps": config.attack.steps,
        "generator": generator,
    }
    igr = config.igr
    own = igr.lam > 0 and igr.adversary == "own"
    inner = partial(IGRAttack, n_steps=config.objective.attack_n_steps, method=igr.method, **budget)
    base = _base(config, budget, attacked=igr.lam > 0 and not own)
    if igr.lam == 0:
        return base
    return IGR(base, igr.lam, igr.n_steps, igr.method, igr.internal_batch_size, attack=inner if own else None)


def _base(config: TrainConfig, budget: dict[str, Any], *, attacked: bool) -> Objective:
    """The objective without IGR; ``attacked`` asks standard training for images to compare with."""
    o = config.objective
    rows = config.igr.internal_batch_size
    pgd, tpgd = partial(PGD, **budget), partial(TPGD, **budget)
    inner = {**budget, "n_steps": o.attack_n_steps, "internal_batch_size": rows}
    path: dict[str, Any] = {"n_steps": o.n_steps, "internal_batch_size": rows}
    match o.name:
        case "standard":
            return Standard(pgd if attacked else None)
        case "at":
            return AT(pgd)
        case "trades":
            return TRADES(tpgd, o.beta)
        case "trades-printed":
            return TRADES(tpgd, o.beta, clean=False)
        case "mart":
            return MART(pgd, o.beta)
        case "ig-norm":
            return IGNorm(partial(IGNormAttack, **inner), o.lam, **path)
        case "ig-sum-norm":
            return IGSumNorm(partial(IGSumNormAttack, lam=o.lam, **inner), o.lam, **path)
        case "advaat":
            attack = partial(AdvAATAttack, lam=o.lam, surrogate_beta=o.surrogate_beta, **inner)
            return AdvAAT(attack, o.lam, **path)
        case "art":
            return ART(partial(ARTAttack, k=o.k, surrogate_beta=o.surrogate_beta, **budget), o.lam, o.surrogate_beta)
        case "ssr":
            return SSR(o.lam)
        case "lga":
            noise = budget["eps"], budget["generator"]
            return LGA(noise[0], lam_l2=0.01 * o.lam, lam_cos=0.1 * o.lam, generator=noise[1])
        case "r2et":
            return R2ET(o.k, lam1=o.lam, lam2=0.1 * o.lam)


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
        ("objective.lam", config.objective.lam, True),
        ("objective.surrogate_beta", config.objective.surrogate_beta, False),
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
        ("objective.n_steps", config.objective.n_steps),
        ("objective.attack_n_steps", config.objective.attack_n_steps),
        ("objective.k", config.objective.k),
        ("igr.internal_batch_size", 1 if igr.internal_batch_size is None else igr.internal_batch_size),
        ("val_size", config.val_size),
    ):
        check_count(name, count)
