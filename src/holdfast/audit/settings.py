"""What an audit asks: which explanations, radii and images, and how hard the attack tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from holdfast.attribution import GradCAM, IntegratedGradients, Saliency
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, unknown_name
from holdfast.metrics import Cosine, KendallTau, LensTopK, Metric, TopK
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

Effort = Literal["light", "quick", "standard", "thorough"]
"""How hard an audit tries: those of `AutoIFIA`, and before them the attack of `LightAttack`."""
RADII = tuple(levels / 255 for levels in (0.5, 1, 2, 4, 8))
FEW_RADII = tuple(levels / 255 for levels in (1, 2, 4))
SEALED = ("settings.json", "records.parquet")
"""The files of an audit whose SHA-256 its ``audit.json`` holds."""
FEW_FEATURES = 4096
"""Features up to which a certificate and the long list of radii are made unless it is asked for otherwise."""


@dataclass(frozen=True)
class AuditSettings:
    """Everything that decides the numbers of an audit."""

    attributions: tuple[Attribution, ...] = ()
    """The explanations; none: integrated gradients, saliency and, where it fits the network, Grad-CAM. Where it fits
    and images have more than 4096 features, integrated gradients and Grad-CAM alone."""
    eps: tuple[float, ...] = ()
    """Radii of the attack, Linf, pixels in [0, 1]; none: 0.5, 1, 2, 4, 8 of 255, and 1, 2, 4 of 255 on images of more
    than 4096 features."""
    k: int | None = None
    """Features that count as the most important ones; None takes a tenth of them."""
    images: int = 20
    """Images attacked: the first ones of the set."""
    budget: Effort = "quick"
    """How hard the attack tries: light, quick, standard or thorough. On images of more than 4096 features quick is
    light: one climb at the reference radius, from whose perturbation the other radii start."""
    draws: int = 5
    """Perturbations of random signs, of which the worst counts as noise; one with the light budget."""
    certify: bool | None = None
    """Whether voted maps are certified; None does so for small images (at most 4096 features)."""
    samples: int = 1000
    """Noisy copies per image of the certificate."""
    multi_label: bool = False
    """Whether the logits are those of independent labels: each label with a positive logit is explained, as present
    against absent, and an image counts by the mean over its labels."""
    seed: int = 0
    """Seed of every random number."""

    def __post_init__(self) -> None:
        for name, single in (("attributions", Attribution | str), ("eps", float | int | str)):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, single) else tuple(value))
        for attribution in self.attributions:
            if not isinstance(attribution, Attribution):
                raise HoldfastError(f"{attribution!r} is no attribution; give one such as holdfast.Saliency().")
        for eps in self.eps:
            check_positive("eps", eps, zero=True)
            if not 0 < eps <= 1:
                levels = f"; {eps:g} levels of 255 are written {eps:g}/255" if 1 < eps <= 255 else ""
                raise HoldfastError(f"eps is {eps:g}; it is a part of the pixel range, above 0 and at most 1{levels}.")
        for name in ("images", "draws", "samples"):
            check_count(name, getattr(self, name))
        if self.k is not None:
            check_count("k", self.k)
        if self.budget not in get_args(Effort):
            raise unknown_name("budget", str(self.budget), get_args(Effort))


def reference_of(radii: Sequence[float]) -> float:
    """The radius that a verdict speaks of: the one nearest to 2/255."""
    return min(radii, key=lambda eps: abs(eps - 2 / 255))


def fitted_settings(settings: AuditSettings, model: Model, x: Tensor) -> AuditSettings:
    """``settings`` with everything that depends on the network and its images filled in.

    Raises:
        HoldfastError: more important features than there are.
    """
    features = x[0].numel()
    k = max(1, round(features / 10)) if settings.k is None else settings.k
    if k >= features:
        raise HoldfastError(f"k is {k}; it must be less than the {features} features of an image.")
    few = features <= FEW_FEATURES
    budget: Effort = "light" if settings.budget == "quick" and not few else settings.budget
    return replace(
        with_budget(settings, budget),
        attributions=settings.attributions or usual_attributions(model, x, cheap=not few),
        eps=tuple(sorted(set(settings.eps or (RADII if few else FEW_RADII)))),
        k=k,
        certify=few if settings.certify is None else settings.certify,
    )


def with_budget(settings: AuditSettings, budget: Effort) -> AuditSettings:
    """``settings`` with another budget and what goes with it."""
    return replace(settings, budget=budget, draws=1 if budget == "light" else settings.draws)


def usual_attributions(model: Model, x: Tensor, *, cheap: bool = False) -> tuple[Attribution, ...]:
    """The explanations that fit a network; ``cheap``: no saliency where Grad-CAM fits, half the points."""
    path, gradient = IntegratedGradients(n_steps=10 if cheap else 20), Saliency()
    try:
        with torch.no_grad():
            GradCAM().map(model, x[:1], torch.zeros(1, dtype=torch.int64, device=x.device))
    except HoldfastError:
        return path, gradient
    return (path, GradCAM()) if cheap else (path, gradient, GradCAM())


def metrics_of(settings: AuditSettings) -> tuple[Metric, ...]:
    """What maps are compared by."""
    k = settings.k or 1
    return TopK(k), KendallTau(), Cosine(), LensTopK(k)


def bounds_of(settings: AuditSettings, metric: str) -> tuple[float, float] | None:
    """The range of what a column of the records holds.

    >>> bounds_of(AuditSettings(k=8), "lens_recall_8"), bounds_of(AuditSettings(k=8), "kendall")
    ((0.0, 1.0), (-1.0, 1.0))
    """
    return next(m.bounds for m in metrics_of(settings) if m.key == metric)
