"""The types of the fields of events' bodies, as readers of a journal check them before they use a line.

A line may have been written by another program or altered since. Fields and kinds that are not listed here are of a later
version and not checked. `events.schema.json` has the complete schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fer_edge.text_cleaning import clean

LARGEST_MONO_S = 1e9  # 30 years since boot
_LARGEST_NUMBER = 1e12
_LARGEST_COUNT = 2**53
_LARGEST_TEXT = 4096  # characters
_LARGEST_PX = 1 << 20
_Check = Callable[[Any], bool]


def body_error(kind: str, body: Mapping[str, Any]) -> str:
    """What is wrong with the first field of another type or out of range; empty where there is none."""
    if not _count(body.get("purged", 0)):
        return f"purged is {clean(repr(body['purged'])[:80], 60)}"
    checks = _FIELDS.get(kind, _ANY)
    for name, value in body.items():
        check = checks.get(name)
        if check is not None and not check(value):
            return f"{name} is {clean(repr(value)[:80], 60)}"
    return ""


def missing_fields(kind: str, body: Mapping[str, Any]) -> str:
    """The names of the fields without which a reader of the log cannot use the event; empty where none is missing."""
    required = _REQUIRED.get(kind)
    return ", ".join(sorted(required - body.keys())) if required else ""


def probability_of(label: str, p: Sequence[float], labels: Sequence[str]) -> float:
    """The label's probability by the order of the header's labels; the highest one if it is not among them."""
    place = labels.index(label) if label in labels else len(p)
    return p[place] if place < len(p) else max(p)


def _text(value: Any) -> bool:
    return type(value) is str and len(value) <= _LARGEST_TEXT


def _flag(value: Any) -> bool:
    return type(value) is bool


def _number(value: Any) -> bool:
    return type(value) in (float, int) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER


def _seconds(value: Any) -> bool:
    return type(value) in (float, int) and 0 <= value <= LARGEST_MONO_S


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_COUNT


def _share(value: Any) -> bool:
    return type(value) in (float, int) and 0 <= value <= 1


def _probabilities(value: Any) -> bool:
    return type(value) is list and bool(value) and all(map(_share, value))


def _box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(type(v) is int and abs(v) <= _LARGEST_PX for v in value)


def _texts(value: Any) -> bool:
    return type(value) is list and all(map(_text, value))


def _by_name(check: _Check) -> _Check:
    return lambda value: type(value) is dict and all(map(_text, value)) and all(map(check, value.values()))


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _object(**checks: _Check) -> _Check:
    def check_object(value: Any) -> bool:
        return type(value) is dict and all(name not in value or check(value[name]) for name, check in checks.items())

    return check_object


_ANY: Mapping[str, _Check] = {  # of every kind: filters of rows use them
    "label": _or_none(_text),
    "steady": _or_none(_text),
    "track": _or_none(_count),
    "quality": _or_none(_share),
}
_SOURCE = _object(name=_text, live=_flag)
_FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "header": {
        **dict.fromkeys(("software", "name", "settings", "preprocess", "detector", "runtime", "continues"), _text),
        "labels": _texts,
        "bundle": _object(name=_text, sha256=_text),
        "verified": _object(
            runtime=_text, compared_with=_text, proved=_or_none(_flag), steps=_number, crop_levels=_count
        ),
        "camera": _SOURCE,
        "start_s": _by_name(_seconds),
        "thresholds": _by_name(_or_none(_share)),
        "training_prior": _by_name(_share),
    },
    "camera": {"state": _text, "reason": _text, "gap_s": _seconds, "camera": _SOURCE},
    "reading": {
        **_ANY,
        "frame": _count,
        "xywh": _box,
        "score": _number,
        "label": _text,
        "p": _probabilities,
        "steady_p": _probabilities,
        "why": _text,
        "age_ms": _or_none(_number),
    },
    "episode": {
        **_ANY,
        **dict.fromkeys(("start_mono_s", "end_mono_s", "dwell_s"), _seconds),
        "label": _text,
        "frames": _count,
        "p": _probabilities,
        "ended": _text,
    },
    "tally": {
        **dict.fromkeys(("from_mono_s", "seconds", "observed_s", "unavailable_s", "paused_s", "face_s"), _seconds),
        **dict.fromkeys(("labels_s", "unsure_s"), _by_name(_seconds)),
        "prior": _by_name(_share),
        **dict.fromkeys(("faces_max", "faces_skipped", "frames_idle"), _count),
        **dict.fromkeys(("frames", "drops"), _by_name(_count)),
    },
    "health": {
        "undervoltage": _or_none(_flag),
        **dict.fromkeys(("throttled_now", "throttled_since_boot"), _or_none(_texts)),
        **dict.fromkeys(("temperature_c", "disk_free_bytes"), _or_none(_number)),
        "power_source": _text,
        "changed": _texts,
    },
    "clock": {"offset_s": _number, "from": _text, "to": _text},
    "repair": {"segment": _text, "cut_bytes": _count},
    "gap": {"reason": _text, "lost": _by_name(_count), "from_mono_s": _seconds, "to_mono_s": _seconds},
    "pause": {"by": _text},
    "resume": {"by": _text, "paused_s": _seconds},
    "end": {
        "reason": _text,
        "seconds": _seconds,
        "start_s": _by_name(_seconds),
        **dict.fromkeys(("frames", "drops"), _by_name(_count)),
        **dict.fromkeys(("frames_idle", "faces", "faces_skipped", "readings"), _count),
    },
}
_REQUIRED: Mapping[str, frozenset[str]] = {
    "camera": frozenset(("state",)),
    "reading": frozenset(("label", "p", "xywh")),
    "episode": frozenset(
        ("track", "label", "start_mono_s", "end_mono_s", "dwell_s", "frames", "p", "quality", "ended")
    ),
    "tally": frozenset(
        ("from_mono_s", "seconds", "observed_s", "unavailable_s", "paused_s", "face_s", "labels_s", "faces_max")
    ),
    "gap": frozenset(("reason", "lost")),
}
