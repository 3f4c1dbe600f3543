"""A small network, images for it, and an evaluation of both that takes no time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks import RandomSigns
from holdfast.attribution import IntegratedGradients
from holdfast.evaluate import EvaluationResult

PATH = IntegratedGradients(n_steps=3)
ATTACKS = {"ifia": hf.IFIA(0.1, 0.05, 2, 4, attribution=PATH), "random": RandomSigns(0.1, 2, 4, PATH)}
SMALL: dict[str, Any] = {
    "predictions": {"pgd": hf.PGD(0.1, 0.05, 2)},
    "attributions": (PATH,),
    "attacks": ATTACKS,
    "metrics": (hf.KendallTau(), hf.TopK(4), hf.Cosine()),
    "batch_size": 5,
}


def small_net(features: int = 16, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(features, 12), nn.ReLU(), nn.Linear(12, classes)).eval()


def inputs(*shape: int, n: int = 12) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(3))


def evaluated(model: Any, images: Tensor, labels: Tensor | None = None, **options: Any) -> EvaluationResult:
    if labels is None:
        with torch.no_grad():
            labels = model(images).argmax(1)
    result = hf.evaluate(model, (images, labels), **{**SMALL, **options})
    assert result is not None
    return result
