"""Metrics of maps as torchmetrics has them: ``update``, ``compute`` and the same value over any number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.metrics import Metric

try:
    import torchmetrics
except ImportError as error:
    raise HoldfastError(f"torchmetrics does not import here ({error}); pip install 'holdfast[torchmetrics]'.") from None


class MapSimilarity(torchmetrics.Metric):
    """The mean over images of a `holdfast.Metric`, such as `TopK`, `KendallTau` or `Cosine`.

    ``update(preds, target)`` takes two batches of signed maps (B, ...), the attacked and the clean one; ``compute``
    gives the mean over all images since ``reset``, over all processes of a group.

    Raises:
        HoldfastError: what the metric refuses; ``compute`` before any image.

    >>> from holdfast import TopK
    >>> similarity = MapSimilarity(TopK(k=2))
    >>> similarity.update(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[3.0, 0.0, 2.0, 1.0]]))
    >>> similarity.update(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[3.0, 2.0, 1.0, 0.0]]))
    >>> similarity.compute()
    tensor(0.7500, dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, metric: Metric, **options: Any) -> None:
        super().__init__(**options)
        self.metric = metric
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count two batches of maps in."""
        values = self.metric(preds, target)
        self.total += values.double().sum()
        self.images += len(values)

    def compute(self) -> Tensor:
        """The mean over images, float64."""
        if self.images == 0:
            raise HoldfastError("no maps have been compared yet; call update(preds, target) first.")
        return self.total / self.images
