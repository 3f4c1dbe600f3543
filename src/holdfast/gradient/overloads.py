"""The operators of ``torch.ops.aten`` that exported, traced and scripted networks call, as source code calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch._ops import OpOverload

Call = tuple[Callable[..., Any], tuple[Any, ...]]

_aten = torch.ops.aten
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_SAME = {
    getattr(_aten, name).default: getattr(F, name, None) or getattr(torch, name)
    for name in (
        "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "hardtanh", "hardtanh_", "hardsigmoid", "abs",
        "clamp_min", "clamp_min_", "conv1d", "conv2d", "conv3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "scaled_dot_product_attention",
    )
} | {getattr(_aten, f.__name__).default: f for f in (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)}  # fmt: skip


def in_source(func: OpOverload, args: tuple[Any, ...]) -> Call:
    """The function of `torch` or `torch.nn.functional` that an overload is, and its arguments; others as they are.

    >>> in_source(torch.ops.aten.relu.default, ())[0] is F.relu
    True
    """
    if func in (_aten._convolution.default, _aten.convolution.default):
        x, weight, bias, stride, padding, dilation, transposed, _, groups, *_ = args
        if transposed or not 3 <= x.ndim <= 5:
            return func, args
        return _CONVOLUTIONS[x.ndim - 3], (x, weight, bias, stride, padding, dilation, groups)
    if func is _aten.batch_norm.default:
        x, weight, bias, running_mean, running_var, training, momentum, eps, _ = args
        return F.batch_norm, (x, running_mean, running_var, weight, bias, training, momentum, eps)
    return _SAME.get(func, func), args
