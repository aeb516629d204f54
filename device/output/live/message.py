"""The messages of the server: snapshots as JSON, encoded once for all viewers. The page's scripts read these names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from device.output.live.day import BAR_S, BARS, DayBar
from device.output.live.pixelated_picture import PictureState
from device.output.live.view_state import COLUMN_S, COLUMNS, FaceView, FrameView, Snapshot
from fer_edge.palette import colour_of

if TYPE_CHECKING:
    from device.output.event_bodies import EpisodeBody, TallyBody


def full_state(snapshot: Snapshot, pixels: PictureState | None, viewers: int, sent_s: float) -> bytes:
    """Everything that a page needs at the beginning: the run, the last minutes, the day, and `now`."""
    return _encoded(
        {
            "run": _run(snapshot),
            "column_s": COLUMN_S,
            "columns_kept": COLUMNS,
            "columns": [_column(body) for body in snapshot.columns],
            "bar_s": BAR_S,
            "bars_kept": BARS,
            "day": [_bar(bar) for bar in snapshot.day],
            "now": _now(snapshot, pixels, viewers, sent_s),
        }
    )


def update(
    snapshot: Snapshot,
    columns: Sequence[TallyBody],
    day: Sequence[DayBar],
    pixels: PictureState | None,
    viewers: int,
    sent_s: float,
) -> bytes:
    """What changes from moment to moment, the columns that are new, and the bars of the day that have changed."""
    columns_json = [_column(body) for body in columns]
    now, bars_json = _now(snapshot, pixels, viewers, sent_s), [_bar(bar) for bar in day]
    return _encoded({"now": now, "columns": columns_json, "day": bars_json})


def goodbye(snapshot: Snapshot) -> bytes:
    """The last message, with the reason of the run's end if it has ended."""
    return _encoded({"ended": snapshot.ended})


def server_sent_event(kind: str, data: bytes) -> bytes:
    """One server-sent event (HTML standard, section 9.2)."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _run(snapshot: Snapshot) -> dict[str, Any]:
    """What is constant during a run, and distinguishes it from another run."""
    header: Mapping[str, Any] = snapshot.header or {}
    return {
        "boot": snapshot.boot,
        "started_s": round(snapshot.started_s, 3),
        **{key: header.get(key) for key in ("name", "software", "bundle", "labels", "detector", "runtime", "start_s")},
        "colours": [list(colour_of(label, header.get("labels") or ())) for label in header.get("labels") or ()],
        "proved": (header.get("verified") or {}).get("proved"),
        "camera": header.get("camera"),
        "storing": snapshot.storing,
    }


def _now(snapshot: Snapshot, pixels: PictureState | None, viewers: int, sent_s: float) -> dict[str, Any]:
    """The present state. Ages are seconds at the snapshot; `silent_s` is the age of the snapshot itself."""
    mono_s, status = snapshot.at.mono_ns / 1e9, snapshot.status
    camera: Mapping[str, Any] = snapshot.camera or {}
    body: dict[str, Any] = {
        "mono_s": round(mono_s, 3),
        "silent_s": round(max(0.0, sent_s - mono_s), 1),
        "wall": snapshot.at.wall,
        "clock": snapshot.at.clock,
        "ended": snapshot.ended,
        "camera": {key: camera.get(key) for key in ("state", "reason")},
        "frame": None if snapshot.frame is None else _frame(snapshot.frame, snapshot.at.mono_ns),
        "episodes": [_episode(episode, mono_s) for episode in snapshot.episodes],
        "pixels": None if pixels is None else {"left_s": math.ceil(pixels.remaining_s), "seq": pixels.seq},
        "viewers": viewers,
    }
    if status is not None:
        body |= {
            "state": status.state,
            "frames": dict(status.frames),
            "drops": dict(status.drops),
            "health": status.health.to_json() if status.health else {},
            "problems": [*status.problems, *filter(None, status.outputs.values())],
            "journal": {"trouble": status.journal_trouble, "lines_lost": status.lines_lost},
        }
    return body


def _frame(frame: FrameView, now_ns: int) -> dict[str, Any]:
    """The last processed frame."""
    return {
        "seq": frame.seq,
        "size_px": list(frame.size_px),
        "age_s": None if frame.age_s is None else round((now_ns - frame.mono_ns) / 1e9, 3),
        "late_ms": None if frame.age_s is None else round(frame.age_s * 1e3, 1),
        "faces": [_face(view) for view in frame.faces],
        "skipped": frame.skipped,
        "stages_ms": {stage: round(seconds * 1e3, 2) for stage, seconds in frame.stages_s.items()},
    }


def _face(view: FaceView) -> dict[str, Any]:
    """A face: its label, smoothed where possible, with the probabilities behind it."""
    reading = view.reading
    probs = reading.probs if reading.steady_probs is None else reading.steady_probs
    return {
        "track": reading.track,
        "label": view.label,
        "why": reading.why,
        "p": [round(float(p), 3) for p in probs],
        "frame_label": reading.label,
        "quality": None if reading.quality is None else round(reading.quality, 2),
        "score": round(reading.face.score, 2),
        "xywh": list(reading.face.xywh),
        "seen_s": round((reading.mono_ns - view.first_ns) / 1e9, 1),
        "held_s": round((reading.mono_ns - view.since_ns) / 1e9, 1),
    }


def _column(body: TallyBody) -> dict[str, Any]:
    """A column of the chart: the part of a tally that the chart needs."""
    return {
        "from_s": body["from_mono_s"],
        "seconds": body["seconds"],
        "observed_s": body["observed_s"],
        "unavailable_s": body["unavailable_s"],
        "paused_s": body["paused_s"],
        "face_s": body["face_s"],
        "labels_s": body["labels_s"],
        "drops": body["drops"],
        "frames": body["frames"]["processed"],
    }


def _bar(bar: DayBar) -> dict[str, Any]:
    """A bar of the day, with the names of a column."""
    return {
        "from_s": bar.from_ms / 1000,
        "seconds": bar.length_ms / 1000,
        "observed_s": bar.observed_ms / 1000,
        "unavailable_s": bar.unavailable_ms / 1000,
        "paused_s": bar.paused_ms / 1000,
        "face_s": bar.face_ms / 1000,
        "labels_s": {label: ms / 1000 for label, ms in sorted(bar.labels_ms.items())},
    }


def _episode(body: EpisodeBody, mono_s: float) -> dict[str, Any]:
    return {
        "track": body["track"],
        "label": body["label"],
        "dwell_s": body["dwell_s"],
        "ago_s": round(mono_s - body["end_mono_s"], 1),
        "ended": body["ended"],
    }


def _encoded(value: Mapping[str, Any]) -> bytes:
    """The value as JSON on one line, UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
