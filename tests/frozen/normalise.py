"""What of the outputs is compared, and how closely: the one place where a deliberate change of a field is told.

A value is named by the keys that lead to it, joined by dots; a place in a list counts as no key. What depends on the time,
the machine or the versions of packages becomes `VARIES` and only has to be there. A field that is renamed on purpose goes
into `RENAMED`, so that the outputs that were stored before still count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

VARIES = "…"
RENAMED: dict[str, str] = {}  # its name now: its name when the outputs were stored

# Of a bundle's bundle.json: hashes and sizes of files that hold versions or measurements, and versions.
BUNDLE_VARIES = (
    "provenance.versions.*",
    "files.CARD.md.*",
    "files.bundle.json.*",
    "files.golden.npz.*",
    "files.parity.json.*",
    "files.model.tflite.*",
    "cost.bytes",
)
# Of a journal's lines: what the machine and the moment make of them, and the hash of bundle.json, which holds such values.
LINE_VARIES = ("boot", "wall", "clock", "settings", "bundle.sha256", "start_s.*", "from_mono_s", "end.seconds")
# Fields whose own fields come as the moment has it: a label that was seen, a reason for which a frame was dropped.
OPEN = ("labels_s", "unsure_s", "drops")

# What `fer-edge label` writes beside a table: what the machine and the file's making make of it.
SIDECAR_VARIES = ("made_by.versions.*", "made_by.bundle.sha256", "source.bytes", "source.mtime_ns", "rows.bytes")

# How far a number may lie from the stored one; the first pattern that fits counts. Another processor rounds float sums
# otherwise, by which a few images in a thousand change sides: what counts images is given room for some. `--check` gives none.
FIGURES = (
    ("*agreement", 0.032),
    ("*_p", 0.5),
    ("*only_*_right", 6),
    ("*clear_n", 4),
    ("*.classes.*", 0.02),
    ("*.confidence.*", 0.02),
    ("*golden.measured.*", 1.0),
    ("*golden.limits.*", 1.0),
    ("*", 1e-3),
)
# on another processor than that which stored them
FIGURES_ELSEWHERE = (
    ("*.confidence.*.n", 40),
    ("*.confidence.*effective", 40.0),
    ("*.confidence.*", 0.05),
    ("*thresholds.*", 0.05),
    ("*.logits.rms*", 0.01),
    ("*_p", 0.8),
    ("*.accuracy.*", 0.003),
    ("*.confusion.*", 10),
    ("*.curves.*", 0.02),
    *FIGURES,
)
SEEN = (
    ("seconds", 0.3),
    ("*observed_s", 0.3),
    ("*unavailable_s", 0.3),
    ("*xywh", 2),
    *((name, 2) for name in ("x", "y", "width", "height")),
    ("*", 0.02),
)
EXACT = (("*", 1e-6),)
LINE_ROOM_EXACT = (*SEEN[:3], ("*", 1e-6))  # the start of a run takes some milliseconds, which its first minute tells


def plain(text: str) -> str:
    """A sentence or a name without the versions of packages and the kind of processor."""
    return re.sub(r"x86_64|aarch64|arm64", "MACHINE", re.sub(r"\b\d+\.\d+\.\d+\b", "VERSION", text))


def masked(value: Any, varies: tuple[str, ...], path: str = "") -> Any:
    """The same, fields by the names they had when the outputs were stored, without what varies; floats of seven digits."""
    if path and any(fnmatch(path, pattern) for pattern in varies):
        return VARIES
    if isinstance(value, dict):
        named = {RENAMED.get(name, plain(str(name))): inner for name, inner in value.items()}
        return {name: masked(inner, varies, f"{path}.{name}".lstrip(".")) for name, inner in named.items()}
    if isinstance(value, list):
        return [masked(inner, varies, path) for inner in value]
    if isinstance(value, str):
        return plain(value)
    return float(f"{value:.7g}") if isinstance(value, float) else value


def differences(frozen: Any, found: Any, room: tuple[tuple[str, float], ...], path: str = "") -> Iterator[str]:
    """A line for each place where what was found is not what was stored."""
    if isinstance(frozen, dict) and isinstance(found, dict):
        for name in sorted(frozen.keys() | found.keys()):
            inner = f"{path}.{name}".lstrip(".")
            if name not in found or name not in frozen:
                yield f"{inner} is {'gone' if name in frozen else 'new'}"
            else:
                yield from differences(frozen[name], found[name], room, inner)
    elif isinstance(frozen, list) and isinstance(found, list):
        if len(frozen) != len(found):
            yield f"{path} has {len(found)} entries, {len(frozen)} are stored"
        for one, other in zip(frozen, found, strict=False):
            yield from differences(one, other, room, path)
    elif _number(frozen) and _number(found):
        allowed = next(allowed for pattern, allowed in room if fnmatch(path, pattern))
        allowed = int(allowed) if isinstance(frozen, int) else allowed * max(1.0, abs(frozen))
        if type(frozen) is not type(found) or abs(frozen - found) > allowed:
            yield f"{path} is {found}, {frozen} is stored"
    elif frozen != found:
        yield f"{path} is {found!r}, {frozen!r} is stored"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def lines(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A recorded run's lines, in order, without what varies; seconds since boot become seconds since the first reading.

    How long before it the recording was opened varies, so the lines from before it tell no time.
    """
    first_s = next((event["mono_s"] for event in events if event["kind"] == "reading"), 0.0)
    told: list[dict[str, Any]] = []
    begun = False
    for event in events:
        begun = begun or event["kind"] == "reading"
        line = masked(event, tuple(pattern.removeprefix(f"{event['kind']}.") for pattern in LINE_VARIES))
        for name in ("mono_s", "start_mono_s", "end_mono_s"):
            if name in line:
                line[name] = round(event[name] - first_s, 2) if begun else VARIES
        told.append(line)
    return told


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of a journal's lines in order, each once for as often as it comes without another between."""
    return [kind for kind, _ in groupby(event["kind"] for event in events)]


def keys(value: Any, path: str = "") -> set[str]:
    """The names of all fields, however deep, but those of `OPEN`."""
    if isinstance(value, list):
        return {path}.union(*(keys(each, path) for each in value)) - {""}
    if not isinstance(value, dict) or path in OPEN:
        return {path} - {""}
    inner = [keys(each, f"{path}.{RENAMED.get(name, name)}".lstrip(".")) for name, each in value.items()]
    return {path}.union(*inner) - {""}


def read(path: Path) -> Any:
    """What a stored file of JSON holds."""
    return json.loads(path.read_text())


def write(path: Path, value: Any) -> None:
    """Stores it, a line for each entry of its first two levels."""
    path.write_text(_text(value, 0) + "\n")


def _text(value: Any, level: int) -> str:
    if level == 2 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[\n" + ",\n".join(" " * (level + 1) + json.dumps(v, ensure_ascii=False) for v in value) + "\n]"
    inner = (f"{' ' * (level + 1)}{json.dumps(k, ensure_ascii=False)}: {_text(v, level + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(inner) + "\n" + " " * level + "}"
