"""What the server sends: a snapshot as JSON, encoded once for all who look. The page's scripts read these names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from device.output.live.view_state import COLUMN_S, COLUMNS, FaceView, FrameView, Snapshot


def whole(snapshot: Snapshot, pixels: Mapping[str, Any] | None, viewers: int, sent_s: float) -> dict[str, Any]:
    """All that a page needs to begin: what the run is, the columns of the last minutes, and `now`."""
    return {
        "run": run(snapshot),
        "column_s": COLUMN_S,
        "columns_kept": COLUMNS,
        "columns": [column(body) for body in snapshot.columns],
        "now": now(snapshot, pixels, viewers, sent_s),
    }


def run(snapshot: Snapshot) -> dict[str, Any]:
    """What does not change while a run lasts, and tells it from another one."""
    header = snapshot.run
    return {
        "boot": snapshot.boot,
        "started_s": round(snapshot.started_s, 3),
        **{key: header.get(key) for key in ("name", "software", "bundle", "labels", "detector", "runtime", "start_s")},
        "proved": (header.get("verified") or {}).get("proved"),
        "camera": header.get("camera"),
    }


def now(snapshot: Snapshot, pixels: Mapping[str, Any] | None, viewers: int, sent_s: float) -> dict[str, Any]:
    """What changes from moment to moment. Ages are seconds at the snapshot; `silent_s` is how long ago that was."""
    mono_s, status = snapshot.at.mono_ns / 1e9, snapshot.status
    told: dict[str, Any] = {
        "mono_s": round(mono_s, 3),
        "silent_s": round(max(0.0, sent_s - mono_s), 1),
        "wall": snapshot.at.wall,
        "clock": snapshot.at.clock,
        "ended": snapshot.ended,
        "camera": {key: snapshot.camera.get(key) for key in ("state", "reason")},
        "frame": None if snapshot.looked is None else frame(snapshot.looked, snapshot.at.mono_ns),
        "episodes": [_episode(body, mono_s) for body in snapshot.episodes],
        "pixels": pixels,
        "viewers": viewers,
    }
    if status is not None:
        told |= {
            "state": status.state,
            "frames": dict(status.frames),
            "drops": dict(status.drops),
            "health": status.health.to_json() if status.health else {},
            "problems": list(status.problems),
            "journal": {"trouble": status.journal_trouble, "lines_lost": status.lines_lost},
        }
    return told


def frame(looked: FrameView, now_ns: int) -> dict[str, Any]:
    """The last processed frame."""
    return {
        "seq": looked.seq,
        "size_px": list(looked.size_px),
        "age_s": None if looked.age_s is None else round((now_ns - looked.mono_ns) / 1e9, 3),
        "late_ms": None if looked.age_s is None else round(looked.age_s * 1e3, 1),
        "faces": [face(shown) for shown in looked.faces],
        "skipped": looked.skipped,
        "stages_ms": {stage: round(lap_s * 1e3, 2) for stage, lap_s in looked.laps_s.items()},
    }


def face(shown: FaceView) -> dict[str, Any]:
    """A face: its label, steadied where it is, with the probabilities that it stands on."""
    reading = shown.reading
    probs = reading.probs if reading.steady_probs is None else reading.steady_probs
    return {
        "track": reading.track,
        "label": shown.label,
        "why": reading.why,
        "p": [round(float(p), 3) for p in probs],
        "frame_label": reading.label,
        "quality": None if reading.quality is None else round(reading.quality, 2),
        "score": round(reading.face.score, 2),
        "xywh": list(reading.face.xywh),
        "seen_s": round((reading.mono_ns - shown.first_ns) / 1e9, 1),
        "held_s": round((reading.mono_ns - shown.since_ns) / 1e9, 1),
    }


def column(body: Mapping[str, Any]) -> dict[str, Any]:
    """A few seconds of the chart: a tally's body with what the chart needs of it."""
    names = ("seconds", "observed_s", "unavailable_s", "paused_s", "face_s", "labels_s", "drops")
    return {
        "from_s": body["from_mono_s"],
        **{name: body[name] for name in names},
        "frames": body["frames"]["processed"],
    }


def encoded(value: Mapping[str, Any]) -> bytes:
    """The value as JSON on one line, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def sent(kind: str, data: bytes) -> bytes:
    """One server-sent event (HTML standard, section 9.2)."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _episode(body: Mapping[str, Any], mono_s: float) -> dict[str, Any]:
    return {
        "track": body.get("track"),
        "label": body["label"],
        "dwell_s": body["dwell_s"],
        "ago_s": round(mono_s - body["end_mono_s"], 1),
        "ended": body["ended"],
    }
