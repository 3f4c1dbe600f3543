"""Operators that carry a mask or a line along, and the rule of every operator by its name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from holdfast.models.kinks import KinkMode, Rule
from holdfast.models.operators import KINKS, real


def _compared(sign: int) -> Rule:
    def rule(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
        if call is None:
            return None
        if real(x) and not (mode.constant(x) and real(other)):
            return mode.note_gate(call(), x, other, *((0, 1) if sign > 0 else (1, -1)))
        if real(other):
            return mode.note_gate(call(), other, x, *((1, -1) if sign > 0 else (0, 1)))
        return None

    return rule


def _sign(mode: KinkMode, call: Any, x: Any) -> Any:
    return mode.note_gate(call(), x, 0, -1, 2) if call and real(x) else None


def _heaviside(mode: KinkMode, call: Any, x: Any, values: Any) -> Any:
    return mode.note_gate(call(), x, 0, 0, 1) if call and real(x) else None


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
    return mode.note_line(result, x, 1, 0) if real(x) else result


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
        if call and real(value) and not mode.constant(value) and mode.constant(factor):
            return mode.note_line(call(), value, factor, 0)
    return None


def _divided(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
    if not call or not isinstance(other, int | float) or other == 0:
        return None
    gate = mode.gate(x)
    if gate is not None:
        return mode.note_gate(call(), gate.source, gate.bound, gate.low / other, gate.step / other)
    return mode.note_line(call(), x, 1 / other, 0) if real(x) else None


def _shifted(mine: int, others: int) -> Rule:
    """``mine * x + others * other`` with signs."""

    def rule(mode: KinkMode, call: Any, x: Any, other: Any) -> Any:
        for value, sign, shift in ((x, mine, others), (other, others, mine)):
            offset = other if value is x else x
            gate = mode.gate(value)
            if call and gate and isinstance(offset, int | float):
                low = sign * gate.low + shift * offset
                return mode.note_gate(call(), gate.source, gate.bound, low, sign * gate.step)
            if call and real(value) and not mode.constant(value) and mode.constant(offset):
                return mode.note_line(call(), value, sign, shift * offset)
        return None

    return rule


def _negated(mode: KinkMode, call: Any, x: Any) -> Any:
    return _times(mode, call, x, -1)


RULES: dict[str, Rule] = {
    **KINKS,
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
