"""Every operator with a kink in terms of ``max(x, 0)``, and those that carry a mask or a line along.

A rule is called with the mode, the call itself (None where it writes into its argument) and the arguments; it returns
the value that takes the operator's place, or None where the operator stays.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.models.kinks import KinkMode, Rule

LEAST_BOUND, LARGEST_BOUND = 1e-4, 1e3
"""Bounds that guard against division by zero or overflow, and are no gates: 0 to 1e-4 from below, 1000 and beyond."""


def _real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _relu(mode: KinkMode, call: Any, x: Any) -> Any:
    mode.operator = "relu"
    return mode.max0(x) if _real(x) else None


def _clamp(mode: KinkMode, call: Any, x: Any, min: Any = None, max: Any = None) -> Any:
    low, high = min, max
    if isinstance(low, int | float) and (low <= -LARGEST_BOUND or 0 < low <= LEAST_BOUND):
        low = None
    if isinstance(high, int | float) and high >= LARGEST_BOUND:
        high = None
    if not _real(x) or (low is None and high is None):
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
    if not _real(x):
        return None
    if threshold == value:
        return _clamp(mode, call, x, threshold)
    return value + mode.max0(x, threshold) + (threshold - value) * (x > threshold)


def _leaky_relu(mode: KinkMode, call: Any, x: Any, negative_slope: Any = 0.01) -> Any:
    return negative_slope * x + (1 - negative_slope) * mode.max0(x) if _real(x) else None


def _prelu(mode: KinkMode, call: Any, x: Any, weight: Tensor) -> Any:
    if weight.ndim == 1 and x.ndim > 1:
        weight = weight.view(-1, *[1] * (x.ndim - 2))
    return _leaky_relu(mode, call, x, weight)


def _rrelu(mode: KinkMode, call: Any, x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
           *rest: Any) -> Any:  # fmt: skip
    return None if training else _leaky_relu(mode, call, x, (lower + upper) / 2)


def _hardsigmoid(mode: KinkMode, call: Any, x: Any) -> Any:
    return (mode.max0(x, -3) - mode.max0(x, 3)) / 6 if _real(x) else None


def _hardswish(mode: KinkMode, call: Any, x: Any) -> Any:
    kept = x.clone() if call is None and isinstance(x, Tensor) else x  # about to be overwritten
    return kept * _hardsigmoid(mode, call, x) if _real(x) else None


def _abs(mode: KinkMode, call: Any, x: Any) -> Any:
    return 2 * mode.max0(x) - x if _real(x) else None


def _softshrink(mode: KinkMode, call: Any, x: Any, lambd: float = 0.5) -> Any:
    return mode.max0(x, lambd) - mode.max0(-x, lambd) if _real(x) else None


def _maximum(mode: KinkMode, call: Any, x: Any, other: Any = None, *rest: Any, **named: Any) -> Any:
    """Of two tensors; exact where one of them is huge, as the masks of attention are."""
    if rest or named or not (_real(x) and isinstance(other, Tensor)):
        return None
    if mode.constant(x) and _real(other) and not mode.constant(other):
        x, other = other, x
    difference = (x - other).clamp(-10 * LARGEST_BOUND, 10 * LARGEST_BOUND)
    smooth = mode.max0(difference)
    return torch.maximum(x, other) + (smooth - torch.maximum(difference, torch.zeros_like(difference)))


def _minimum(mode: KinkMode, call: Any, x: Any, other: Any = None, *rest: Any, **named: Any) -> Any:
    if rest or named or not (_real(x) and isinstance(other, Tensor)):
        return None
    value = _maximum(mode, call, -x, -other)
    return None if value is None else -value


def _max_pool(ndim: int) -> Rule:
    def rule(mode: KinkMode, call: Any, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
             dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
        if return_indices or ceil_mode or _lengths(dilation, ndim) != [1] * ndim or not _real(x):
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


def _compared(sign: int) -> Rule:
    def rule(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
        if call is None:
            return None
        if _real(x) and not (mode.constant(x) and _real(other)):
            return mode.note_gate(call(), x, other, *((0, 1) if sign > 0 else (1, -1)))
        if _real(other):
            return mode.note_gate(call(), other, x, *((1, -1) if sign > 0 else (0, 1)))
        return None

    return rule


def _sign(mode: KinkMode, call: Any, x: Any) -> Any:
    return mode.note_gate(call(), x, 0, -1, 2) if call and _real(x) else None


def _heaviside(mode: KinkMode, call: Any, x: Any, values: Any) -> Any:
    return mode.note_gate(call(), x, 0, 0, 1) if call and _real(x) else None


def _not(mode: KinkMode, call: Any, x: Any) -> Any:
    gate = mode.gate(x)
    return mode.note_gate(call(), gate.source, gate.bound, 1 - gate.low, -gate.step) if gate and call else None


def _same(mode: KinkMode, call: Any, x: Any, *rest: Any, **named: Any) -> Any:
    """Casts and copies: gates and lines stay what they are."""
    if call is None or not isinstance(x, Tensor):
        return None
    gate = mode.gate(x)
    result = call()
    if result is x or not isinstance(result, Tensor):
        return result
    if gate is not None:
        return mode.note_gate(result, gate.source, gate.bound, gate.low, gate.step)
    return mode.note_line(result, x, 1, 0) if _real(x) else result


def _created(mode: KinkMode, call: Any, *rest: Any, **named: Any) -> Any:
    return mode.note_constant(call()) if call else None


def _reshaped(mode: KinkMode, call: Any, x: Any, *rest: Any, **named: Any) -> Any:
    learnt = call and (isinstance(x, nn.Parameter) or (isinstance(x, Tensor) and x.ndim < 4 and mode.constant(x)))
    return mode.note_constant(call()) if learnt else None


def _where(mode: KinkMode, call: Any, condition: Any, input: Any = None, other: Any = None, **named: Any) -> Any:
    if isinstance(input, Tensor) and input.dtype == torch.bool:  # the method, of a tensor that a mask is applied to
        condition, input = input, condition
    gate = mode.gate(condition)
    if gate is None or input is None or other is None:
        return None
    above, below = (input, other) if gate.step > 0 else (other, input)
    high, low = mode.line(above, gate), mode.line(below, gate)
    if high is None or low is None:
        return None
    slope = high[0] - low[0]
    if isinstance(slope, int | float) and slope == 0:
        return None
    mode.operator = "where"
    value = below + slope * mode.max0(gate.source, gate.bound)
    jump = _jump(slope, gate.bound, high[1], low[1])
    return value if jump is None else value + jump * (condition if gate.step > 0 else ~condition)


def _jump(slope: Any, bound: Any, high: Any, low: Any) -> Any:
    """How far two lines are apart at the bound; None for nothing."""
    if low is bound and isinstance(high, int | float) and high == 0 and isinstance(slope, int) and slope == 1:
        return None
    if high is bound and isinstance(low, int | float) and low == 0 and isinstance(slope, int) and slope == -1:
        return None
    numbers = all(isinstance(v, int | float) for v in (bound, high, low))
    if numbers and bound == 0 and high == low:
        return None
    jump = slope * bound + (high - low)
    return None if isinstance(jump, int | float) and abs(jump) < 1e-12 else jump


def _masked_fill(mode: KinkMode, call: Any, x: Any, mask: Any, value: Any) -> Any:
    return _where(mode, call, mask, value, x)


def _set_item(mode: KinkMode, call: Any, x: Any, index: Any, value: Any, accumulate: bool = False) -> Any:
    if isinstance(index, list | tuple) and len(index) == 1:
        (index,) = index
    return None if accumulate or not isinstance(index, Tensor) else _where(mode, call, index, value, x)


def _write_item(mode: KinkMode, call: Any, x: Any, index: Any, value: Any) -> Any:
    smooth = _set_item(mode, call, x, index, value)
    return None if smooth is None else x.copy_(smooth)


def _times(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
    for mask, value in ((x, other), (other, x)):
        gate = mode.gate(mask)
        if gate is None:
            continue
        if isinstance(value, int | float):
            return call and mode.note_gate(call(), gate.source, gate.bound, gate.low * value, gate.step * value)
        line = mode.line(value, gate)
        if line is None or (isinstance(line[0], int) and line[0] == 0):
            continue
        mode.operator = "mask"
        smooth = gate.step * line[0] * mode.max0(gate.source, gate.bound)
        if gate.low:
            smooth = smooth + gate.low * value
        jump = _jump(line[0], gate.bound, line[1], 0)
        return smooth if jump is None else smooth + jump * (mask - gate.low if gate.low else mask)
    for value, factor in ((x, other), (other, x)):
        if call and _real(value) and not mode.constant(value) and mode.constant(factor):
            return mode.note_line(call(), value, factor, 0)
    return None


def _divided(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
    if not call or not isinstance(other, int | float) or other == 0:
        return None
    gate = mode.gate(x)
    if gate is not None:
        return mode.note_gate(call(), gate.source, gate.bound, gate.low / other, gate.step / other)
    return mode.note_line(call(), x, 1 / other, 0) if _real(x) else None


def _shifted(mine: int, others: int) -> Rule:
    """``mine * x + others * other`` with signs."""

    def rule(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
        for value, sign, shift in ((x, mine, others), (other, others, mine)):
            offset = other if value is x else x
            gate = mode.gate(value)
            if call and gate and isinstance(offset, int | float):
                low = sign * gate.low + shift * offset
                return mode.note_gate(call(), gate.source, gate.bound, low, sign * gate.step)
            if call and _real(value) and not mode.constant(value) and mode.constant(offset):
                return mode.note_line(call(), value, sign, shift * offset)
        return None

    return rule


def _negated(mode: KinkMode, call: Any, x: Any) -> Any:
    return _times(mode, call, x, -1)


RULES: dict[str, Rule] = {
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
    **dict.fromkeys(("gt", "ge", "greater", "greater_equal", "__gt__", "__ge__"), _compared(1)),
    **dict.fromkeys(("lt", "le", "less", "less_equal", "__lt__", "__le__"), _compared(-1)),
    **dict.fromkeys(("sign", "sgn"), _sign),
    "heaviside": _heaviside,
    **dict.fromkeys(("logical_not", "bitwise_not", "__invert__"), _not),
    **dict.fromkeys(
        ("to", "float", "double", "half", "bfloat16", "type", "type_as", "clone", "contiguous", "_to_copy", "alias"),
        _same,
    ),
    **dict.fromkeys(
        ("zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full"), _created
    ),
    **dict.fromkeys(("view", "reshape", "expand", "unsqueeze"), _reshaped),
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "where": _where,
    "masked_fill": _masked_fill,
    "index_put": _set_item,
    "__setitem__": _write_item,
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__"), _times),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__"), _divided),
    **dict.fromkeys(("add", "__add__", "__radd__"), _shifted(1, 1)),
    **dict.fromkeys(("sub", "subtract", "__sub__"), _shifted(1, -1)),
    **dict.fromkeys(("rsub", "__rsub__"), _shifted(-1, 1)),
    **dict.fromkeys(("neg", "negative", "__neg__"), _negated),
}
"""By the operator's name."""
