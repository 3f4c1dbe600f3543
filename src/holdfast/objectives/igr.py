"""IGR over any adversarial training (paper, Eq. 3)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from holdfast.attribution.igr import igr_penalty
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.models.state import Model
from holdfast.objectives.base import LossOutput, Objective
from holdfast.validate import check_count, check_positive


class IGR:
    """``base + lam * mean(1 - cos(IG(x), IG(x_adv)))``, reusing the very x_adv of its base (Eq. 3).

    Args:
        base: an objective that attacks (AT, TRADES, MART, or one of your own).
        lam: weight of the regulariser, the paper's lambda.
        n_steps, method, internal_batch_size: as in `igr_penalty`.

    Cost beside the base: ``2 * 4 * n_steps`` forward passes an image, 12 instead of 8 in chunks.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from holdfast.attacks import PGD
        >>> from holdfast.objectives import AT
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> objective = IGR(AT(partial(PGD, eps=0.1, alpha=0.05, steps=3)), lam=1.0)
        >>> sorted(objective(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).parts)
        ['ce', 'igr']
    """

    def __init__(
        self,
        base: Objective,
        lam: float = 1.0,
        n_steps: int = 10,
        method: Method = "riemann_right",
        internal_batch_size: int | None = None,
    ) -> None:
        check_positive("lam", lam, zero=True)
        check_count("n_steps", n_steps)
        self.base = base
        self.lam = lam
        self.n_steps = n_steps
        self.method: Method = method
        self.internal_batch_size = internal_batch_size

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        out = self.base(model, x, y)
        if out.x_adv is None:
            raise HoldfastError(
                f"{type(self.base).__name__} makes no adversarial images; IGR compares IG(x) with IG(x_adv): "
                "build it over AT, TRADES or MART."
            )
        penalty = igr_penalty(
            model,
            x,
            out.x_adv,
            y,
            n_steps=self.n_steps,
            method=self.method,
            internal_batch_size=self.internal_batch_size,
        ).mean()
        parts = {**out.parts, "igr": penalty.detach()}
        return replace(out, loss=out.loss + self.lam * penalty, parts=parts)
