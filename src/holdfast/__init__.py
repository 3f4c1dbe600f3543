"""Holdfast: train, attack and measure the robustness of feature attributions.

Images are float tensors in [0, 1], (B, C, H, W); a model maps images to logits and normalises inside
itself; labels are int64. Nothing here changes a module's mode, a ``requires_grad``, a ``.grad`` or the
global random state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import models
    from holdfast.attacks import FGSM, IFIA, PGD, TPGD, CWInf, cuda_graphs
    from holdfast.attribution import compiled_gradients, igr_penalty, integrated_gradients
    from holdfast.data import load_dataset
    from holdfast.errors import HoldfastError, HoldfastWarning
    from holdfast.models import SoftplusTwin, check_surrogate, load_model
    from holdfast.objectives import (
        ART,
        AT,
        IGR,
        LGA,
        MART,
        R2ET,
        SSR,
        TRADES,
        AdvAAT,
        IGNorm,
        IGSumNorm,
        LossOutput,
        Standard,
    )
    from holdfast.similarity import (
        activation_consistency,
        cosine_similarity,
        goodman_kruskal_gamma,
        kendall_tau,
        pearson_correlation,
        spearman_correlation,
        topk_intersection,
    )

__version__ = "0.1.0"

_HOMES = {
    "holdfast.attacks": ("CWInf", "FGSM", "IFIA", "PGD", "TPGD", "cuda_graphs"),
    "holdfast.attribution": ("compiled_gradients", "igr_penalty", "integrated_gradients"),
    "holdfast.data": ("load_dataset",),
    "holdfast.errors": ("HoldfastError", "HoldfastWarning"),
    "holdfast.models": ("SoftplusTwin", "check_surrogate", "load_model"),
    "holdfast.objectives": (
        "ART",
        "AT",
        "AdvAAT",
        "IGNorm",
        "IGR",
        "IGSumNorm",
        "LGA",
        "LossOutput",
        "MART",
        "R2ET",
        "SSR",
        "Standard",
        "TRADES",
    ),
    "holdfast.similarity": (
        "activation_consistency",
        "cosine_similarity",
        "goodman_kruskal_gamma",
        "kendall_tau",
        "pearson_correlation",
        "spearman_correlation",
        "topk_intersection",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_SUBPACKAGES = ("attacks", "attribution", "data", "models", "objectives", "similarity")

__all__ = [
    "ART",
    "AT",
    "FGSM",
    "IFIA",
    "IGR",
    "LGA",
    "MART",
    "PGD",
    "R2ET",
    "SSR",
    "TPGD",
    "TRADES",
    "AdvAAT",
    "CWInf",
    "HoldfastError",
    "HoldfastWarning",
    "IGNorm",
    "IGSumNorm",
    "LossOutput",
    "SoftplusTwin",
    "Standard",
    "activation_consistency",
    "check_surrogate",
    "compiled_gradients",
    "cosine_similarity",
    "cuda_graphs",
    "goodman_kruskal_gamma",
    "igr_penalty",
    "integrated_gradients",
    "kendall_tau",
    "load_dataset",
    "load_model",
    "models",
    "pearson_correlation",
    "spearman_correlation",
    "topk_intersection",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"holdfast.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
