"""Frozen dataclasses read from JSON values, each value checked against the annotated type of its field."""

from __future__ import annotations

import reprlib
import types
import typing
from collections.abc import Iterable, Sequence, Sized
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from fer_edge.bounded_read import read_bounded
from fer_edge.json_fields import LARGEST_INTEGER, LARGEST_NUMBER, parse_json
from fer_edge.limits import JSON_BYTES
from fer_edge.text_cleaning import clean

T = TypeVar("T")

# What a JSON file may hold in a place whose fields are not known here: settings of a preset, for example.
JsonValue: typing.TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: typing.TypeAlias = dict[str, JsonValue]


_LARGEST_TEXT = 16_384  # characters; a longer one is cut


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises OSError, and ValueError where the file holds none; its content is not quoted."""
    with path.open("rb") as file:
        content = read_bounded(file, JSON_BYTES)
    if len(content) > JSON_BYTES:
        raise ValueError(f"it has more than {JSON_BYTES:,} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8, from byte {error.start} on") from None
    return parse_json(text)


def from_json(kind: type[T], values: Any) -> T:
    """The dataclass or named tuple `kind` with its fields from JSON `values`; other keys are ignored.

    A field with a default may be missing. Texts and names are cleaned, and numbers have bounds. Raises ValueError, which names
    the place, for a missing or a wrong value, and for values that a dataclass itself refuses.
    """
    try:
        return typing.cast(T, _read(kind, values, ""))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


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
        return {_text(key): _read(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if kind is dict:
        _check(isinstance(value, dict), place, value, "an object")
    elif kind in (int, float):
        number = type(value) is int or (kind is float and type(value) is float)
        _check(number, place, value, "a whole number" if kind is int else "a number")
    elif kind in (str, bool):
        _check(type(value) is kind, place, value, "a string" if kind is str else "true or false")
    return _plain(value, place)


def _plain(value: Any, place: str) -> Any:
    """Any JSON value with its texts cleaned. Raises ValueError for a number that is not finite or too large."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if type(value) in (int, float):
        largest = LARGEST_INTEGER if type(value) is int else LARGEST_NUMBER
        _check(abs(value) <= largest, place, value, f"a number from {-largest:g} to {largest:g}")
    return value


def _text(value: str) -> str:
    return clean(value, _LARGEST_TEXT)


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
            raise ValueError(f"{_spelt(place) or 'it'} has no “{name}”")
    found = {name: _read(hint, value[name], f"{place}.{name}") for name, hint in hints.items() if name in value}
    try:
        return kind(**found)
    except ValueError as error:  # of its own check
        raise ValueError(f"{_spelt(place)}: {error}" if place else str(error)) from None


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
        text = value if isinstance(value, str) else reprlib.repr(value)
        raise ValueError(f"{_spelt(place) or 'it'} is {text[:40]!r}, not {wanted}")


def _spelt(place: str) -> str:
    return clean(place.lstrip("."))


def require_length(name: str, values: Sized, length: int, of: str) -> None:
    """Raises ValueError unless the field `name` has `length` values, as many as `of` says."""
    if len(values) != length:
        raise ValueError(f"{name} has {len(values)} values, not {length}: {of}")


def require_matrix(name: str, rows: Sequence[Sized], classes: int) -> None:
    """Raises ValueError unless the field `name` has a row and a column for each of the classes."""
    require_length(name, rows, classes, "a row for each class")
    for i, row in enumerate(rows):
        require_length(f"{name}[{i}]", row, classes, "a column for each class")


def require_known(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError unless every name in the field `name` is a known one."""
    if unknown := set(given) - set(known):
        raise ValueError(f"{name} has {min(unknown)[:40]!r}, which is none of the labels")
