"""Attributions under attack, image by image."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.attacks import IFIA, AttributionAttack, KendallGoal, RandomSigns
from holdfast.attacks.goals import Goal
from holdfast.attribution import IntegratedGradients, integrated_gradients
from holdfast.config import EvalConfig
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
from holdfast.parts import find
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


def ifia_attacks(config: EvalConfig) -> dict[str, AttributionAttack]:
    """The attacks of an evaluation: the configured one, the one on Kendall's tau, and random signs."""
    ifia = config.ifia
    path = IntegratedGradients(n_steps=ifia.n_steps)

    def attack(goal: Goal) -> IFIA:
        return IFIA(
            ifia.eps, ifia.alpha, ifia.steps, ifia.k, goal, path, ifia.surrogate_beta, ifia.restarts, ifia.random_start
        )

    return {
        "ifia": attack(find(Goal, ifia.objective)()),
        "rank": attack(KendallGoal()),
        "random": RandomSigns(ifia.eps, config.random_draws, ifia.k, path),
    }


def attack_attributions(
    model: Model,
    attack: AttributionAttack,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    config: EvalConfig,
    generator: torch.Generator,
) -> AttackedAttributions:
    """Run one attack and compare its maps with ``clean``; a failed attack counts as similarity 1."""
    found = attack.run(model, images, labels, generator=generator)
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
    clean = score_map(model, images, labels, config)
    attacked = {
        name: attack_attributions(
            model, attack, images, labels, clean, config, generator_of(config.seed, name, batch, device=images.device)
        )
        for name, attack in ifia_attacks(config).items()
    }
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
