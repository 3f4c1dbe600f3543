"""What is measured on held-out images after every epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from holdfast.attribution import integrated_gradients
from holdfast.data.loader import DeviceLoader
from holdfast.metrics import cosine_similarity
from holdfast.models.state import evaluating
from holdfast.seeding import generator_of
from holdfast.train.config import TrainConfig
from holdfast.train.distributed import current_world

POINTS = 5
"""Path points of the attributions that are compared after each epoch."""


def validate(model: nn.Module, loader: DeviceLoader, config: TrainConfig) -> dict[str, float]:
    """Accuracy on clean and on PGD images (the training budget), and the cosine of their attributions.

    Several processes share the batches, and all return what one process with the same weights would.
    """
    world = current_world()
    own = {i: _totals(model, *loader.batch(0, i), i, config) for i in range(world.rank, len(loader), world.size)}
    batches = {i: totals for share in world.gather(own) for i, totals in share.items()}
    sums = [sum(column) for column in zip(*(batches[i] for i in range(len(loader))), strict=True)]
    return dict(zip(("natural", "adversarial", "cosine"), (total / sums[3] for total in sums), strict=False))


def training_cost(config: TrainConfig, images: int) -> float:
    """Forward passes of a run whose epochs have ``images`` images, with what is measured after each of them."""
    measured = config.validation.cost + 2 * 2 * POINTS + 2
    return config.optim.epochs * (config.objective.cost * images + measured * config.val_size)


def _totals(model: nn.Module, x: Tensor, y: Tensor, i: int, config: TrainConfig) -> tuple[int, int, float, int]:
    """The sums over batch ``i`` of the three measures, and its number of images."""
    generator = generator_of(config.seed, "validation", i, device=x.device)
    x_adv = config.validation(model, x, y, generator=generator)
    clean, adversarial = (integrated_gradients(model, images, y, n_steps=POINTS) for images in (x, x_adv))
    cosine = cosine_similarity(adversarial, clean).sum().item()
    return _correct(model, x, y), _correct(model, x_adv, y), cosine, len(y)


def _correct(model: nn.Module, x: Tensor, y: Tensor) -> int:
    with evaluating(model), torch.no_grad():
        return int((model(x).argmax(1) == y).sum())
