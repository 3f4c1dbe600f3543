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
from torch.overrides import TorchFunctionMode

from holdfast.models.state import Model, eagerly, ignoring_checkpoints
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
        with ignoring_checkpoints():
            return self._run(func, args, kwargs)

    def _run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func not in RELU and func not in RELU_IN_PLACE:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        in_place = func in RELU_IN_PLACE or (args[1] if len(args) > 1 else kwargs.get("inplace", False))
        value = _Softplus.apply(x, self.beta)[0]
        return x.copy_(value) if in_place else value


class _Softplus(Function):
    """Softplus and its slope, from which all further derivatives follow: the input is not kept.

    The value is ``max(x, 0) - log(max(s, 1 - s)) / beta`` with ``s = sigmoid(beta x)``: unlike ``exp(beta x)``
    nothing in it becomes subnormal, which costs a CPU more than everything else in the layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        slope = torch.mul(x, beta).sigmoid_()
        ctx.save_for_backward(slope)
        ctx.beta = beta
        value = 1 - slope
        return torch.maximum(value, slope, out=value).log_().div_(-beta).add_(x.clamp_min(0)), slope

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_slope: Tensor | None) -> tuple[Tensor | None, None]:
        (slope,) = ctx.saved_tensors
        total = None if grad is None else grad * slope
        if grad_slope is not None:
            curved = torch.ops.aten.sigmoid_backward(grad_slope * ctx.beta, slope)
            total = curved if total is None else total + curved
        return total, None


class SoftplusTwin(nn.Module):
    """The same network with every ReLU replaced by softplus, sharing (not copying) all weights.

    ``softplus(x) = log(1 + exp(beta x)) / beta`` tends to ReLU as ``beta`` grows and has the second
    derivatives that ReLU lacks, which an attack on attributions needs (Ghorbani et al., 2019;
    Dombrowski et al., 2019).

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
