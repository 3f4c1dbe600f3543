"""Activation consistency (paper, section 6.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from holdfast.errors import HoldfastError
from holdfast.metrics.pairs import real
from holdfast.models.gates import RELU, RELU_IN_PLACE
from holdfast.models.state import Model, eagerly, evaluating


class _RecordReLU(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.active: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in RELU or func in RELU_IN_PLACE:
            x = args[0] if args else kwargs["input"]
            self.active.append((x >= 0).flatten(1))
        return func(*args, **kwargs)


def activation_consistency(
    model: Model, x: Float[Tensor, "B ..."], x_adv: Float[Tensor, "B ..."]
) -> Float[Tensor, " B"]:
    """``P(A and B) / sqrt(P(A) P(B))`` with A, B: a ReLU's input is >= 0 at ``x``, at ``x_adv`` (Eq. 6).

    The probabilities are shares of all ReLU units of the network, for each image on its own. 1 means the
    same units are active; 0 is returned where none is active on either side. However a model calls its
    ReLUs (module, functional, in place), they are found.

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
                model(images)
            if not record.active:
                raise HoldfastError("the model calls no ReLU; activation consistency is defined for ReLU networks.")
            states.append(torch.cat(record.active, dim=1))
    a, b = states
    dtype = real(x).dtype
    both, norm = (a & b).sum(1).double(), (a.sum(1).double() * b.sum(1).double()).sqrt()
    return torch.where(norm > 0, both / norm.clamp(min=1), torch.zeros_like(norm)).to(dtype)
