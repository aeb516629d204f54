"""JSON documents that somebody else wrote: one that is right, with some of its values replaced by hostile ones."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**53 + 1, 2**63, -(2**63), 10**400, 0.5, -0.0, 5e-324, 1e15, 1e308, -1e308,
    "", "a", "\0", "\x1b[2J\x1b]0;owned\x07", "\u202eexe", "\ud800", "-delete", "../../etc/passwd", "=cmd|' /C calc'!A0",
    "a" * 10_000, [], {}, [[]], [{}], {"": {}}, {"a[b": {}}, [0, 0], [1, 0], [0, 1e308], ["a", "a"],
)  # fmt: skip
# what json.dumps would not write
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 200_000, '{"a":' * 100_000, '"\\ud800"', "\ufeff", "")


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value, the outermost one included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in paths(each, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any, remove: bool) -> Any:
    """The JSON value with the one at `path` replaced or removed; unchanged where an earlier change has taken it away."""
    if not path:
        return new
    inner = value
    for key in path[:-1]:
        if not isinstance(inner, dict | list) or (key not in inner if isinstance(inner, dict) else key >= len(inner)):
            return value
        inner = inner[key]
    key = path[-1]
    if isinstance(inner, dict) and key in inner:
        if remove:
            del inner[key]
        else:
            inner[key] = new
    elif isinstance(inner, list) and isinstance(key, int) and key < len(inner):
        inner[key] = new
    return value


def hostile_values() -> st.SearchStrategy[Any]:
    """A value that is likely to be wrong."""
    return st.one_of(
        st.sampled_from(HOSTILE),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(),
        st.text(max_size=20),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    )


@st.composite
def mutants(draw: st.DrawFn, original: Any) -> Any:
    """The JSON value `original` with one to three of its values replaced or removed."""
    value = copy.deepcopy(original)
    everywhere = paths(original)
    for _ in range(draw(st.integers(1, 3))):
        value = changed(
            value, draw(st.sampled_from(everywhere)), copy.deepcopy(draw(hostile_values())), draw(st.booleans())
        )
    return value


def broken_texts(text: str) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON text that is cut off, altered, or not JSON at all."""
    raw = text.encode()
    return st.one_of(
        st.sampled_from(RAW).map(str.encode),
        st.integers(0, len(raw)).map(lambda end: raw[:end]),
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)).map(
            lambda at: raw[: at[0]] + bytes([at[1]]) + raw[at[0] + 1 :]
        ),
        st.tuples(st.integers(0, len(raw) - 1), st.sampled_from(RAW)).map(
            lambda at: raw[: at[0]] + at[1].encode() + raw[at[0] :]
        ),
    )
