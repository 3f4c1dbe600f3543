"""Attributions under attack, image by image."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.attacks import IFIA
from holdfast.attribution import integrated_gradients
from holdfast.config import EvalConfig, IFIAObjective
from holdfast.errors import HoldfastError
from holdfast.evaluate.records import Record, to_records
from holdfast.metrics import (
    activation_consistency,
    cosine_similarity,
    kendall_tau,
    pearson_correlation,
    spearman_correlation,
    topk_intersection,
)
from holdfast.models.state import Model
from holdfast.seeding import generator_of


@dataclass(frozen=True)
class AttackedAttributions:
    """Everything of one batch: maps are signed IG of the label's logit, one value a feature."""

    adversarial: Tensor
    clean_map: Tensor
    adversarial_map: Tensor
    succeeded: Tensor
    best_step: Tensor
    similarities: dict[str, Tensor]


def score_map(model: Model, images: Tensor, labels: Tensor, config: EvalConfig) -> Tensor:
    """The attribution that is scored: float32, midpoint rule, on the network itself."""
    return integrated_gradients(model, images.float(), labels, n_steps=config.score_n_steps, method="riemann_middle")


def similarities(adversarial: Tensor, clean: Tensor, k: int) -> dict[str, Tensor]:
    """Rank metrics compare magnitudes |IG|; cosine and Pearson signed maps, as Eq. 3 does, and magnitudes too."""
    magnitude, reference = adversarial.abs(), clean.abs()
    return {
        "kendall": kendall_tau(magnitude, reference),
        "topk": topk_intersection(magnitude, reference, k),
        "spearman": spearman_correlation(magnitude, reference),
        "cosine": cosine_similarity(adversarial, clean),
        "pearson": pearson_correlation(adversarial, clean),
        "magnitude_cosine": cosine_similarity(magnitude, reference),
        "magnitude_pearson": pearson_correlation(magnitude, reference),
    }


def ifia_attacks(model: Model, config: EvalConfig, batch: int, device: torch.device) -> dict[str, IFIA]:
    """The attacks of an evaluation: the configured one, the one on Kendall's tau, and random signs."""
    ifia = config.ifia

    def attack(name: str, objective: IFIAObjective, **changed: Any) -> IFIA:
        settings = {
            "eps": ifia.eps,
            "alpha": ifia.alpha,
            "steps": ifia.steps,
            "restarts": ifia.restarts,
            "random_start": ifia.random_start,
            **changed,
        }
        return IFIA(
            model,
            k=ifia.k,
            objective=objective,
            n_steps=ifia.n_steps,
            surrogate_beta=ifia.surrogate_beta,
            generator=generator_of(config.seed, name, batch, device=device),
            **settings,
        )

    return {
        "ifia": attack("ifia", ifia.objective),
        "rank": attack("rank", "kendall"),
        "random": attack(
            "random", "random", alpha=2 * ifia.eps or 1.0, steps=config.random_draws, restarts=1, random_start=False
        ),
    }


def attack_attributions(
    model: Model, attack: IFIA, images: Tensor, labels: Tensor, clean: Tensor, config: EvalConfig
) -> AttackedAttributions:
    """Run one attack and compare its maps with ``clean``; a failed attack counts as similarity 1."""
    found = attack.run(images, labels)
    adversarial = score_map(model, found.adv_images, labels, config)
    values = {
        name: torch.where(found.succeeded, value, torch.ones_like(value))
        for name, value in similarities(adversarial, clean, config.ifia.k).items()
    }
    return AttackedAttributions(found.adv_images, clean, adversarial, found.succeeded, found.best_step, values)


def attribution_records(
    model: Model, images: Tensor, labels: Tensor, index: list[int], batch: int, config: EvalConfig
) -> list[Record]:
    """One row an image: similarities under IFIA, whether it succeeded and when, and under the other attacks."""
    attacks = ifia_attacks(model, config, batch, images.device)
    clean = score_map(model, images, labels, config)
    attacked = {name: attack_attributions(model, a, images, labels, clean, config) for name, a in attacks.items()}
    ifia = attacked.pop("ifia")
    columns = {
        "label": labels,
        **ifia.similarities,
        "succeeded": ifia.succeeded,
        "best_step": ifia.best_step,
        "zero_share": (clean == 0).flatten(1).float().mean(1),
    }
    with suppress(HoldfastError):  # a network without ReLU has no activation consistency
        columns["activation"] = activation_consistency(model, images, ifia.adversarial)
    for name, other in attacked.items():
        columns |= {f"{name}_{metric}": other.similarities[metric] for metric in ("kendall", "topk")}
    return to_records(columns, index)
