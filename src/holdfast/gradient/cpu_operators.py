"""Two operators whose CPU kernels in PyTorch are slow, computed another way: the same numbers up to rounding.

The input gradient of a convolution of few channels (the first layer of a network on images) leaves most lanes of
oneDNN's vectors empty; max pooling of contiguous images is not vectorised, that of channels-last images is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from holdfast.gradient.overloads import in_source
from holdfast.models.state import eagerly, is_transformed, without_checkpoints

Geometry = tuple[list[int], list[int], list[int], bool, list[int], int]
"""Stride, padding, dilation, whether transposed, output padding, groups: what aten's convolutions are called with."""

convolution = torch.ops.aten.convolution.default
convolution_backward = torch.ops.aten.convolution_backward.default
max_pool2d_with_indices = torch.ops.aten.max_pool2d_with_indices.default
max_pool2d_backward = torch.ops.aten.max_pool2d_with_indices_backward.default

FEW_CHANNELS = 4
SMALL = 100_000
"""Entries of a patch matrix up to which ``F.fold`` is faster than one addition a place of the kernel."""
POOLED_CHANNELS = 8
MAX_POOL_2D = {F.max_pool2d, torch.max_pool2d}


def plain_geometry(
    ndim: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Geometry | None:
    """The geometry of a convolution of a batch by stored weights; None for one that is out of the ordinary."""
    computed = weight.grad_fn is not None or (bias is not None and bias.grad_fn is not None)
    if computed or isinstance(padding, str) or input.ndim != ndim + 2 or not input.is_floating_point():
        return None
    lengths = [[v] * ndim if isinstance(v, int) else list(v) for v in (stride, padding, dilation)]
    lengths = [v * ndim if len(v) == 1 else v for v in lengths]
    return lengths[0], lengths[1], lengths[2], False, [0] * ndim, groups


def convolution_input_gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of a convolution to its input ``x``, of which only the shape and the device matter."""
    if _few_channels(x, weight):
        return _from_patches(grad, x.shape, weight, geometry)
    return convolution_backward(grad, x, weight, None, *geometry, [True, False, False])[0]


def _few_channels(x: Tensor, weight: Tensor) -> bool:
    full = x.dtype in (torch.float32, torch.float64)
    return full and x.device.type == "cpu" and x.ndim == 4 and x.shape[1] == weight.shape[1] <= FEW_CHANNELS


def _from_patches(grad: Tensor, shape: torch.Size, weight: Tensor, geometry: Geometry) -> Tensor:
    """Each output pixel's patch of input gradients by one matrix product, then added up where patches overlap."""
    stride, padding, dilation, *_ = geometry
    kernel = weight.shape[2:]
    patches = weight.flatten(1).t() @ grad.flatten(2)
    if patches.numel() < SMALL:
        return F.fold(patches, shape[2:], kernel, *(tuple(v) for v in (dilation, padding, stride)))
    patches = patches.view(shape[0], shape[1], *kernel, *grad.shape[2:])
    (top, left), (height, width) = padding, shape[2:]
    total = grad.new_zeros(*shape[:2], height + 2 * top, width + 2 * left)
    for place in product(*map(range, kernel)):
        rows, columns = (
            slice(d * i, d * i + s * (n - 1) + 1, s)
            for i, d, s, n in zip(place, dilation, stride, grad.shape[2:], strict=True)
        )
        total[:, :, rows, columns] += patches[:, :, place[0], place[1]]
    return total[:, :, top : top + height, left : left + width].contiguous()


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Any = False,
) -> Any:
    """``F.max_pool2d``, the first of equal values winning as there; twice differentiable."""
    slow = input.device.type == "cpu" and input.ndim == 4 and input.shape[1] >= POOLED_CHANNELS
    if return_indices or not slow or not input.is_contiguous():
        return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    lengths = [[v] if isinstance(v, int) else list(v or ()) for v in (kernel_size, stride, padding, dilation)]
    return _MaxPool2d.apply(input, (*lengths, ceil_mode))


class _MaxPool2d(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: tuple[Any, ...]) -> Tensor:
        y, indices = max_pool2d_with_indices(x.contiguous(memory_format=torch.channels_last), *window)
        ctx.save_for_backward(indices.contiguous())
        ctx.shape, ctx.window = x.shape, window
        return y.contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        shape_only = grad.new_empty(()).expand(ctx.shape)
        return max_pool2d_backward(grad.contiguous(), shape_only, *ctx.window, *ctx.saved_tensors), None


class _InputGradients(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_transformed():
            return func(*args, **kwargs)
        if isinstance(func, OpOverload):
            func, args = in_source(func, args)
        if func in MAX_POOL_2D:
            return max_pool2d(*args, **kwargs)
        return (_conv2d if func is F.conv2d else func)(*args, **kwargs)


@contextmanager
def input_gradients(device: torch.device) -> Iterator[None]:
    """For a forward pass that is differentiated to its input alone: on a CPU it runs on the operators above.

    Weights may get no gradient, and checkpointed networks keep their activations. Compiled networks run as they were
    written there: that is as fast, and the code that PyTorch 2.13 compiles for a CPU was seen to return gradients of
    zero.
    """
    with without_checkpoints():
        if device.type != "cpu":
            yield
            return
        with eagerly(), _InputGradients():
            yield


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    geometry = plain_geometry(2, input, weight, bias, stride, padding, dilation, groups)
    if geometry is None or not _few_channels(input, weight) or torch.is_autocast_enabled("cpu"):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    return _Convolution.apply(input, weight.detach(), None if bias is None else bias.detach(), geometry)


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.geometry = x.shape, geometry
        return convolution(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return _from_patches(grad, ctx.shape, weight, ctx.geometry), None, None, None
