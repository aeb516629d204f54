"""The fields of a JSON object, read with their types and bounds; a wrong one is refused in a sentence that names it."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NoReturn

from fer_edge.errors import FerEdgeError
from fer_edge.text_cleaning import clean

_SHA256 = re.compile(r"[0-9a-f]{64}")
LARGEST_INTEGER = 2**53  # every smaller one is exact in all readers of JSON
LARGEST_NUMBER = 1e15
_LARGEST_TEXT = 4096  # characters
_LARGEST_PATH = 16_384
_values = reprlib.Repr()
_values.maxstring = _values.maxother = _values.maxlong = 60


def parse_json(raw: bytes | str) -> Any:
    """The value of a JSON document. Raises ValueError for any other text, for NaN and Infinity, and for deep nesting."""
    try:
        return json.loads(raw, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {sys.getrecursionlimit()} levels") from None


def json_text(value: object, indent: int | None = None) -> str:
    r"""The value as JSON, in which characters that cannot be printed are written as \u escapes. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1]


def refuse_constant(name: str) -> NoReturn:
    """For `parse_constant` of JSON decoders: raises ValueError for NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is not a number of JSON")


@dataclass(frozen=True, slots=True)
class JsonFields:
    """A JSON object and where it stands.

    `source` names the file, `path` the object inside it ("" for the whole file). Each method returns one field; it raises
    `error` when the field is missing, of another type or out of bounds. `remedy` is what the message suggests to do.
    """

    values: dict[str, Any]
    source: str
    error: type[FerEdgeError]
    remedy: str
    path: str = ""

    @staticmethod
    def of(value: object, source: str, error: type[FerEdgeError], remedy: str) -> JsonFields:
        """The fields of the outermost value of a file. Raises `error` when it is not an object."""
        if not isinstance(value, dict):
            raise error(f"{source} holds {_short(value)}, not a JSON object; {remedy}")
        return JsonFields(value, source, error, remedy)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str, choices: Sequence[str] = ()) -> str:
        """A string that can be printed and is not empty; one of `choices` where there are some."""
        value = self._get(name)
        if not isinstance(value, str) or not value:
            self.refuse(name, "a text")
        if len(value) > _LARGEST_TEXT or not value.isprintable():
            self.refuse(name, f"a text of at most {_LARGEST_TEXT} characters that can be printed")
        if choices and value not in choices:
            self.refuse(name, f"one of {', '.join(choices)}")
        return value

    def any_text(self, name: str) -> str:
        """A string of any characters, such as a path; it is cleaned where it is printed."""
        value = self._get(name)
        if not isinstance(value, str) or len(value) > _LARGEST_PATH:
            self.refuse(name, f"a text of at most {_LARGEST_PATH} characters")
        return value

    def any_texts(self, name: str) -> tuple[str, ...]:
        """A list of strings of any characters."""
        value = self._get(name)
        if not isinstance(value, list) or any(not isinstance(each, str) or len(each) > _LARGEST_PATH for each in value):
            self.refuse(name, f"a list of texts of at most {_LARGEST_PATH} characters")
        return tuple(value)

    def sha256(self, name: str) -> str:
        """A SHA-256 in hexadecimal."""
        value = self._get(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            self.refuse(name, "a SHA-256 of 64 hexadecimal digits")
        return value

    def integer(self, name: str, low: int | None = 0, choices: Sequence[int] = (), high: int = LARGEST_INTEGER) -> int:
        """A whole number from `low` (-`high`, for None) to `high`, one of `choices` where there are some."""
        value = self._get(name)
        least = -high if low is None else low
        expected = "a whole number" + ("" if low is None else f" of {low} or more")
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.refuse(name, expected)
        if value > high:
            self.refuse(name, f"a whole number up to {high}")
        if choices and value not in choices:
            self.refuse(name, f"one of {', '.join(map(str, choices))}")
        return value

    def number(
        self, name: str, low: float = -LARGEST_NUMBER, high: float = LARGEST_NUMBER, above: float = -2 * LARGEST_NUMBER
    ) -> float:
        """A number from `low` to `high` that is greater than `above`."""
        value = self._get(name)
        if not _is_number(value) or not low <= value <= high or not value > above:
            bounds = [f"{word} {bound:g}" for word, bound in (("from", low), ("to", high), ("above", above))]
            kept = [
                words for words, bound in zip(bounds, (low, high, above), strict=True) if abs(bound) < LARGEST_NUMBER
            ]
            self.refuse(name, " ".join(["a number", *kept]))
        return float(value)

    def number_or_null(self, name: str, low: float = -LARGEST_NUMBER, high: float = LARGEST_NUMBER) -> float | None:
        """A finite number from `low` to `high`, or None for null; the field must be there."""
        return None if self._get(name) is None else self.number(name, low, high)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def texts(self, name: str, at_least: int = 0) -> tuple[str, ...]:
        """A list of at least so many texts that can be printed, none empty and none twice."""
        value = self._get(name)
        whole = isinstance(value, list | tuple) and all(isinstance(each, str) and each for each in value)
        if not whole or len(value) < at_least or len(set(value)) < len(value):
            self.refuse(name, f"a list of {at_least} or more different texts")
        if any(len(each) > _LARGEST_TEXT or not each.isprintable() for each in value):
            self.refuse(name, f"a list of texts of at most {_LARGEST_TEXT} characters that can be printed")
        return tuple(value)

    def interval(self, name: str) -> tuple[float, float]:
        """Two finite numbers, the lower one first."""
        value = self._get(name)
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)) or value[0] >= value[1]:
            self.refuse(name, "two numbers, the lower one first")
        return float(value[0]), float(value[1])

    def object(self, name: str) -> JsonFields:
        """The fields of an object inside this one."""
        return self._inner(name, self._get(name))

    def objects(self, name: str) -> tuple[JsonFields, ...]:
        """The objects of a list."""
        value = self._get(name)
        if not isinstance(value, list):
            self.refuse(name, "a list of objects")
        return tuple(self._inner(f"{name}[{i}]", each) for i, each in enumerate(value))

    def named_objects(self, name: str) -> dict[str, JsonFields]:
        """The objects inside an object, each by its name, which can be printed."""
        whole = self.object(name)
        if any(len(key) > _LARGEST_TEXT or not key.isprintable() for key in whole.values):
            self.refuse(name, f"an object with names of at most {_LARGEST_TEXT} characters that can be printed")
        return {key: whole.object(key) for key in whole.values}

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raises `error`: the field called `name` is not what was expected."""
        value = _short(self._value(name))
        raise self.error(f"{self.source}: {self._at(name)} is {value}, not {expected}; {self.remedy}")

    def _value(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        key, _, index = name.rpartition("[")  # of `objects`
        return self.values[key][int(index[:-1])]

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise self.error(f"{self.source}: {self._at(name)} is missing; {self.remedy}")
        return self.values[name]

    def _inner(self, name: str, value: Any) -> JsonFields:
        if not isinstance(value, dict):
            self.refuse(name, "an object")
        return JsonFields(value, self.source, self.error, self.remedy, self._at(name))

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}".lstrip(".")


def to_json(value: Any) -> Any:
    """A dataclass, named tuple, tuple or dict as JSON values, fields in their order.

    A field whose default is None is left out when it is None.
    """
    if is_dataclass(value):
        pairs = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: to_json(v) for field, v in pairs if v is not None or field.default is not None}
    if hasattr(value, "_asdict"):
        pairs = value._asdict().items()
        return {n: to_json(v) for n, v in pairs if v is not None or value._field_defaults.get(n, 0) is not None}
    if isinstance(value, dict):
        return {key: to_json(each) for key, each in value.items()}
    return [to_json(each) for each in value] if isinstance(value, list | tuple) else value


def _is_number(value: object) -> bool:
    """Whether it is a number; infinity and NaN are in no range, and no larger number is either."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _short(value: object) -> str:
    return clean(_values.repr(value), 60)
