"""Tallies: a minute of a run in one event, in which each second is observed, unavailable or paused. A pure function.

The live page uses the same sums over seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from device.output.arrivals import PATIENCE_S, Arrivals
from fer_edge.events import UNSURE

if TYPE_CHECKING:
    from device.output.event_bodies import TallyBody
    from device.vision.readings import Reading

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Counts since the start of the run: frames read, dropped by reason, and `idle` ones, processed without a search.

    `skipped` counts faces that were not read because there were too many: one face in ten frames counts ten.
    """

    read: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    idle: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """A minute so far, or another length; all times in ns. Each ns up to `upto_ns` is in one of the three sums."""

    start_ns: int
    upto_ns: int
    patience_ns: (
        int  # a wait for the next frame up to this long counts as observed; longer where frames are further apart
    )
    length_ns: int
    counts_before: FrameCounts = FrameCounts()  # at the end of the previous minute
    arrivals: Arrivals = Arrivals()  # noqa: RUF009 - it is immutable
    missing: bool = True  # no frame arrived yet, or none for too long
    observed_ns: int = 0
    unavailable_ns: int = 0
    paused_ns: int = 0
    face_ns: int = 0
    labels_ns: Mapping[str, int] = field(default_factory=dict)
    unsure_ns: Mapping[str, int] = field(default_factory=dict)  # by the reason
    faces_max: int = 0
    processed: int = 0


def start_tally(mono_ns: int, patience_s: float = PATIENCE_S, length_s: float = _MINUTE_S) -> Tally:
    """The tally of a run that starts now. `patience_s` is longer than the time between two frames should be."""
    return Tally(mono_ns, mono_ns, round(patience_s * 1e9), round(length_s * 1e9))


def update_tally(
    tally: Tally,
    readings: Sequence[Reading] | None,
    mono_ns: int,
    counts: FrameCounts,
    paused: bool = False,
) -> tuple[Tally, list[TallyBody]]:
    """The tally at `mono_ns`, and the bodies of the `tally` events of the minutes that have ended.

    `readings` are those of the frame taken then; None for a moment without a frame. A moment before the last one counts as the
    last one. The time since the last moment counts as what this frame shows; as unavailable until a first frame and once the
    next one is late; as paused with `paused`.
    """
    late = _is_late(tally, mono_ns)
    if readings is None and not paused and not late:
        return tally, []  # the next frame decides
    tally, bodies = _advance(tally, readings or (), mono_ns, counts, _time_kind(paused, late))
    if readings is None:
        return replace(tally, missing=not paused), bodies
    arrivals, faces_max = tally.arrivals.add(mono_ns, processed=True), max(tally.faces_max, len(readings))
    processed = tally.processed + 1
    return replace(tally, arrivals=arrivals, missing=False, faces_max=faces_max, processed=processed), bodies


def add_dropped_frame(tally: Tally, mono_ns: int, counts: FrameCounts) -> tuple[Tally, list[TallyBody]]:
    """The tally after a frame that was dropped, as `update_tally`; the next processed frame decides what the time counts as.

    Once none was processed for 10 s, or for longer where they are usually further apart, the time counts as unavailable.
    """
    if mono_ns - tally.upto_ns > tally.arrivals.unseen_ns(tally.patience_ns):
        tally, bodies = _advance(tally, (), mono_ns, counts, "unavailable")
    else:
        tally, bodies = update_tally(tally, None, mono_ns, counts)
    return replace(tally, arrivals=tally.arrivals.add(mono_ns, processed=False), missing=False), bodies


def settle_tally(
    tally: Tally, mono_ns: int, counts: FrameCounts, paused: bool = False
) -> tuple[Tally, list[TallyBody]]:
    """The tally up to the beginning of a pause, or the end, as `update_tally`: no next frame decides what the time counts as.

    The time after the last frame counts as without a face.
    """
    return _advance(tally, (), mono_ns, counts, _time_kind(paused, _is_late(tally, mono_ns)))


def end_tally(tally: Tally, counts: FrameCounts) -> tuple[Tally, list[TallyBody]]:
    """The next tally, which starts at the last moment of this one, and the body of this one; none where it has no time yet."""
    if tally.upto_ns == tally.start_ns:
        return tally, []
    return _next_tally(tally, tally.upto_ns, counts), [_tally_body(tally, counts)]


def finish_tally(tally: Tally, mono_ns: int, counts: FrameCounts, paused: bool = False) -> list[TallyBody]:
    """The bodies of the `tally` events up to the end of the run; the time after the last frame counts as without a face."""
    tally, bodies = settle_tally(tally, mono_ns, counts, paused)
    return [*bodies, _tally_body(tally, counts)] if tally.upto_ns > tally.start_ns else bodies


def _is_late(tally: Tally, mono_ns: int) -> bool:
    last_ns = max(tally.upto_ns, tally.arrivals.last_ns or 0)
    return tally.missing or mono_ns - last_ns > tally.arrivals.patience_ns(tally.patience_ns)


_TimeKind = Literal["observed", "unavailable", "paused"]


def _time_kind(paused: bool, late: bool) -> _TimeKind:
    return "paused" if paused else "unavailable" if late else "observed"


def _advance(
    tally: Tally,
    readings: Sequence[Reading],
    mono_ns: int,
    counts: FrameCounts,
    kind: _TimeKind,
) -> tuple[Tally, list[TallyBody]]:
    """The tally with the time up to `mono_ns` added as `kind`, and the minutes that it completed."""
    bodies = []
    while mono_ns - tally.start_ns >= tally.length_ns:
        end_ns = tally.start_ns + tally.length_ns
        bodies.append(_tally_body(_add_time(tally, readings, end_ns, kind), counts))
        tally = _next_tally(tally, end_ns, counts)
    return _add_time(tally, readings, mono_ns, kind), bodies


def _next_tally(tally: Tally, start_ns: int, counts: FrameCounts) -> Tally:
    counts_before = replace(counts, drops=dict(counts.drops))  # the run's own counters may be changed in place
    start = Tally(start_ns, start_ns, tally.patience_ns, tally.length_ns, counts_before)
    return replace(start, arrivals=tally.arrivals, missing=tally.missing)


def _add_time(tally: Tally, readings: Sequence[Reading], to_ns: int, kind: _TimeKind) -> Tally:
    ns = to_ns - tally.upto_ns
    if ns <= 0:
        return tally
    if kind == "paused":
        return replace(tally, upto_ns=to_ns, paused_ns=tally.paused_ns + ns)
    if kind == "unavailable":
        return replace(tally, upto_ns=to_ns, unavailable_ns=tally.unavailable_ns + ns)
    if not readings:
        return replace(tally, upto_ns=to_ns, observed_ns=tally.observed_ns + ns)
    labels_ns, unsure_ns = dict(tally.labels_ns), dict(tally.unsure_ns)
    for reading in readings:
        label = reading.steady
        labels_ns[label] = labels_ns.get(label, 0) + ns
        if label == UNSURE:
            why = reading.why or "confidence"
            unsure_ns[why] = unsure_ns.get(why, 0) + ns
    return replace(
        tally,
        upto_ns=to_ns,
        observed_ns=tally.observed_ns + ns,
        face_ns=tally.face_ns + ns,
        faces_max=max(tally.faces_max, len(readings)),
        labels_ns=labels_ns,
        unsure_ns=unsure_ns,
    )


def _tally_body(tally: Tally, counts: FrameCounts) -> TallyBody:
    before = tally.counts_before
    drops = {reason: n - before.drops.get(reason, 0) for reason, n in counts.drops.items()}
    return {
        "from_mono_s": _seconds(tally.start_ns),
        "seconds": _seconds(tally.upto_ns - tally.start_ns),
        "observed_s": _seconds(tally.observed_ns),
        "unavailable_s": _seconds(tally.unavailable_ns),
        "paused_s": _seconds(tally.paused_ns),
        "face_s": _seconds(tally.face_ns),
        "labels_s": {label: _seconds(ns) for label, ns in sorted(tally.labels_ns.items())},
        "unsure_s": {why: _seconds(ns) for why, ns in sorted(tally.unsure_ns.items())},
        "faces_max": tally.faces_max,
        "faces_skipped": counts.skipped - before.skipped,
        "frames": {"read": counts.read - before.read, "processed": tally.processed},
        "frames_idle": counts.idle - before.idle,
        "drops": {reason: n for reason, n in drops.items() if n},
    }


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)
