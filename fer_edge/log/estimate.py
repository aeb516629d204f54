"""Minutes of a run of schema 1, which has readings and no tallies: an estimate from what each reading's frame stood for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from fer_edge.events import Event

_MINUTE_S = 60.0
_PATIENCE_S = 2.0  # a frame stands for no longer, as in the tallies of later versions


class Estimate:
    """Gives the bodies of the tallies that a run of schema 1 would have had, as far as its lines tell.

    A frame with a face counts for the time since the frame before it, by their numbers. Frames without one left no line:
    all the time in which the camera was there, by its own events, counts as observed. Bodies lack what nobody noted.
    """

    def __init__(self, start_mono_s: float) -> None:
        self._start_s = self._upto_s = start_mono_s
        self._open = False
        self._frame: tuple[int, float] | None = None  # number and time of the last frame with a face
        self._frame_s = 0.0  # what it stood for
        self._faces = 0  # in that frame
        self._minute: defaultdict[str, float] = defaultdict(float)
        self._labels: defaultdict[str, float] = defaultdict(float)
        self._faces_max = 0

    def take(self, event: Event) -> Iterator[dict[str, Any]]:
        """The bodies of the minutes that were over by this event."""
        body, upto_s = event.body, event.mono_s
        if event.kind == "camera":
            state = body["state"]
            seen_s = upto_s - float(body.get("gap_s") or 0.0) if state == "lost" else upto_s
            yield from self._advance(max(seen_s, self._upto_s))
            self._open = state in ("opened", "back")
        yield from self._advance(upto_s)
        if event.kind == "reading":
            self._reading(body, upto_s)

    def finish(self, mono_s: float, end: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """The bodies of what is left; the last has what the run's `end` line counted, if there is one."""
        yield from self._advance(mono_s)
        if self._upto_s > self._start_s:
            last = self._body(self._upto_s)
            if end is not None:
                last |= {"frames": end.get("frames", {}), "drops": end.get("drops", {})}
            yield last

    def _reading(self, body: dict[str, Any], mono_s: float) -> None:
        number = int(body["frame"])
        if self._frame is None or number != self._frame[0]:
            before, self._frame = self._frame, (number, mono_s)
            passed = number - before[0] if before else 0
            self._frame_s = min((mono_s - before[1]) / passed, _PATIENCE_S) if before and passed > 0 else 0.0
            self._frame_s = max(self._frame_s, 0.0)
            self._faces = 0
            self._minute["face"] += self._frame_s
        self._faces += 1
        self._faces_max = max(self._faces_max, self._faces)
        self._labels[body["label"]] += self._frame_s

    def _advance(self, mono_s: float) -> Iterator[dict[str, Any]]:
        state = "observed" if self._open else "unavailable"
        while mono_s - self._start_s >= _MINUTE_S:
            end_s = self._start_s + _MINUTE_S
            self._minute[state] += end_s - self._upto_s
            yield self._body(end_s)
            self._start_s = self._upto_s = end_s
            self._minute, self._labels, self._faces_max = defaultdict(float), defaultdict(float), 0
        if mono_s > self._upto_s:
            self._minute[state] += mono_s - self._upto_s
            self._upto_s = mono_s

    def _body(self, end_s: float) -> dict[str, Any]:
        observed_s = self._minute["observed"]
        return {
            "from_mono_s": self._start_s,
            "seconds": end_s - self._start_s,
            "observed_s": observed_s,
            "unavailable_s": self._minute["unavailable"],
            "paused_s": 0.0,
            "face_s": min(self._minute["face"], observed_s),
            "labels_s": dict(sorted(self._labels.items())),
            "faces_max": self._faces_max,
            "estimated": True,
        }
