"""How alike two attributions are: functions from two batches of maps to one number per image, and metrics as parts.

Dim 0 is the batch, all else is features. Integers, booleans and half precision are computed in at least float32.
"""

from holdfast.metrics.activation import activation_consistency
from holdfast.metrics.base import Metric
from holdfast.metrics.lens import lens_topk
from holdfast.metrics.pairs import cosine_similarity, pearson_correlation
from holdfast.metrics.rank import (
    goodman_kruskal_gamma,
    kendall_rank_corrcoef,
    kendall_tau,
    spearman_correlation,
    topk_indices,
    topk_intersection,
)
from holdfast.metrics.similarities import Cosine, KendallTau, LensTopK, Pearson, Spearman, TopK, ZeroShare

__all__ = [
    "Cosine",
    "KendallTau",
    "LensTopK",
    "Metric",
    "Pearson",
    "Spearman",
    "TopK",
    "ZeroShare",
    "activation_consistency",
    "cosine_similarity",
    "goodman_kruskal_gamma",
    "kendall_rank_corrcoef",
    "kendall_tau",
    "lens_topk",
    "pearson_correlation",
    "spearman_correlation",
    "topk_indices",
    "topk_intersection",
]
