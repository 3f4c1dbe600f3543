"""Predictions under attack, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.attacks import FGSM, PGD, Attack, CWInf
from holdfast.config import EvalConfig
from holdfast.evaluate.records import Record, to_records
from holdfast.models.state import Model, evaluating
from holdfast.seeding import generator_of

ATTACKS = ("fgsm", "pgd20", "pgd40", "cw_inf")


def prediction_attacks(config: EvalConfig) -> dict[str, Attack]:
    """The attacks of `ATTACKS` in order."""
    eps, alpha = config.eps, config.pgd_alpha
    return {
        "fgsm": FGSM(eps),
        "pgd20": PGD(eps, alpha, 20),
        "pgd40": PGD(eps, alpha, 40),
        "cw_inf": CWInf(eps, alpha, config.cw_steps),
    }


def predict(model: Model, images: Tensor) -> Tensor:
    """Class indices (B,)."""
    with evaluating(model), torch.no_grad():
        return model(images).argmax(1)


def accuracy_records(
    model: Model, images: Tensor, labels: Tensor, index: list[int], batch: int, config: EvalConfig
) -> list[Record]:
    """One row an image: its label, the clean prediction, and the prediction under each attack."""
    columns = {"label": labels, "prediction": predict(model, images)}
    for name, attack in prediction_attacks(config).items():
        generator = generator_of(config.seed, name, batch, device=images.device)
        columns[name] = predict(model, attack(model, images, labels, generator=generator))
    return to_records(columns, index)
