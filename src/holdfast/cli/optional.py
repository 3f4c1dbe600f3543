"""Options that may be None, shown by what they take: ``--k INT``, not ``--k {None}|INT``."""

from __future__ import annotations

from dataclasses import replace
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo


def optional_options() -> ConstructorRegistry:
    """Rules for tyro by which an option that may be None takes the words of its other types, and the word None."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def or_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        hint = _without_none(info.type)
        if hint is None:
            return None
        other = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(hint, info.markers))
        if not isinstance(other, PrimitiveConstructorSpec) or other.choices:
            return None
        return replace(
            other,
            instance_from_str=lambda words: None if words == ["None"] else other.instance_from_str(words),
            is_instance=lambda value: value is None or other.is_instance(value),
            str_from_instance=lambda value: ["None"] if value is None else other.str_from_instance(value),
        )

    return registry


def _without_none(hint: Any) -> Any:
    """The other types of a union with None; None for every other hint."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    others = tuple(option for option in options if option is not NoneType)
    return Union[others] if len(others) < len(options) else None  # noqa: UP007
