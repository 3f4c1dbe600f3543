"""Predictions under attack, image by image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from holdfast.attacks import FGSM, PGD, Attack, CWInf
from holdfast.config import EvalConfig
from holdfast.evaluate.records import Record, to_records
from holdfast.models.state import Model, evaluating
from holdfast.seeding import generator_of

ATTACKS = ("fgsm", "pgd20", "pgd40", "cw_inf")


def prediction_attacks(model: Model, config: EvalConfig, batch: int, device: torch.device) -> Iterator[Attack]:
    """The attacks of `ATTACKS` in order; each draws from its own generator, so none depends on another."""
    yield FGSM(model, eps=config.eps)
    for kind, name, steps in ((PGD, "pgd20", 20), (PGD, "pgd40", 40), (CWInf, "cw_inf", config.cw_steps)):
        generator = generator_of(config.seed, name, batch, device=device)
        yield kind(model, eps=config.eps, alpha=config.pgd_alpha, steps=steps, generator=generator)


def predict(model: Model, images: Tensor) -> Tensor:
    """Class indices (B,)."""
    with evaluating(model), torch.no_grad():
        return model(images).argmax(1)


def accuracy_records(
    model: Model, images: Tensor, labels: Tensor, index: list[int], batch: int, config: EvalConfig
) -> list[Record]:
    """One row an image: its label, the clean prediction, and the prediction under each attack."""
    columns = {"label": labels, "prediction": predict(model, images)}
    for name, attack in zip(ATTACKS, prediction_attacks(model, config, batch, images.device), strict=True):
        columns[name] = predict(model, attack(images, labels))
    return to_records(columns, index)
