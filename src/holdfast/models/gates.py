"""Change how a model's activations behave for one forward pass, without editing the model.

A `torch.overrides.TorchFunctionMode` sees every call of the ``torch`` API, so it makes no difference
whether a network writes ``nn.ReLU``, ``F.relu``, ``torch.relu`` or ``x.relu_()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from holdfast.models.state import Model, eagerly
from holdfast.validate import check_positive

RELU = {F.relu, torch.relu, Tensor.relu}
RELU_IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_}


class _SoftplusForReLU(TorchFunctionMode):
    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in RELU and func not in RELU_IN_PLACE:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        in_place = func in RELU_IN_PLACE or (args[1] if len(args) > 1 else kwargs.get("inplace", False))
        if in_place:
            return x.copy_(_Softplus.apply(x.clone(), self.beta))
        return _Softplus.apply(x, self.beta)


class _Softplus(Function):
    """Softplus that evaluates its sigmoid once for the value and all derivatives up to the second.

    The value is ``max(x, 0) - log(max(s, 1 - s)) / beta`` with ``s = sigmoid(beta x)``: unlike ``exp(beta x)``
    nothing in it becomes subnormal, which costs a CPU more than everything else in the layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> Tensor:
        slope = torch.mul(x, beta).sigmoid_()
        ctx.save_for_backward(x, slope)
        ctx.beta = beta
        value = 1 - slope
        return torch.maximum(value, slope, out=value).log_().div_(-beta).add_(x.clamp_min(0))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, slope = ctx.saved_tensors
        return _SoftplusGradient.apply(grad, x, slope, ctx.beta), None


class _SoftplusGradient(Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, slope: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(grad, slope)
        ctx.beta = beta
        return grad * slope

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad, slope = ctx.saved_tensors
        curvature = torch.ops.aten.sigmoid_backward((tangent * grad).mul_(ctx.beta), slope)
        return tangent * slope, curvature, None, None


class SoftplusTwin(nn.Module):
    """The same network with every ReLU replaced by softplus, sharing (not copying) all weights.

    ``softplus(x) = log(1 + exp(beta x)) / beta`` tends to ReLU as ``beta`` grows and has the second
    derivatives that ReLU lacks, which an attack on attributions needs (Ghorbani et al., 2019;
    Dombrowski et al., 2019).

    Not for a model that recomputes its activations in the backward pass (``torch.utils.checkpoint``): the
    recomputation would see plain ReLUs.

    Args:
        model: any module; its code and its parameters are left alone.
        beta: sharpness, more than 0.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> twin = SoftplusTwin(net, beta=1e4)
        >>> torch.allclose(twin(x), net(x), atol=1e-3)
        True
    """

    def __init__(self, model: Model, beta: float) -> None:
        super().__init__()
        check_positive("beta", beta)
        self.model = model
        self.beta = beta

    def forward(self, images: Tensor) -> Tensor:
        with eagerly(), _SoftplusForReLU(self.beta):
            return self.model(images)
