"""How alike two attributions are: functions from two batches of maps to one number a pair."""

from holdfast.similarity.activation import activation_consistency
from holdfast.similarity.linear import cosine_similarity, pearson_correlation
from holdfast.similarity.rank import (
    goodman_kruskal_gamma,
    kendall_tau,
    spearman_correlation,
    topk_indices,
    topk_intersection,
)

__all__ = [
    "activation_consistency",
    "cosine_similarity",
    "goodman_kruskal_gamma",
    "kendall_tau",
    "pearson_correlation",
    "spearman_correlation",
    "topk_indices",
    "topk_intersection",
]
