"""Run TorchScript operator by operator, as PyTorch's function modes need to see it, on the module's own weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from holdfast.models.state import Model, hides_operators

Step = Callable[[dict[str, Any]], None]
_programs: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""By module; None where the graph cannot be interpreted."""

IGNORED = {"prim::Print", "aten::warn"}
VALUES: dict[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *values: list(values),
    "prim::TupleConstruct": lambda *values: values,
    "prim::DictConstruct": lambda *values: dict(zip(values[::2], values[1::2], strict=True)),
    "prim::TupleIndex": lambda values, index: values[index],
    "prim::unchecked_cast": lambda value: value,
    "prim::unchecked_unwrap_optional": lambda value: value,
    "prim::Uninitialized": lambda: None,
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "prim::shape": lambda x: list(x.shape),
}
LISTS: dict[str, Callable[..., Any]] = {
    "aten::len.t": len,
    "aten::__getitem__.t": lambda values, index: values[index],
    "aten::append.t": lambda values, value: [values.append(value), values][1],
    "aten::_set_item.t": lambda values, index, value: [values.__setitem__(index, value), values][1],
    "aten::slice.t": lambda values, start, end, step: values[start:end:step],
    "aten::add.t": lambda a, b: a + b,
    "aten::add_.t": lambda a, b: [a.extend(b), a][1],
    "aten::list.t": list,
}
"""Operators on lists of anything, which cannot be called from Python."""


class UnknownInstruction(Exception):
    """The graph holds something that only PyTorch's own interpreter can run."""


def as_written(model: Model) -> Model:
    """``model`` with each TorchScript module in it interpreted and ``DataParallel`` taken off; itself if it has none.

    Weights, buffers and hooks are shared, not copied.
    """
    if isinstance(model, torch.jit.ScriptFunction):
        return _interpreted(model)
    return _shown(model) if isinstance(model, nn.Module) and hides_operators(model) else model


def _shown(module: nn.Module) -> Any:
    if isinstance(module, torch.jit.ScriptModule):
        return _interpreted(module)
    if isinstance(module, nn.DataParallel):
        return _shown(module.module)
    if isinstance(module, torch._dynamo.OptimizedModule):
        original: Any = module._orig_mod
        return _shown(original)
    children = {name: None if child is None else _shown(child) for name, child in module._modules.items()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    shown = copy.copy(module)
    shown.__dict__["_modules"] = children
    return shown


def _interpreted(module: Any) -> Any:
    if module not in _programs:
        try:
            _programs[module] = _program(module.inlined_graph)
        except UnknownInstruction:
            _programs[module] = None
    program = _programs[module]
    return module if program is None else _Interpreted(module, program)


class _Interpreted(nn.Module):
    script: Any

    def __init__(self, script: Any, program: tuple[list[str], list[Step], list[str]]) -> None:
        super().__init__()
        self.__dict__["script"] = script  # not a child: nothing that lists modules should meet it twice
        self.program = program

    def forward(self, *inputs: Any) -> Any:
        names, steps, results = self.program
        given = inputs if isinstance(self.script, torch.jit.ScriptFunction) else (self.script, *inputs)
        if len(given) != len(names):  # defaults, which the graph does not hold
            return self.script(*inputs)
        values = dict(zip(names, given, strict=True))
        for step in steps:
            step(values)
        found = [values[name] for name in results]
        return found[0] if len(found) == 1 else tuple(found)


def _program(block: Any) -> tuple[list[str], list[Step], list[str]]:
    names = [value.debugName() for value in block.inputs()]
    return names, _steps(block), [value.debugName() for value in block.outputs()]


def _steps(block: Any) -> list[Step]:
    return [step for node in block.nodes() if (step := _step(node)) is not None]


def _step(node: Any) -> Step | None:
    kind = node.kind()
    inputs = [value.debugName() for value in node.inputs()]
    outputs = [value.debugName() for value in node.outputs()]
    if kind in IGNORED:
        return None
    if kind == "prim::Constant":
        value = node.output().toIValue()
        return lambda values: values.__setitem__(outputs[0], value)
    if kind == "prim::GetAttr":
        name = node.s("name")
        return lambda values: values.__setitem__(outputs[0], getattr(values[inputs[0]], name))
    if kind == "prim::SetAttr":
        name = node.s("name")
        return lambda values: setattr(values[inputs[0]], name, values[inputs[1]])
    if kind == "prim::If":
        return _if(inputs, outputs, [_program(block) for block in node.blocks()])
    if kind == "prim::Loop":
        return _loop(inputs, outputs, _program(next(iter(node.blocks()))))
    if kind in ("prim::ListUnpack", "prim::TupleUnpack"):
        return lambda values: values.update(zip(outputs, values[inputs[0]], strict=True))
    if kind == "prim::RaiseException":
        return lambda values: _raise(values[inputs[0]])
    operator = VALUES.get(kind) or _operator(node, kind)
    return _call(operator, inputs, outputs)


def _call(operator: Callable[..., Any], inputs: list[str], outputs: list[str]) -> Step:
    def step(values: dict[str, Any]) -> None:
        result = operator(*[values[name] for name in inputs])
        if len(outputs) == 1:
            values[outputs[0]] = result
        elif outputs:
            values.update(zip(outputs, result, strict=True))

    return step


def _if(inputs: list[str], outputs: list[str], branches: list[Any]) -> Step:
    def step(values: dict[str, Any]) -> None:
        _, steps, results = branches[0 if bool(values[inputs[0]]) else 1]
        for inner in steps:
            inner(values)
        values.update({name: values[result] for name, result in zip(outputs, results, strict=True)})

    return step


def _loop(inputs: list[str], outputs: list[str], body: Any) -> Step:
    names, steps, results = body

    def step(values: dict[str, Any]) -> None:
        most, going, *state = (values[name] for name in inputs)
        turn = 0
        while going and turn < most:
            values.update(zip(names, (turn, *state), strict=True))
            for inner in steps:
                inner(values)
            going, *state = (values[name] for name in results)
            turn += 1
        values.update(zip(outputs, state, strict=True))

    return step


def _operator(node: Any, kind: str) -> Callable[..., Any]:
    text = node.schema()
    if text == "(no schema)":
        raise UnknownInstruction(kind)
    schema = torch._C.parse_schema(text)
    on_lists = LISTS.get(f"{schema.name}.{schema.overload_name}")
    if on_lists is not None:
        return on_lists
    operator: Any = torch._C._get_operation_overload(schema.name, schema.overload_name)
    if operator is None:
        raise UnknownInstruction(kind)
    plain = sum(not argument.kwarg_only for argument in schema.arguments)
    names = [argument.name for argument in schema.arguments[plain:]]
    function = operator[0]
    if not names:
        return function
    return lambda *values: function(*values[:plain], **dict(zip(names, values[plain:], strict=True)))


def _raise(message: Any) -> None:
    raise RuntimeError(str(message))
