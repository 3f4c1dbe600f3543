"""Every operator with a kink in terms of ``max(x, 0)``.

A rule is called with the mode, the call itself (None where it writes into its argument) and the arguments; it returns
the value that takes the operator's place, or None where the operator stays.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.models.kinks import KinkMode, Rule

LEAST_BOUND, LARGEST_BOUND = 1e-4, 1e3
"""Bounds that guard against division by zero or overflow, and are no gates: 0 to 1e-4 from below, 1000 and beyond."""


def real(x: Any) -> bool:
    """Whether a value is a tensor of real numbers."""
    return isinstance(x, Tensor) and x.is_floating_point()


def _relu(mode: KinkMode, call: Any, x: Any) -> Any:
    mode.operator = "relu"
    return mode.max0(x) if real(x) else None


def _clamp(mode: KinkMode, call: Any, x: Any, min: Any = None, max: Any = None) -> Any:
    low, high = min, max
    if isinstance(low, int | float) and (low <= -LARGEST_BOUND or 0 < low <= LEAST_BOUND):
        low = None
    if isinstance(high, int | float) and high >= LARGEST_BOUND:
        high = None
    if not real(x) or (low is None and high is None):
        return None
    if low is None:
        return high - mode.max0(-x, -high)
    if high is None:
        at_zero = isinstance(low, int | float) and low == 0
        if at_zero or isinstance(low, Tensor):
            mode.operator = "relu" if at_zero else "maximum"
        return mode.max0(x) if at_zero else low + mode.max0(x, low)
    return low + mode.max0(x, low) - mode.max0(x, high)


def _threshold(mode: KinkMode, call: Any, x: Any, threshold: float, value: float) -> Any:
    if not real(x):
        return None
    if threshold == value:
        return _clamp(mode, call, x, threshold)
    return value + mode.max0(x, threshold) + (threshold - value) * (x > threshold)


def _leaky_relu(mode: KinkMode, call: Any, x: Any, negative_slope: Any = 0.01) -> Any:
    return negative_slope * x + (1 - negative_slope) * mode.max0(x) if real(x) else None


def _prelu(mode: KinkMode, call: Any, x: Any, weight: Tensor) -> Any:
    if weight.ndim == 1 and x.ndim > 1:
        weight = weight.view(-1, *[1] * (x.ndim - 2))
    return _leaky_relu(mode, call, x, weight)


def _rrelu(mode: KinkMode, call: Any, x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
           *rest: Any) -> Any:  # fmt: skip
    return None if training else _leaky_relu(mode, call, x, (lower + upper) / 2)


def _hardsigmoid(mode: KinkMode, call: Any, x: Any) -> Any:
    return (mode.max0(x, -3) - mode.max0(x, 3)) / 6 if real(x) else None


def _hardswish(mode: KinkMode, call: Any, x: Any) -> Any:
    kept = x.clone() if call is None and isinstance(x, Tensor) else x  # about to be overwritten
    return kept * _hardsigmoid(mode, call, x) if real(x) else None


def _abs(mode: KinkMode, call: Any, x: Any) -> Any:
    return 2 * mode.max0(x) - x if real(x) else None


def _softshrink(mode: KinkMode, call: Any, x: Any, lambd: float = 0.5) -> Any:
    return mode.max0(x, lambd) - mode.max0(-x, lambd) if real(x) else None


def _maximum(mode: KinkMode, call: Any, x: Any, other: Any = None, *rest: Any, **named: Any) -> Any:
    """Of two tensors; exact where one of them is huge, as the masks of attention are."""
    if rest or named or not (real(x) and isinstance(other, Tensor)):
        return None
    if mode.constant(x) and real(other) and not mode.constant(other):
        x, other = other, x
    difference = (x - other).clamp(-10 * LARGEST_BOUND, 10 * LARGEST_BOUND)
    smooth = mode.max0(difference)
    return torch.maximum(x, other) + (smooth - torch.maximum(difference, torch.zeros_like(difference)))


def _minimum(mode: KinkMode, call: Any, x: Any, other: Any = None, *rest: Any, **named: Any) -> Any:
    if rest or named or not (real(x) and isinstance(other, Tensor)):
        return None
    value = _maximum(mode, call, -x, -other)
    return None if value is None else -value


def _max_pool(ndim: int) -> Rule:
    def rule(mode: KinkMode, call: Any, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
             dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
        if return_indices or ceil_mode or _lengths(dilation, ndim) != [1] * ndim or not real(x):
            return None
        kernel, pads = _lengths(kernel_size, ndim), _lengths(padding, ndim)
        steps = _lengths(stride, ndim) if stride or stride == 0 else kernel
        windows = F.pad(x, [p for pad in reversed(pads) for p in (pad, pad)], value=-LARGEST_BOUND) if any(pads) else x
        if steps == kernel:
            return _largest_of_tiles(mode, windows, kernel)
        for i in range(ndim):
            windows = windows.unfold(x.ndim - ndim + i, kernel[i], steps[i])
        return mode.largest(windows, tuple(range(-ndim, 0)))

    return rule


def _largest_of_tiles(mode: KinkMode, x: Tensor, kernel: list[int]) -> Any:
    lead, shape = x.shape[: -len(kernel)], []
    for i, k in enumerate(kernel, len(lead)):
        x = x.narrow(i, 0, x.shape[i] // k * k)
        shape += [x.shape[i] // k, k]
    return mode.largest(x.reshape(*lead, *shape), tuple(len(lead) + 2 * i + 1 for i in range(len(kernel))))


def _lengths(value: Any, ndim: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * ndim if len(values) == 1 else values


KINKS: dict[str, Rule] = {
    "relu": _relu,
    "relu6": lambda mode, call, x: _clamp(mode, call, x, 0, 6),
    "hardtanh": lambda mode, call, x, min_val=-1.0, max_val=1.0: _clamp(mode, call, x, min_val, max_val),
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": lambda mode, call, x, min: _clamp(mode, call, x, min),
    "clamp_max": lambda mode, call, x, max: _clamp(mode, call, x, None, max),
    **dict.fromkeys(("threshold", "_threshold"), _threshold),
    "leaky_relu": _leaky_relu,
    **dict.fromkeys(("prelu", "_prelu_kernel"), _prelu),
    "rrelu": _rrelu,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    **dict.fromkeys(("abs", "absolute", "__abs__"), _abs),
    "softshrink": _softshrink,
    **dict.fromkeys(("maximum", "max", "fmax"), _maximum),
    **dict.fromkeys(("minimum", "min", "fmin"), _minimum),
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
}
"""By the operator's name."""
