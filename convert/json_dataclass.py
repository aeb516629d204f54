"""Frozen dataclasses read from JSON values, each value checked against the annotated type of its field."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# What a JSON file may hold in a place whose fields are not known here: settings of a preset, for example.
JsonValue: typing.TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: typing.TypeAlias = dict[str, JsonValue]


def from_json(kind: type[T], values: Any) -> T:
    """The dataclass or named tuple `kind` with its fields from JSON `values`; other keys are ignored.

    A field with a default may be missing. Raises ValueError, which names the place, for a missing or a wrong value.
    """
    return typing.cast(T, _read(kind, values, ""))


def _read(kind: Any, value: Any, place: str) -> Any:
    """`value` as the annotated type `kind`; `place` is its path in the file, for the message."""
    if isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields")):
        return _read_fields(kind, value, place)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in arguments:
            return None
        return _read(next(one for one in arguments if one is not types.NoneType), value, place)
    if origin in (tuple, list):
        return _read_sequence(origin, arguments, value, place)
    if origin is dict:
        _check(isinstance(value, dict), place, value, "an object")
        return {key: _read(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if kind in (int, float):
        number = type(value) is int or (kind is float and type(value) is float)
        _check(number, place, value, "a whole number" if kind is int else "a number")
    elif kind in (str, bool):
        _check(type(value) is kind, place, value, "a string" if kind is str else "true or false")
    return value


def _read_fields(kind: Any, value: Any, place: str) -> Any:
    """A dataclass or a named tuple."""
    _check(isinstance(value, dict), place, value, "an object")
    hints = _hints(kind)
    if is_dataclass(kind):
        optional = {f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING}
    else:
        optional = set(kind._field_defaults)
    for name in hints:
        if name not in value and name not in optional:
            raise ValueError(f"{place.lstrip('.') or 'it'} has no “{name}”")
    return kind(**{name: _read(hint, value[name], f"{place}.{name}") for name, hint in hints.items() if name in value})


def _hints(kind: Any) -> dict[str, Any]:
    """The types of the fields by name; JsonObject and JsonValue accept any value."""
    return typing.get_type_hints(kind, localns={"JsonObject": dict, "JsonValue": Any})


def _read_sequence(kind: type, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    _check(isinstance(value, list), place, value, "a list")
    if kind is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        _check(len(value) == len(arguments), place, value, f"a list of {len(arguments)}")
        return tuple(
            _read(one, item, f"{place}[{i}]") for i, (one, item) in enumerate(zip(arguments, value, strict=True))
        )
    return kind(_read(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value))


def _check(condition: bool, place: str, value: Any, wanted: str) -> None:
    if not condition:
        raise ValueError(f"{place.lstrip('.') or 'it'} is {str(value)[:40]!r}, not {wanted}")
