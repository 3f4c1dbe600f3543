"""Find every kink of a network, whatever it is called, and replace it.

A `torch.overrides.TorchFunctionMode` sees every call of the ``torch`` API: functions, methods and operators as
``torch.export`` and the interpreter of `holdfast.models.written` call them (``torch.ops.aten``). Operators are known
by their name (`holdfast.models.masks` has the rule of each); masks (``h * (h > 0)``, ``torch.where(h > 0, h, 0)``)
by following comparisons to what was compared.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

Rule = Callable[..., Any]

TAKES_INPLACE = {"relu", "relu6", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "threshold", "rrelu"}
PLAIN: dict[str, Any] = {"alpha": 1, "rounding_mode": None, "inplace": False}
"""Options that change nothing at these values."""
POOLING = {F.max_pool1d: "max_pool1d", F.max_pool2d: "max_pool2d"}
OTHER_RESULT = {"out", "alpha", "rounding_mode"}


@dataclass(frozen=True, slots=True)
class Gate:
    """A tensor that is ``low + step * [source > bound]``."""

    source: Tensor
    bound: Any
    low: float
    step: float
    version: int
    own_version: int


class KinkMode(TorchFunctionMode):
    """Every kink of a forward pass goes through `ramp`.

    Attributes:
        found: how many operators were replaced in the last forward pass, by name.
        operator: the name of the one that is being replaced.
        replacing: whether one is: its own operators are no kinks of the network.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self.rules = rules
        self.found: Counter[str] = Counter()
        self.operator = ""
        self.replacing = False
        self._gates = WeakTensorKeyDictionary()
        self._affine = WeakTensorKeyDictionary()
        self._constants = WeakTensorKeyDictionary()

    def ramp(self, x: Tensor) -> Tensor:
        """What takes the place of ``max(x, 0)``."""
        raise NotImplementedError

    def largest(self, x: Tensor, dims: tuple[int, ...]) -> Tensor | None:
        """What takes the place of the largest value of each pooling window; None keeps it."""
        return None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(func)
        in_place = name[-1:] == "_" and name[-2:] != "__"
        rule = self.rules.get(name[:-1] if in_place else name)
        if rule is None:
            return func(*args, **kwargs)
        return self._replaced(rule, name, in_place, func, args, kwargs)

    def _replaced(
        self, rule: Rule, name: str, in_place: bool, func: Callable[..., Any], args: tuple[Any, ...], given: Any
    ) -> Any:
        self.operator = name.strip("_")
        kwargs = {k: v for k, v in given.items() if k not in PLAIN or v != PLAIN[k]}
        if OTHER_RESULT & kwargs.keys():
            return func(*args, **given)
        positional = args
        if not positional:
            first = next((k for k in ("condition", "input", "self") if k in kwargs), None)
            positional = () if first is None else (kwargs.pop(first),)
        if self.operator in TAKES_INPLACE:
            in_place = bool(kwargs.pop("inplace", False)) or in_place
            if len(positional) > 1 and isinstance(positional[-1], bool) and self.operator != "rrelu":
                *positional, last = positional  # type: ignore[assignment]
                in_place = in_place or last
        call = None if in_place else lambda: func(*args, **given)
        self.replacing = True
        try:
            value = rule(self, call, *positional, **kwargs)
            if value is not None and in_place:
                value = positional[0].copy_(value)
        finally:
            self.replacing = False
        return func(*args, **given) if value is None else value

    def max0(self, x: Tensor, bound: Any = 0) -> Tensor:
        """``max(x - bound, 0)``, and counts the operator."""
        self.found[self.operator] += 1
        return self.ramp(x if isinstance(bound, int | float) and bound == 0 else x - bound)

    def constant(self, x: Any) -> bool:
        """Whether a value does not depend on the images, as far as can be told without waiting for the device."""
        if isinstance(x, Tensor):
            scalar = x.ndim < 2 and x.numel() == 1 and not x.requires_grad
            return scalar or isinstance(x, nn.Parameter) or x in self._constants
        return isinstance(x, int | float) and math.isfinite(x)

    def gate(self, x: Any) -> Gate | None:
        gate = self._gates.get(x) if isinstance(x, Tensor) else None
        fresh = gate is not None and gate.version == _version(gate.source) and gate.own_version == _version(x)
        return gate if fresh else None

    def line(self, x: Any, gate: Gate) -> tuple[Any, Any] | None:
        """``x`` as ``slope * source + offset`` of a gate's source."""
        if x is gate.source:
            return 1, 0
        if x is gate.bound or self.constant(x):
            return 0, x
        source, version, slope, offset = (
            self._affine.get(x, (None, None, 0, 0)) if isinstance(x, Tensor) else [None] * 4
        )
        if source is None or source() is not gate.source or version != (gate.version, _version(x)):
            return None
        return slope, offset

    def note_gate(self, x: Any, source: Tensor, bound: Any, low: float, step: float) -> Any:
        self._gates[x] = Gate(source, bound, low, step, _version(source), _version(x))
        return x

    def note_line(self, x: Any, of: Tensor, slope: Any, offset: Any) -> Any:
        before = self._affine.get(of)
        if before is not None and before[0]() is not None and before[1] == (_version(before[0]()), _version(of)):
            source, k, m = before[0](), before[2], before[3]
        else:
            source, k, m = of, 1, 0
        self._affine[x] = weakref.ref(source), (_version(source), _version(x)), slope * k, slope * m + offset
        return x

    def note_constant(self, x: Tensor) -> Tensor:
        self._constants[x] = True
        return x


def _name(func: Any) -> str:
    if isinstance(func, torch._ops.OpOverload):
        return func._opname if func.namespace == "aten" else ""
    name = getattr(func, "__name__", "")
    return POOLING.get(func, "") if name == "fn" else name


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version
