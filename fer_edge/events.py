"""The events of a run, and the line of JSON that each becomes in the journal.

`events.schema.json` beside this file is the JSON Schema (draft 2020-12) of one line. A reader ignores kinds and fields that
it does not know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.event_bodies import LARGEST_MONO_S, body_error
from fer_edge.json_fields import refuse_constant
from fer_edge.limits import JOURNAL_LINE_BRACKETS
from fer_edge.text_cleaning import clean

SCHEMA = 1
SCHEMA_FILE = Path(__file__).with_name("events.schema.json")
UNSURE = "unsure"  # in place of a label where the model abstains
LATEST_S = 4_102_444_800.0  # 2100-01-01: a clock beyond is wrong
TIME_KINDS = ("observed", "unavailable", "paused")  # every second of a tally is one of these

# kind: what its body holds
KINDS = {
    "header": "first line of a segment: schema, software, name, settings (a digest), bundle, labels, thresholds (the "
    "probability from which each label is reported; null: never), training_prior (the share of each label in "
    "training, on which a tally's prior is based), preprocess, detector, runtime, verified (the comparison with the "
    "bundle's golden vectors), camera, start_s (seconds from the process's start "
    "to each step of starting); continues (the previous segment of the run: the header is then a copy with the same seq, but "
    "settings and thresholds are those after the last reload)",
    "camera": "state (waiting, opened, lost, back, closed), camera (its own description); reason and gap_s of a loss",
    "reading": "one face of one frame: frame, track, xywh px, score, label, p (probabilities in the header's order), "
    "quality, age_ms (from the frame's capture to this reading; null for a recording); label and p are of this frame alone, "
    "steady (a label or unsure) and steady_p are smoothed over time, why is the reason of unsure",
    "episode": "a face showed one label for a while: track, label, start_mono_s, end_mono_s, dwell_s, frames (that showed it), "
    "p and quality (means over those frames), ended (changed, left, unsure, long, lost, pause, end)",
    "tally": "a minute of the run: from_mono_s, seconds (the sum of observed_s, unavailable_s and paused_s), face_s (with "
    "a face), labels_s (seconds of faces by label and unsure), unsure_s (seconds of unsure by reason), faces_max, "
    "faces_skipped (a face in ten frames is ten), frames (read, processed), "
    "frames_idle (processed without a search: no change and no face), drops by reason; prior (how often each label "
    "occurs here, where the device estimates it or its owner states it)",
    "health": "the machine's state, when something of it changed: undervoltage, throttled_now and throttled_since_boot (lists "
    "of the reasons for throttling), temperature_c, disk_free_bytes, power_source, changed; null: not reported",
    "clock": "the wall clock was set or its state changed: offset_s (to add to the wall of earlier lines), from and to",
    "repair": "at start, the torn end of a segment, left by a crash, was cut off, or a segment without any line was deleted "
    "(cut_bytes 0): segment, cut_bytes",
    "gap": "lines were lost because the journal could not be written: reason, lost (how many by kind), "
    "from_mono_s, to_mono_s; its seq is the last lost line's",
    "pause": "the run was paused: by",
    "resume": "the run was resumed: by, paused_s",
    "end": "last line of a run: reason, seconds, frames, frames_idle, drops by reason (busy, unread, unreadable, "
    "budget, hot), faces, faces_skipped, readings, start_s",
}

_COMMON = ("kind", "seq", "boot", "mono_s", "wall", "clock")
_LARGEST_SEQ = 2**53


_decode = json.JSONDecoder(parse_constant=refuse_constant).raw_decode


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run. `mono_s` counts seconds since boot (as CLOCK_BOOTTIME); no clock step changes it.

    `seq` counts the events of one run from 0. `boot` is the kernel's id of this boot. `wall` is UTC, ISO 8601 with
    milliseconds; `clock` says whether it is right: `synced`, `unsynced` or `unknown`. A body of any kind may have
    `purged`: how many numbers after this one a purge removed.
    """

    kind: str
    seq: int
    boot: str
    mono_s: float
    wall: str
    clock: str
    body: dict[str, Any]

    def __post_init__(self) -> None:
        assert self.body.keys().isdisjoint(_COMMON), f"the body of a {self.kind} may not have the fields of every event"

    def line(self) -> str:
        """The event as one line of JSON without its newline, the common fields first. Raises ValueError for NaN."""
        common = {"kind": self.kind, "seq": self.seq, "boot": self.boot, "mono_s": round(self.mono_s, 3)}
        return json.dumps(
            {**common, "wall": self.wall, "clock": self.clock, **self.body},
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )

    @staticmethod
    def parse(line: str) -> Event:
        """The event in a line, with its fields of the types that readers use. Raises UsageError for any other line."""
        try:
            if line.count("{") + line.count("[") > JOURNAL_LINE_BRACKETS:
                raise ValueError(f"more than {JOURNAL_LINE_BRACKETS} objects and lists")
            fields, end = _decode(
                line
            )  # a month has 150,000 lines: what `json.loads` does around this costs as much again
            if line[end:].strip():
                raise ValueError(f"more than an object: {line[end : end + 20]!r}")
            take = fields.pop
            kind, seq, boot, mono_s, wall, clock = [take(key) for key in _COMMON]
            if not (type(seq) is int and type(mono_s) in (float, int) and type(kind) is type(boot) is str):
                raise TypeError(f"seq is {seq!r}, mono_s {mono_s!r}")
            if not (0 <= seq <= _LARGEST_SEQ and 0 <= mono_s <= LARGEST_MONO_S):
                raise ValueError(f"seq is {seq:.10g}, mono_s {mono_s:.10g}")
            if not type(wall) is type(clock) is str:
                raise TypeError(f"wall is {wall!r}")
            datetime.fromisoformat(wall)
            if kind == "header" and fields["schema"] != SCHEMA:
                raise UsageError(
                    f"the journal has schema {fields['schema']}, this version reads {SCHEMA}; update fer-edge"
                )
            if problem := body_error(kind, fields):
                raise ValueError(problem)
            if "\\u" in line:
                texts = json.dumps([kind, boot, wall, clock, fields], ensure_ascii=False, allow_nan=False)
                texts.encode()  # half of a surrogate pair has no encoding
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise UsageError(f"not a line of a journal: {line[:80]!r} ({clean(repr(error))})") from error
        return Event(kind, seq, boot, mono_s, wall, clock, fields)


def posix_s(wall: str) -> float | None:
    """A line's `wall` in POSIX seconds; None when it is not a time from 1970 to 2100."""
    try:
        seconds = datetime.fromisoformat(wall).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < LATEST_S else None


def start_mono_s(event: Event) -> float:
    """When the event began, in seconds since its boot: for an episode or a minute its start, which is long before the line."""
    starts = (event.body.get(key) for key in ("start_mono_s", "from_mono_s"))
    return min([event.mono_s, *(mono_s for mono_s in starts if isinstance(mono_s, int | float))])
