"""The protocols that come with the package: the paper's, by the numbers that define it, and one for any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import Any, Literal, get_args

from holdfast.attacks import (
    FGSM,
    IFIA,
    PGD,
    Attack,
    AutoIFIA,
    CWInf,
    Goal,
    KendallGoal,
    RandomSigns,
    TopKGoal,
)
from holdfast.attacks.auto_members import Budget
from holdfast.attribution import IntegratedGradients
from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import Protocol
from holdfast.metrics import Cosine, KendallTau, LensTopK, Metric, Pearson, Spearman, TopK, ZeroShare
from holdfast.parts import find

IFIAObjective = Literal["topk", "kendall", "mass_center"]


@dataclass(frozen=True)
class IFIAConfig:
    """The attribution attack."""

    eps: float = 0.1
    """Radius, Linf, pixels in [0, 1]."""
    alpha: float = 0.01
    """Step size."""
    steps: int = 200
    """Number of steps."""
    k: int = 100
    """Size of the top-k set, in the attack and in the metric."""
    objective: IFIAObjective = "topk"
    """What the attack drives."""
    n_steps: int = 20
    """Points of the path integral inside the attack."""
    surrogate_beta: float | None = 30.0
    """Sharpness of the softplus twin that gives the attack its gradient."""
    restarts: int = 1
    """Independent runs, of which the strongest counts; runs after the first need random_start."""
    random_start: bool = False
    """Start from a random point of the ball."""


@dataclass(frozen=True)
class EvalConfig:
    """The numbers that define the paper's protocol: see `protocol_of`."""

    dataset: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, or a folder."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Which images."""
    n_examples: int | None = None
    """Images for the accuracies (the first ones of the split); None takes all."""
    n_attribution: int = 1000
    """Correctly classified images whose attributions are attacked (the first ones of those)."""
    eps: float = 0.1
    """Radius of the attacks on the prediction, Linf, pixels in [0, 1]."""
    pgd_alpha: float = 0.01
    """Step size of PGD-20, PGD-40 and CW."""
    cw_steps: int = 30
    """Steps of the CW attack."""
    ifia: IFIAConfig = IFIAConfig()
    auto: Budget | None = "standard"
    """Budget of AutoIFIA (on top-k and on Kendall's tau), the strongest attack, beside the others; None: without."""
    score_n_steps: int = 50
    """Midpoint steps of the attributions that are scored."""
    random_draws: int = 10
    """Random sign perturbations in the control that an attack has to beat."""
    batch_size: int = 100
    """Images attacked at once, and in one file of the records; no number depends on it but by rounding."""
    seed: int = 0
    """Seed of the random starts."""


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


def usual_k(shape: tuple[int, ...]) -> int:
    """An eighth of the features, where nobody says how many count as the most important ones."""
    return max(1, prod(shape) // 8)


def default_protocol(shape: tuple[int, ...], eps: float, k: int | None = None, **changed: Any) -> Protocol:
    """For any model: FGSM, PGD and CW; on integrated gradients IFIA towards two goals, random signs and AutoIFIA.

    All are of radius ``eps``; ``k`` is an eighth of the features where it is not given; ``changed`` replaces fields of
    the protocol.
    """
    k = k or usual_k(shape)
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


def strongest(eps: float, k: int, budget: Budget | None) -> dict[str, Attack]:
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

    def at(place: str) -> Any:
        found: Any = protocol
        for step in place.split("."):
            found = found[step] if isinstance(found, Mapping) else found[0] if step == "0" else getattr(found, step)
        return found

    try:
        places = {f.name: at(_PLACES.get(f.name, f.name)) for f in fields(EvalConfig) if f.name not in ("ifia", "auto")}
        attack = {f.name: at(f"attacks.ifia.{_PLACES.get(f'ifia.{f.name}', f.name)}") for f in fields(IFIAConfig)}
        attack["objective"] = next(
            name for name in get_args(IFIAObjective) if type(attack["objective"]) is find(Goal, name)
        )
        auto: Any = protocol.attacks.get("auto")
        return EvalConfig(**places, ifia=IFIAConfig(**attack), auto=auto and auto.budget)
    except (AttributeError, IndexError, KeyError, StopIteration):
        raise HoldfastError(
            f"an evaluation with the attacks {', '.join(protocol.attacks) or 'none'} is not of the paper's protocol; "
            "it has no place in the paper's tables."
        ) from None


_PLACES = {
    "eps": "predictions.pgd20.eps",
    "pgd_alpha": "predictions.pgd20.alpha",
    "cw_steps": "predictions.cw_inf.steps",
    "score_n_steps": "attributions.0.n_steps",
    "random_draws": "attacks.random.draws",
    "ifia.objective": "goal",
    "ifia.n_steps": "attribution.n_steps",
}
"""Where a protocol keeps what has another name in `EvalConfig`."""
