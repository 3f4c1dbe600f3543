"""What a run starts with: network, images and optimiser."""

from __future__ import annotations

import torch
from torch import nn

from holdfast.data import load_dataset
from holdfast.data.loader import DeviceLoader
from holdfast.errors import HoldfastError
from holdfast.models.resolve import build_model, check_training_pass
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
