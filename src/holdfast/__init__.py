"""Holdfast: train, attack and measure the robustness of feature attributions.

Images are float tensors in [0, 1], (B, C, H, W); a model maps images to logits and normalises inside
itself; labels are int64. Nothing here changes a module's mode, a ``requires_grad``, a ``.grad`` or the
global random state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import models as models
    from holdfast.attacks import *  # noqa: F403
    from holdfast.attribution import *  # noqa: F403
    from holdfast.audit import AuditComparison as AuditComparison
    from holdfast.audit import AuditResult as AuditResult
    from holdfast.audit import AuditSettings as AuditSettings
    from holdfast.audit import audit as audit
    from holdfast.audit import compare_audits as compare_audits
    from holdfast.certify import *  # noqa: F403
    from holdfast.data import load_dataset as load_dataset
    from holdfast.errors import HoldfastError as HoldfastError
    from holdfast.errors import HoldfastWarning as HoldfastWarning
    from holdfast.evaluate import EvaluationResult as EvaluationResult
    from holdfast.evaluate import Protocol as Protocol
    from holdfast.evaluate import evaluate as evaluate
    from holdfast.metrics import *  # noqa: F403
    from holdfast.models import *  # noqa: F403
    from holdfast.models.outputs import Logits as Logits
    from holdfast.models.outputs import Normalized as Normalized
    from holdfast.objectives import *  # noqa: F403

__version__ = "0.1.0"

_NAMES = {
    "attacks": "APGD AnnealedIFIA Attack AttributionAttack AutoAttack AutoFound AutoIFIA BlockSearch CWInf CosineGoal "
    "FAB FGSM Found Goal IFIA KendallGoal MassCenterGoal PGD PearsonGoal RandomSigns SoftTopKGoal SpearmanGoal Square "
    "TPGD TargetGoal TopKGoal",
    "attribution": "Attribution ExpectedGradients External GradCAM InputXGradient IntegratedGradients Saliency "
    "SmoothGrad attribution_penalty igr_penalty integrated_gradients",
    "audit": "AuditComparison AuditResult AuditSettings audit compare_audits",
    "certify": "Certificate VotedMap",
    "data": "load_dataset",
    "errors": "HoldfastError HoldfastWarning",
    "evaluate": "EvaluationResult Protocol evaluate",
    "metrics": "Cosine KendallTau LensTopK Metric Pearson Spearman TopK activation_consistency cosine_similarity "
    "goodman_kruskal_gamma kendall_rank_corrcoef kendall_tau lens_topk pearson_correlation spearman_correlation "
    "topk_intersection",
    "models": "SoftplusTwin check_surrogate find_model load_model",
    "models.outputs": "Logits Normalized",
    "objectives": "ART AT AdvAAT IGNorm IGR IGSumNorm LGA LossOutput MART Objective R2ET SSR Standard TRADES",
}
_HOMES = {name: f"holdfast.{room}" for room, names in _NAMES.items() for name in names.split()}
_ROOMS = ("attacks", "attribution", "certify", "data", "metrics", "models", "objectives")

__all__ = sorted([*_HOMES, "models"])


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    if name in _ROOMS:
        return import_module(f"holdfast.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
