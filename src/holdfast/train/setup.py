"""What a run starts with, network, images and optimiser, and how rate and radius change from step to step."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import nn

from holdfast.data import load_dataset
from holdfast.data.loader import DeviceLoader
from holdfast.errors import HoldfastError
from holdfast.models.resolve import build_model, check_training_pass
from holdfast.objectives import Objective
from holdfast.parts import Part, changed_parts
from holdfast.seeding import seed_of
from holdfast.train.config import OptimConfig, TrainConfig
from holdfast.train.distributed import World
from holdfast.train.precision import lay_out


def network_and_loaders(
    config: TrainConfig, world: World, device: str, data_dir: str | None
) -> tuple[nn.Module, DeviceLoader, DeviceLoader]:
    """The network of a run, tried on a training pass, and the batches of its training and held-out images."""
    train_data = load_dataset(config.data.name, "train", data_dir=data_dir)
    val_data = load_dataset(config.data.name, "val", data_dir=data_dir)
    if config.data.train_size is not None:
        train_data = train_data.first(config.data.train_size)
    val_data = val_data.first(min(config.val_size, len(val_data)))
    torch.manual_seed(seed_of(config.seed, "weights"))
    model = build_model(config.model, train_data.shape, train_data.num_classes).to(device)
    model = lay_out(model, config.precision, torch.device(device))
    if not any(p.requires_grad for p in model.parameters()):
        raise HoldfastError(f"model {config.model} has no weights to train; choose another.")
    train_loader = DeviceLoader(
        train_data,
        batch_size=config.optim.batch_size,
        device=device,
        augment=config.data.augment,
        seed=config.seed,
        rank=world.rank,
        world_size=world.size,
    )
    images = train_loader.batch(0, 0)[0]
    for rows in sorted({min(max(1, len(train_loader.share(i))), 2) for i in (0, len(train_loader) - 1)}):
        check_training_pass(model, config.model, images[:rows], processes=world.size)
    return model, train_loader, DeviceLoader(val_data, batch_size=200, device=device, shuffle=False)


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


def at_radius(objective: Objective, share: float) -> Objective:
    """The objective with every ``eps`` and every regulariser's ``lam`` in it multiplied by ``share``.

    A distance of directions (1 - cos) has no scale: at the small maps of a new network its gradient is some hundred
    times that of the base, which Adam would remember for a thousand steps.

    >>> from holdfast import AT, IGR, PGD
    >>> half = at_radius(IGR(AT(PGD(eps=0.3, alpha=0.1)), lam=2.0), 0.5)
    >>> half.lam, half.base.attack.eps, half.base.attack.alpha
    (1.0, 0.15, 0.1)
    """

    if share == 1:
        return objective

    def shrunk(part: Any) -> Any:
        growing = {"eps", "lam"} if isinstance(part, Objective) else {"eps"}
        return replace(part, **{f.name: getattr(part, f.name) * share for f in fields(part) if f.name in growing})

    return changed_parts(objective, Part, shrunk)


def radius_share(config: OptimConfig, step: int, total: int) -> float:
    """The part of the full radius at global step ``step`` (from 0) of ``total``.

    >>> [radius_share(OptimConfig(eps_warmup=0.5), step, 8) for step in (0, 1, 3, 7)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / (config.eps_warmup * total)) if config.eps_warmup else 1.0
