from __future__ import annotations

from dataclasses import dataclass

from holdfast.attribution.base import Attribution
from holdfast.attribution.integrated_gradients import checked_path, path_attribution
from holdfast.attribution.path import Path
from holdfast.config import Method


@dataclass(frozen=True)
class IntegratedGradients(Attribution):
    n_steps: int = 50
    method: Method = "riemann_middle"
    baseline: float = 0.0
    internal_batch_size: int | None = None

    @property
    def points(self):
        return self.n_steps

    def __call__(self, model, x, target, *, create_graph=False, generator=None):
        path = checked_path(model, x, target, self.method, self.n_steps, self.internal_batch_size, create_graph)
        return path_attribution(path, x, self.baseline, self.internal_batch_size)

    def map(self, model, x, target, *, create_graph=False, weights=True):
        path = Path(model, target, self.method, self.n_steps, create_graph, weights=weights)
        return path_attribution(path, x, self.baseline, self.internal_batch_size)


def attribution_penalty(
    model, x, x_adv, target, *, attribution, distance=None, internal_batch_size=None, generator=None
):
    import torch

    from holdfast.attribution.igr import _cosine_distance, pair_penalty

    if not isinstance(attribution, IntegratedGradients):
        both, target = torch.cat([x, x_adv]), torch.cat([target, target])
        maps = attribution.map(model, both, target, create_graph=torch.is_grad_enabled())
        return (distance or _cosine_distance)(*maps.chunk(2))
    return pair_penalty(
        distance or _cosine_distance,
        model,
        x,
        x_adv,
        target,
        n_steps=attribution.n_steps,
        method=attribution.method,
        baselines=attribution.baseline,
        internal_batch_size=attribution.internal_batch_size,
    )
