"""Differentiate an input gradient at 4 forward passes (F) per point instead of 6: the idea, and its operators.

Training through ``g(z) = d f(z) / dz`` makes PyTorch walk the network four times: forward, backward (that is ``g``),
backward through that backward, and backward through the forward pass once more. For operators that are piecewise
linear (ReLU, pooling) or linear (convolution) what arrives in the last walk is exactly zero, and PyTorch computes with
those zeros: 2 F of 6. So such an operator here hands back an input gradient that does not depend on its own input:

    y = op(x)           dx = J^T dy          with J frozen: no path from dx back to x      (`_Detached`)
    dx = J^T dy         tangent -> J tangent                                               (`_DetachedGradient`)

A convolution does the same with a weight that keeps its gradient (`_Convolution`), frozen batch norm is a scale and a
shift. Everything else (GELU, softplus, layer norm, attention, a user's own function) keeps its own derivatives, so the
result is always that of plain double backward, at what its smoothness costs. `SecondOrder` puts the operators in place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from holdfast.gradient.cpu_operators import (
    MAX_POOL_2D,
    Geometry,
    convolution,
    convolution_backward,
    convolution_input_gradient,
    input_gradients,
    max_pool2d,
    plain_geometry,
)
from holdfast.gradient.overloads import in_source
from holdfast.models.state import eagerly, is_transformed, without_checkpoints


class _Detached(Function):
    """``y = op(x)`` whose input gradient is linear in the incoming gradient and detached from ``x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, op: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            start, ctx.start = _source(x)
            ctx.result = op(start)
        return ctx.result.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():
            return _DetachedGradient.apply(grad, ctx), None
        (grad_x,) = torch.autograd.grad(ctx.result, ctx.start, grad, retain_graph=True)
        return grad_x, None


class _DetachedGradient(Function):
    """That input gradient with a graph to the incoming gradient alone: none that a later pass could free."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, op: Any) -> Tensor:
        with torch.enable_grad():
            start, ctx.start = _source(grad)
            (ctx.result,) = torch.autograd.grad(op.result, op.start, start, create_graph=True)
        return ctx.result.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, None]:
        (to_grad,) = torch.autograd.grad(ctx.result, ctx.start, tangent, retain_graph=True)
        return to_grad, None


class _Source(Function):
    """``x`` as the start of a graph of its own that, unlike a leaf, does not keep ``x`` alive."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, x: Tensor) -> Tensor:
        return x.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        return None, None


def _source(x: Tensor) -> tuple[Tensor, GradientEdge]:
    start = _Source.apply(torch.empty((), dtype=x.dtype, device=x.device, requires_grad=True), x)
    return start, get_gradient_edge(start)


IN_PLACE: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.relu_: F.relu,
    torch.relu_: F.relu,
    Tensor.relu_: F.relu,
    F.leaky_relu_: F.leaky_relu,
    F.hardtanh_: F.hardtanh,
    torch.threshold_: F.threshold,
    Tensor.clamp_: Tensor.clamp,
    Tensor.clamp_min_: Tensor.clamp_min,
    torch.clamp_min_: torch.clamp_min,
}
ACTIVATIONS = {F.relu, F.leaky_relu, F.relu6, F.hardtanh, F.hardsigmoid, F.threshold}
PIECEWISE_LINEAR = ACTIVATIONS | {
    torch.relu, Tensor.relu, torch.clamp_min, Tensor.clamp_min, torch.abs, Tensor.abs,
    F.max_pool1d, F.max_pool2d, F.max_pool3d, torch.max_pool1d, torch.max_pool2d, torch.max_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d,
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
}  # fmt: skip
CONVOLUTIONS = {F.conv1d: 1, F.conv2d: 2, F.conv3d: 3}
ATTENTION = {F.scaled_dot_product_attention, F.multi_head_attention_forward}
"""Those of their kernels that are fast cannot be differentiated twice."""


class SecondOrder(TorchFunctionMode):
    """Run a forward pass with cheap exact second derivatives: as it was written, without checkpoints.

    Args:
        weights: whether derivatives of the gradient to the weights will be asked for.

    Use::

        with SecondOrder() as mode:
            logits = model(z)
        (g,) = mode.input_gradient(logits.gather(1, target[:, None]).sum(), z)
        g.square().sum().backward()
    """

    def __init__(self, *, weights: bool = True) -> None:
        super().__init__()
        self.weights = weights
        self.only_inputs = False
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        for held in (eagerly(), without_checkpoints()):
            self._entered.enter_context(held)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._entered.close()

    def input_gradient(self, output: Tensor, inputs: Tensor) -> Tensor:
        """``d output / d inputs`` with a graph; weight gradients are not formed on the way."""
        self.only_inputs = True
        try:
            (gradient,) = torch.autograd.grad(output, inputs, create_graph=True)
        finally:
            self.only_inputs = False
        return gradient

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_transformed():
            return func(*args, **kwargs)
        if isinstance(func, OpOverload):
            func, args = in_source(func, args)
        if func in CONVOLUTIONS:
            return _convolve(self, func, CONVOLUTIONS[func], *args, **kwargs)
        if func is F.batch_norm:
            return _frozen_batch_norm(func, *args, **kwargs)
        if func in ATTENTION:
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **kwargs)
        if not _differentiates_one_tensor(args, kwargs):
            return func(*args, **kwargs)
        asked = kwargs.get("inplace") or (len(args) > 1 and args[-1] is True)
        if func in IN_PLACE or (func in ACTIVATIONS and asked):
            x, *rest = args
            kwargs.pop("inplace", None)
            if rest and isinstance(rest[-1], bool):
                rest.pop()
            op = IN_PLACE.get(func, func)
            source = x if op is F.relu else x.clone()  # all but ReLU keep their input for the backward pass
            return x.copy_(_Detached.apply(source, partial(_call, op, tuple(rest), kwargs)))
        if func in PIECEWISE_LINEAR and not kwargs.get("return_indices"):
            return _Detached.apply(args[0], partial(_call, func, args[1:], kwargs))
        return func(*args, **kwargs)


first_order = input_gradients
"""For a forward pass that is differentiated to its input alone, and once: on a CPU by faster operators.

Weights may get no gradient. This is the one place where the operators of `holdfast.gradient.cpu_operators` come in
beside `SecondOrder`; without them PGD and integrated gradients of SmallCNN take 13 to 20 % longer.
"""


def _call(func: Callable[..., Tensor], rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    if func is F.hardsigmoid:  # PyTorch cannot differentiate its derivative
        return F.relu6(x + 3) / 6
    if func in MAX_POOL_2D:
        return max_pool2d(x, *rest, **kwargs)
    return func(x, *rest, **kwargs)


def _differentiates_one_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the first argument is the only tensor, real, and differentiated (a bound may be learnt)."""
    if not args or any(isinstance(value, Tensor) for value in (*args[1:], *kwargs.values())):
        return False
    return isinstance(args[0], Tensor) and args[0].is_floating_point() and args[0].requires_grad


def _convolve(
    mode: SecondOrder,
    func: Callable[..., Tensor],
    ndim: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    geometry = plain_geometry(ndim, input, weight, bias, stride, padding, dilation, groups)
    if geometry is None:
        return func(input, weight, bias, stride, padding, dilation, groups)
    if not mode.weights:
        weight, bias = weight.detach(), None if bias is None else bias.detach()
    if torch.is_autocast_enabled(input.device.type):
        dtype = torch.get_autocast_dtype(input.device.type)
        input, weight, bias = input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return _Convolution.apply(input, weight, bias, mode, geometry)


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, mode: SecondOrder, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.mode, ctx.geometry = mode, geometry
        return convolution(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            grad_x = _ConvolutionInputGradient.apply(grad, weight, x.detach(), ctx.geometry)
        if not ctx.mode.only_inputs:
            if needs_weight:
                grad_weight = _weight_gradient(grad, x, weight, ctx.geometry)
            if needs_bias:
                grad_bias = grad.sum((0, *range(2, grad.ndim)))
        return grad_x, grad_weight, grad_bias, None, None


class _ConvolutionInputGradient(Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return convolution_input_gradient(grad, x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, weight = ctx.saved_tensors
        to_grad = convolution(tangent, weight, None, *ctx.geometry) if ctx.needs_input_grad[0] else None
        to_weight = _weight_gradient(grad, tangent, weight, ctx.geometry) if ctx.needs_input_grad[1] else None
        return to_grad, to_weight, None, None


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    return convolution_backward(grad, x, weight, None, *geometry, [False, True, False])[1]


def _frozen_batch_norm(
    func: Callable[..., Tensor],
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    if training or running_mean is None or running_var is None:
        return func(input, running_mean, running_var, weight, bias, training, momentum, eps, *rest)
    scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - running_mean * scale
    shape = 1, -1, *[1] * (input.ndim - 2)
    y = torch.addcmul(shift.view(shape), input, scale.view(shape))
    return y if torch.is_autocast_enabled(input.device.type) else y.to(input.dtype)
