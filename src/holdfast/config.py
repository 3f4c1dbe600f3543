"""What an evaluation is: a frozen dataclass, stored with it and read back strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IFIAObjective = Literal["topk", "kendall", "mass_center"]
AutoBudget = Literal["quick", "standard", "thorough"]


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
    """Everything that decides the numbers of an evaluation."""

    dataset: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, or a folder."""
    split: Literal["train", "val", "test"] = "test"
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
    auto: AutoBudget | None = "standard"
    """Budget of AutoIFIA (on top-k and on Kendall's tau), the strongest attack, beside the others; None: without."""
    score_n_steps: int = 50
    """Midpoint steps of the attributions that are scored."""
    random_draws: int = 10
    """Random sign perturbations in the control that an attack has to beat."""
    batch_size: int = 100
    """Images attacked at once, and in one file of the records; no number depends on it but by rounding."""
    seed: int = 0
    """Seed of the random starts."""
