"""The protocols that come with the package: the paper's, and one for any model from its budget alone."""

from __future__ import annotations

from math import prod
from typing import Any

from holdfast.attacks import (
    FGSM,
    IFIA,
    PGD,
    Attack,
    AutoIFIA,
    CWInf,
    Goal,
    KendallGoal,
    MassCenterGoal,
    RandomSigns,
    TopKGoal,
)
from holdfast.attribution import IntegratedGradients
from holdfast.config import AutoBudget, EvalConfig, IFIAConfig
from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import Protocol
from holdfast.metrics import Cosine, KendallTau, LensTopK, Metric, Pearson, Spearman, TopK, ZeroShare
from holdfast.parts import find

ATTACKS = ("fgsm", "pgd20", "pgd40", "cw_inf")
"""The attacks on predictions of the paper's tables."""


def standard_metrics(k: int, shape: tuple[int, ...] | None = None) -> tuple[Metric, ...]:
    """Every metric of the package; those of pixels where ``shape`` (without the batch) has some."""
    lens: tuple[Metric, ...] = ()
    if shape is not None and len(shape) in (2, 3):
        pixels = max(1, k * shape[-1] * shape[-2] // prod(shape))
        lens = (LensTopK(pixels, side="precision"), LensTopK(pixels))
    return (
        KendallTau(),
        KendallTau(nonzero=True),
        TopK(k),
        *lens,
        Spearman(),
        Cosine(),
        Pearson(),
        Cosine(magnitude=True),
        Pearson(magnitude=True),
        ZeroShare(),
    )


def default_protocol(shape: tuple[int, ...], eps: float, k: int | None = None, **changed: Any) -> Protocol:
    """For any model: FGSM, PGD and CW; on integrated gradients IFIA towards two goals, random signs and AutoIFIA.

    All are of radius ``eps``; ``k`` is an eighth of the features where it is not given; ``changed`` replaces fields of
    the protocol.
    """
    k = k or max(1, prod(shape) // 8)
    step = eps / 10 or 1.0
    path = IntegratedGradients(n_steps=10)
    fields: dict[str, Any] = {
        "predictions": {"fgsm": FGSM(eps), "pgd40": PGD(eps, step, 40), "cw_inf": CWInf(eps, step, 40)},
        "attributions": (IntegratedGradients(),),
        "attacks": {
            "ifia": IFIA(eps, step, 40, k, TopKGoal(), path),
            "rank": IFIA(eps, step, 40, k, KendallGoal(), path),
            "random": RandomSigns(eps, 10, k, path),
            **strongest(eps, k, "quick"),
        },
        "metrics": standard_metrics(k, shape),
        "n_attribution": 100,
    }
    return Protocol(**{**fields, **changed})


def strongest(eps: float, k: int, budget: AutoBudget | None) -> dict[str, Attack]:
    """AutoIFIA on each of the two measures of the paper, whose worst images differ; nothing without a budget."""
    if budget is None:
        return {}
    return {
        "auto": AutoIFIA(eps, k, budget, metrics=("topk",)),
        "auto_rank": AutoIFIA(eps, k, budget, metrics=("kendall",)),
    }


def protocol_of(config: EvalConfig, metrics: tuple[Metric, ...] | None = None) -> Protocol:
    """The paper's protocol from the numbers that define it, with every metric unless others are given."""
    ifia = config.ifia
    path = IntegratedGradients(n_steps=ifia.n_steps)
    known = KNOWN.get(canonical_name(config.dataset))

    def attack(goal: Goal) -> IFIA:
        return IFIA(
            ifia.eps, ifia.alpha, ifia.steps, ifia.k, goal, path, ifia.surrogate_beta, ifia.restarts, ifia.random_start
        )

    return Protocol(
        dataset=config.dataset,
        split=config.split,
        n_examples=config.n_examples,
        n_attribution=config.n_attribution,
        predictions={
            "fgsm": FGSM(config.eps),
            "pgd20": PGD(config.eps, config.pgd_alpha, 20),
            "pgd40": PGD(config.eps, config.pgd_alpha, 40),
            "cw_inf": CWInf(config.eps, config.pgd_alpha, config.cw_steps),
        },
        attributions=(IntegratedGradients(n_steps=config.score_n_steps),),
        attacks={
            "ifia": attack(find(Goal, ifia.objective)()),
            "rank": attack(KendallGoal()),
            "random": RandomSigns(ifia.eps, config.random_draws, ifia.k, path),
            **strongest(ifia.eps, ifia.k, config.auto),
        },
        metrics=metrics or standard_metrics(ifia.k, known.shape if known else None),
        batch_size=config.batch_size,
        seed=config.seed,
    )


def config_of(protocol: Protocol) -> EvalConfig:
    """The numbers that define a protocol of the paper; the inverse of `protocol_of`.

    Raises:
        HoldfastError: a protocol of another form.
    """
    try:
        pgd: Any = protocol.predictions["pgd20"]
        cw: Any = protocol.predictions["cw_inf"]
        ifia: Any = protocol.attacks["ifia"]
        random: Any = protocol.attacks["random"]
        scored: Any = protocol.attributions[0]
        objective: Any = _OBJECTIVES[type(ifia.goal)]
        auto: Any = protocol.attacks.get("auto")
        return EvalConfig(
            dataset=protocol.dataset,
            split=protocol.split,  # type: ignore[arg-type]
            n_examples=protocol.n_examples,
            n_attribution=protocol.n_attribution,
            eps=pgd.eps,
            pgd_alpha=pgd.alpha,
            cw_steps=cw.steps,
            ifia=IFIAConfig(
                ifia.eps,
                ifia.alpha,
                ifia.steps,
                ifia.k,
                objective,
                ifia.attribution.n_steps,
                ifia.surrogate_beta,
                ifia.restarts,
                ifia.random_start,
            ),
            auto=auto and auto.budget,
            score_n_steps=scored.n_steps,
            random_draws=random.draws,
            batch_size=protocol.batch_size,
            seed=protocol.seed,
        )
    except (AttributeError, IndexError, KeyError):
        raise HoldfastError(
            f"an evaluation with the attacks {', '.join(protocol.attacks) or 'none'} is not of the paper's protocol; "
            "it has no place in the paper's tables."
        ) from None


_OBJECTIVES: dict[type, str] = {TopKGoal: "topk", KendallGoal: "kendall", MassCenterGoal: "mass_center"}
