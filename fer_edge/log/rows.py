"""Rows of a journal, for queries, tables and other programs.

    episodes   a face showed one label for a while        readings   one face of one frame (`run --per-frame`)
    tallies    a minute: what was observed and seen       events     every line, its body in words
    blind      a time without observation, and why

Each row has its device, its run (the number of that run's first segment) and its time, in POSIX seconds in the columns
`at`, `from` and `to`; `time_known`: the clock of that boot was synced at some time. Beside its columns a row has the place of
its line in the journal, for archives: `boot` and `mono_s`; `start_mono_s`: when what the line tells began.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.event_bodies import probability_of
from fer_edge.events import KINDS, UNSURE, Event, start_mono_s
from fer_edge.journal.segments import segment_lines, segments
from fer_edge.log.devices import Device
from fer_edge.log.event_text import event_sentence
from fer_edge.log.items import LoggedEvent, LoggedMinute, LogItem, Run, UnobservedSpan
from fer_edge.log.time_window import TimeWindow
from fer_edge.text_cleaning import clean

Row = dict[str, Any]
TIMES = ("at", "from", "to")
OBJECTS = ("unsure_by", "drops", "body")  # columns whose values are objects
LASTING = ("episodes", "tallies", "blind")  # kinds whose rows have a beginning and an end
FILTER_FIELDS = ("label", "track", "quality")  # of a row of events; not columns


@dataclass(frozen=True, slots=True)
class RowFilter:
    """The selected rows. Empty or None: all. A row without a requested field is not selected."""

    window: TimeWindow = field(default_factory=TimeWindow)
    expressions: frozenset[str] = frozenset()
    track: int | None = None
    min_quality: float | None = None
    kinds: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.kinds - KINDS.keys():
            raise UsageError(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        if self.min_quality is not None and not 0 <= self.min_quality <= 1:
            raise UsageError(f"a quality is a number from 0 to 1, not {self.min_quality:g}")

    def require_labels(self, labels: Sequence[str]) -> None:
        """Raises UsageError when a selected expression is none of `labels`, those of the journals, and not `unsure`."""
        if labels and (unknown := self.expressions - {*labels, UNSURE}):
            names = ", ".join(clean(name, 60) for name in sorted(unknown))
            raise UsageError(f"no journal here has the label {names}; there are {', '.join(labels)} and {UNSURE}")

    def takes(self, row: Row) -> bool:
        """Whether the row passes."""
        if self.expressions and row.get("label") not in self.expressions:
            return False
        if self.track is not None and row.get("track") != self.track:
            return False
        if self.min_quality is not None and not (row.get("quality") or 0.0) >= self.min_quality:
            return False
        if self.kinds and row.get("kind") not in self.kinds:
            return False
        return self.window.holds(row["at"]) if "at" in row else self.window.holds(row["from"], row["to"])


def column_names(what: str, labels: Sequence[str]) -> list[str]:
    """The names of the rows' fields, in order. `labels` are those of all journals."""
    p = [f"p_{label}" for label in labels]
    seconds = [f"s_{label}" for label in (*labels, UNSURE)]
    return {
        "episodes": ["device", "run", "from", "to", "time_known", "track", "label", "dwell_s", "frames", "p", "quality",
                     "ended", *p],
        "tallies": ["device", "run", "from", "to", "time_known", "observed_s", "unavailable_s", "paused_s", "face_s",
                    *seconds, "unsure_by", "faces_max", "faces_skipped", "frames_read", "frames_processed", "frames_idle",
                    "drops"],
        "readings": ["device", "run", "at", "time_known", "track", "label", "p", "quality", "why", "frame", "frame_label",
                     "frame_p", "score", "x", "y", "width", "height", "age_ms", *p],
        "events": ["device", "run", "at", "time_known", "kind", "what", "seq", "boot", "mono_s", "clock", "body"],
        "blind": ["device", "run", "from", "to", "time_known", "seconds", "state", "why"],
    }[what]  # fmt: skip


def labels_of(devices: Sequence[Device]) -> list[str]:
    """Every label of the headers, those of the first one first."""
    found: dict[str, None] = {}
    for device in devices:
        for segment in segments(device.folder):
            with suppress(FileNotFoundError):  # the running instance deleted it meanwhile
                for _, item in segment_lines(segment, ("header",)):
                    if isinstance(item, Event) and item.kind == "header":
                        found |= dict.fromkeys(item.body.get("labels", ()))
                    break
    return list(found)


def rows_of(items: Iterator[LogItem], device: Device, what: str, wanted: RowFilter) -> Iterator[Row]:
    """The rows of the kind `what` of a journal, in its order; blind ones sorted by their start."""
    if what == "blind":
        spans = sorted(
            (item for item in items if isinstance(item, UnobservedSpan)), key=lambda span: (span.from_s, span.to_s)
        )
        every = iter([_blind(device, span) for span in spans])
    else:
        every = _each(items, device, what)
    return (row for row in every if wanted.takes(row))


def _each(items: Iterator[LogItem], device: Device, what: str) -> Iterator[Row]:
    for item in items:
        if isinstance(item, LoggedMinute):
            if what == "tallies":
                yield _tally(device, item)
        elif isinstance(item, LoggedEvent):
            if what == "events":
                yield event_row(device, item)
            elif what == "episodes" and item.event.kind == "episode":
                yield _episode(device, item)
            elif what == "readings" and item.event.kind == "reading":
                yield _reading(device, item)


def event_row(device: Device, item: LoggedEvent) -> Row:
    """The row of a line."""
    event = item.event
    body = event.body
    return {
        **_common(device, item.run, item.known, event.mono_s, at=item.at_s),
        "kind": event.kind,
        "what": event_sentence(event, item.run.labels),
        "seq": event.seq,
        "boot": event.boot,
        "clock": event.clock,
        "body": body,
        "label": body.get("steady") or body.get("label"),  # for filters; not a column
        "track": body.get("track"),
        "quality": body.get("quality"),
        "start_mono_s": start_mono_s(event),
    }


def _episode(device: Device, item: LoggedEvent) -> Row:
    body, offset_s = item.event.body, item.at_s - item.event.mono_s
    return {
        **_common(
            device,
            item.run,
            item.known,
            item.event.mono_s,
            **_between(body["start_mono_s"] + offset_s, body["end_mono_s"] + offset_s),
        ),
        **{name: body[name] for name in ("track", "label", "dwell_s", "frames", "quality", "ended")},
        "p": probability_of(body["label"], body["p"], item.run.labels),
        "start_mono_s": start_mono_s(item.event),
        **_each_p(body["p"], item.run.labels),
    }


def _tally(device: Device, item: LoggedMinute) -> Row:
    body = item.body
    frames = body.get("frames", {})
    return {
        **_common(device, item.run, item.known, item.mono_s, **_between(item.from_s, item.to_s)),
        **{name: round(body[name], 3) for name in ("observed_s", "unavailable_s", "paused_s", "face_s")},
        **{f"s_{label}": 0.0 for label in (*item.run.labels, UNSURE)},
        **{f"s_{label}": round(seconds, 3) for label, seconds in body["labels_s"].items()},
        "unsure_by": body.get("unsure_s", {}),
        "faces_max": body["faces_max"],
        "faces_skipped": body.get("faces_skipped"),
        "frames_read": frames.get("read"),
        "frames_processed": frames.get("processed"),
        "frames_idle": body.get("frames_idle"),
        "drops": body.get("drops", {}),
        "start_mono_s": min(item.mono_s, body["from_mono_s"]),
    }


def _reading(device: Device, item: LoggedEvent) -> Row:
    body = item.event.body
    p, label = body.get("steady_p") or body["p"], body.get("steady") or body["label"]
    x, y, width, height = body["xywh"]
    return {
        **_common(device, item.run, item.known, item.event.mono_s, at=item.at_s),
        **{name: body.get(name) for name in ("track", "quality", "why", "frame", "score", "age_ms")},
        "label": label,
        "p": probability_of(label, p, item.run.labels),
        "frame_label": body["label"],
        "frame_p": probability_of(body["label"], body["p"], item.run.labels),
        **{"x": x, "y": y, "width": width, "height": height},
        **_each_p(p, item.run.labels),
    }


def _blind(device: Device, span: UnobservedSpan) -> Row:
    return {
        **_common(device, span.run, span.known, span.mono_s, **_between(span.from_s, span.to_s)),
        "seconds": round(span.seconds, 3),
        "state": span.state,
        "why": span.why,
    }


def _common(device: Device, run: Run, known: bool, mono_s: float, **times: float) -> Row:
    return {
        "device": device.name,
        "run": run.number,
        **times,
        "time_known": known,
        "boot": run.boot,
        "mono_s": mono_s,
    }


def _between(from_s: float, to_s: float) -> dict[str, float]:
    return {"from": from_s, "to": to_s}


def _each_p(p: Sequence[float], labels: Sequence[str]) -> dict[str, float]:
    return {f"p_{label}": value for label, value in zip(labels, p, strict=False)}


def body_text(body: dict[str, Any]) -> str:
    """A body as one cell of text."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
