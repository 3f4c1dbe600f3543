"""What is measured on held-out images after every epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from holdfast.attacks import PGD
from holdfast.attribution import integrated_gradients
from holdfast.config import TrainConfig
from holdfast.data.loader import DeviceLoader
from holdfast.models.state import evaluating
from holdfast.seeding import generator_of
from holdfast.similarity import cosine_similarity


def validate(model: nn.Module, loader: DeviceLoader, config: TrainConfig) -> dict[str, float]:
    """Accuracy on clean and on PGD images (the training budget), and the cosine of their attributions."""
    totals: dict[str, float] = {"natural": 0.0, "adversarial": 0.0, "cosine": 0.0}
    count = 0
    for i, (x, y) in enumerate(loader.batches(0)):
        generator = generator_of(config.seed, "validation", i, device=x.device)
        attack = config.attack
        x_adv = PGD(model, eps=attack.eps, alpha=attack.alpha, steps=attack.steps, generator=generator)(x, y)
        totals["natural"] += _correct(model, x, y)
        totals["adversarial"] += _correct(model, x_adv, y)
        clean, adversarial = (
            integrated_gradients(model, images, y, n_steps=config.igr.n_steps) for images in (x, x_adv)
        )
        totals["cosine"] += cosine_similarity(adversarial, clean).sum().item()
        count += len(y)
    return {name: total / count for name, total in totals.items()}


def _correct(model: nn.Module, x: Tensor, y: Tensor) -> int:
    with evaluating(model), torch.no_grad():
        return int((model(x).argmax(1) == y).sum())
