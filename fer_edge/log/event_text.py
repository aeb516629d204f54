"""An event in words: the rest of a line that begins with its time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fer_edge.event_bodies import probability_of
from fer_edge.events import Event

_Body = dict[str, Any]
_REASON_TEXTS = {
    "confidence": "probability below the threshold",
    "dark": "too dark or too little contrast",
    "blurred": "blurred",
    "tiny": "too small",
    "turned": "turned away",
}
_UNTIL_TEXTS = {
    "changed": "the expression changed",
    "left": "the face left",
    "unsure": "unsure",
    "long": "the longest time of one line",
    "lost": "the camera was lost",
    "pause": "the pause",
    "end": "the end of the run",
}
_TIME_IS_OVER = re.compile(r"(\S+) s are over")


def event_sentence(event: Event, labels: Sequence[str] = ()) -> str:
    """The event in words; an unknown kind as its fields. `labels` are those of the run's header."""
    try:
        if event.kind == "episode":
            return _episode(event.body, labels)
        return _SENTENCES.get(event.kind, _other)(event.body)
    except (KeyError, TypeError, ValueError, IndexError):
        return _other(event.body)  # from a version with other fields


def duration_text(seconds: float) -> str:
    """A duration in words: 4.2 s, 3 min 10 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, rest in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            left = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {left} {rest}" if left else "")
    return f"{whole} s"


def reason_text(why: str) -> str:
    """Why a face is `unsure`, in words; an unknown reason as it is."""
    return _REASON_TEXTS.get(why, why)


def end_text(reason: str) -> str:
    """Why a run ended, the `reason` of its `end` line, in words."""
    return _TIME_IS_OVER.sub(r"stopped after \1 s", reason)


def counted(n: int, noun: str) -> str:
    """A number and a noun: 1 run, 3,000 runs."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _header(body: _Body) -> str:
    verified = body.get("verified", {}).get("proved")
    proof = {True: ", verified", False: ", not compared with float on this runtime", None: ""}[verified]
    begins = "continues" if "continues" in body else "begins"
    bundle = body["bundle"]
    return (
        f"a run {begins}: {body['software']}, bundle {bundle['name']} {bundle['sha256'][:8]}, {body['runtime']}{proof}, "
        f"camera {body['camera']['name']}"
    )


def _camera(body: _Body) -> str:
    name = body["camera"]["name"]
    after = f" after {duration_text(body['gap_s'])}" if body["state"] == "back" and "gap_s" in body else ""
    why = f": {body['reason']}" if body.get("reason") else ""
    return f"camera {name} {body['state']}{after}{why}"


def _reading(body: _Body) -> str:
    label, p = body.get("steady") or body["label"], max(body.get("steady_p") or body["p"])
    track = "" if body["track"] is None else f", face {body['track']}"
    why = f", {reason_text(body['why'])}" if body.get("why") else ""
    return f"{label} {p:.0%}{why}{track}{_quality(body)}"


def _episode(body: _Body, labels: Sequence[str]) -> str:
    label = body["label"]
    p = probability_of(label, body["p"], labels)
    track = "" if body["track"] is None else f"face {body['track']}, "
    until = _UNTIL_TEXTS.get(body["ended"], body["ended"])
    return f"{label} {p:.0%} for {duration_text(body['dwell_s'])} ({track}until {until}{_quality(body)})"


def _tally(body: _Body) -> str:
    seconds = body["seconds"]
    parts = [f"{body['observed_s']:.0f} of {seconds:.0f} s observed"]
    parts += [f"{body[f'{name}_s']:.0f} s {name}" for name in ("unavailable", "paused") if body[f"{name}_s"] >= 0.5]
    seen = sorted(body["labels_s"].items(), key=lambda pair: -pair[1])
    faces = ", ".join(f"{label} {s:.0f} s" for label, s in seen if s >= 0.5)
    return "; ".join([*parts, f"a face for {body['face_s']:.0f} s" + (f": {faces}" if faces else "")])


def _health(body: _Body) -> str:
    words = list(body.get("throttled_now") or ())
    if body.get("undervoltage") and "undervoltage" not in words:
        words.insert(0, "undervoltage")
    if body.get("temperature_c") is not None:
        words.append(f"{body['temperature_c']:.0f} °C")
    if body.get("disk_free_bytes") is not None:
        words.append(f"{body['disk_free_bytes'] / 1e9:.1f} GB free")
    return "machine: " + ", ".join(words)


def _clock(body: _Body) -> str:
    moved = f"moved by {body['offset_s']:+,.1f} s" if abs(body["offset_s"]) >= 0.05 else "not moved"
    return f"wall clock {moved}, {body['from']} → {body['to']}"


def _repair(body: _Body) -> str:
    if not body["cut_bytes"]:
        return f"{body['segment']} held no line: its run could not write any, or was cut off at its start"
    return f"{body['cut_bytes']} bytes of a torn end were cut off {body['segment']}"


def _gap(body: _Body) -> str:
    lost = ", ".join(f"{n} {kind}" for kind, n in body["lost"].items())
    return f"lines were lost ({body['reason']}): {lost}"


def _end(body: _Body) -> str:
    return f"the run ended after {duration_text(body['seconds'])}: {end_text(body['reason'])}"


def _other(body: _Body) -> str:
    return ", ".join(f"{name} {value}" for name, value in body.items())


def _quality(body: _Body) -> str:
    return "" if body.get("quality") is None else f"; picture quality {body['quality']:.2f}"


_SENTENCES: dict[str, Callable[[_Body], str]] = {
    "header": _header,
    "camera": _camera,
    "reading": _reading,
    "tally": _tally,
    "health": _health,
    "clock": _clock,
    "gap": _gap,
    "repair": _repair,
    "pause": lambda body: f"paused by {body['by']}",
    "resume": lambda body: f"resumed by {body['by']} after {duration_text(body['paused_s'])}",
    "end": _end,
}
