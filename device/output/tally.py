"""Tallies: a minute of a run in one event, in which each second is observed, unavailable or paused. A pure step.

The live page has the same sums over seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from device.output.episodes import EpisodeRules, counted_label
from fer_edge.events import UNSURE

if TYPE_CHECKING:
    from device.vision.readings import Reading

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """What was counted since the run began: frames read, dropped by reason, and `idle`, processed without a search.

    `skipped` are faces that were not read for there were too many: a face in ten frames is ten.
    """

    read: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    idle: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """A minute so far, or another length; all times in ns. Up to `upto_ns` every one of them is in one of the three sums."""

    start_ns: int
    upto_ns: int
    patience_ns: int  # so long a wait for the next frame is part of looking
    length_ns: int
    told: FrameCounts = FrameCounts()  # when the minute before was over
    missing: bool = True  # no frame came yet, or not for too long
    observed_ns: int = 0
    unavailable_ns: int = 0
    paused_ns: int = 0
    face_ns: int = 0
    labels_ns: Mapping[str, int] = field(default_factory=dict)
    unsure_ns: Mapping[str, int] = field(default_factory=dict)  # by what made a face unsure
    faces_max: int = 0
    processed: int = 0


def start_tally(mono_ns: int, patience_s: float = 2.0, length_s: float = _MINUTE_S) -> Tally:
    """The tally of a run that starts now. `patience_s` is more than the time between two frames ever should be."""
    return Tally(mono_ns, mono_ns, round(patience_s * 1e9), round(length_s * 1e9))


def update_tally(
    tally: Tally,
    readings: Sequence[Reading] | None,
    mono_ns: int,
    counts: FrameCounts,
    rules: EpisodeRules,
    paused: bool = False,
) -> tuple[Tally, list[dict[str, Any]]]:
    """The tally after a moment, and the bodies of the `tally` events of the minutes that are over.

    `readings` are those of the frame taken then, None for a moment without a frame; a moment before one already counted
    counts as that one. The time since the moment before counts as what this frame shows; as unavailable until a first
    frame and once a next one is late; as paused where `paused` says that nobody looked.
    """
    late = tally.missing or mono_ns - tally.upto_ns > tally.patience_ns
    if readings is None and not paused and not late:
        return tally, []  # the next frame will tell
    tally, bodies = _advance(tally, readings or (), mono_ns, counts, rules, _time_kind(paused, late))
    if readings is None:
        return replace(tally, missing=not paused), bodies
    faces_max = max(tally.faces_max, len(readings))
    return replace(tally, missing=False, faces_max=faces_max, processed=tally.processed + 1), bodies


def finish_tally(
    tally: Tally, mono_ns: int, counts: FrameCounts, rules: EpisodeRules, paused: bool = False
) -> list[dict[str, Any]]:
    """The bodies of the `tally` events up to the end of the run; what follows the last frame shows no face."""
    late = tally.missing or mono_ns - tally.upto_ns > tally.patience_ns
    tally, bodies = _advance(tally, (), mono_ns, counts, rules, _time_kind(paused, late))
    return [*bodies, _tally_body(tally, counts)] if tally.upto_ns > tally.start_ns else bodies


_TimeKind = Literal["observed", "unavailable", "paused"]


def _time_kind(paused: bool, late: bool) -> _TimeKind:
    return "paused" if paused else "unavailable" if late else "observed"


def _advance(
    tally: Tally, readings: Sequence[Reading], mono_ns: int, counts: FrameCounts, rules: EpisodeRules, where: _TimeKind
) -> tuple[Tally, list[dict[str, Any]]]:
    """The tally with the time up to `mono_ns` in the sum named, and the minutes that it filled."""
    bodies = []
    while mono_ns - tally.start_ns >= tally.length_ns:
        end_ns = tally.start_ns + tally.length_ns
        bodies.append(_tally_body(_add_time(tally, readings, end_ns, rules, where), counts))
        told = replace(counts, drops=dict(counts.drops))  # what is counted on may be changed in place
        tally = Tally(end_ns, end_ns, tally.patience_ns, tally.length_ns, told, tally.missing)
    return _add_time(tally, readings, mono_ns, rules, where), bodies


def _add_time(tally: Tally, readings: Sequence[Reading], to_ns: int, rules: EpisodeRules, where: _TimeKind) -> Tally:
    ns = to_ns - tally.upto_ns
    if ns <= 0:
        return tally
    if where == "paused":
        return replace(tally, upto_ns=to_ns, paused_ns=tally.paused_ns + ns)
    if where == "unavailable":
        return replace(tally, upto_ns=to_ns, unavailable_ns=tally.unavailable_ns + ns)
    if not readings:
        return replace(tally, upto_ns=to_ns, observed_ns=tally.observed_ns + ns)
    labels_ns, unsure_ns = dict(tally.labels_ns), dict(tally.unsure_ns)
    for reading in readings:
        label = counted_label(reading, rules)
        labels_ns[label] = labels_ns.get(label, 0) + ns
        if label == UNSURE:
            why = reading.why or "confidence"
            unsure_ns[why] = unsure_ns.get(why, 0) + ns
    return replace(
        tally,
        upto_ns=to_ns,
        observed_ns=tally.observed_ns + ns,
        face_ns=tally.face_ns + ns,
        labels_ns=labels_ns,
        unsure_ns=unsure_ns,
    )


def _tally_body(tally: Tally, counts: FrameCounts) -> dict[str, Any]:
    told = tally.told
    drops = {reason: n - told.drops.get(reason, 0) for reason, n in counts.drops.items()}
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
        "faces_skipped": counts.skipped - told.skipped,
        "frames": {"read": counts.read - told.read, "processed": tally.processed},
        "frames_idle": counts.idle - told.idle,
        "drops": {reason: n for reason, n in drops.items() if n},
    }


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)
