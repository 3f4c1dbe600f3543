"""Activation consistency (paper, section 6.4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.metrics.pairs import real
from holdfast.models.kinks import KinkMode
from holdfast.models.masks import RULES
from holdfast.models.state import Model, eagerly, evaluating
from holdfast.models.written import as_written

RELU_SPELLINGS = {"relu", "threshold", "maximum", "max", "fmax", "where", "mask"}


class _RecordReLU(KinkMode):
    def __init__(self) -> None:
        super().__init__(RULES)
        self.active: list[Tensor] = []

    def ramp(self, x: Tensor) -> Tensor:
        if self.operator in RELU_SPELLINGS:
            self.active.append((x >= 0).flatten(1))
        return x.clamp_min(0)


def activation_consistency(
    model: Model, x: Float[Tensor, "B ..."], x_adv: Float[Tensor, "B ..."]
) -> Float[Tensor, " B"]:
    """``P(A and B) / sqrt(P(A) P(B))`` with A, B: a ReLU's input is >= 0 at ``x``, at ``x_adv`` (Eq. 6).

    The probabilities are shares of all ReLU units of the network, for each image on its own. 1 means the
    same units are active; 0 is returned where none is active on either side. However a model calls its
    ReLUs (module, functional, in place, clamp, mask, TorchScript), they are found.

    Cost: 2 forward passes.

    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
    >>> _ = net[0].weight.data.copy_(torch.eye(2))
    >>> activation_consistency(net, torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]]))
    tensor([0.7071])
    """
    if x.shape != x_adv.shape:
        raise HoldfastError(f"x has shape {tuple(x.shape)} and x_adv {tuple(x_adv.shape)}; they must be the same.")
    states = []
    with evaluating(model), eagerly(), torch.no_grad():
        for images in (x, x_adv):
            with _RecordReLU() as record:
                as_written(model)(images)
            if not record.active:
                raise HoldfastError("the model calls no ReLU; activation consistency is defined for ReLU networks.")
            states.append(torch.cat(record.active, dim=1))
    a, b = states
    dtype = real(x).dtype
    both, norm = (a & b).sum(1).double(), (a.sum(1).double() * b.sum(1).double()).sqrt()
    return torch.where(norm > 0, both / norm.clamp(min=1), torch.zeros_like(norm)).to(dtype)
