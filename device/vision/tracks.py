"""Which face of one frame is which of another: told by where it is, never by who it is. Numbers die with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fer_edge.detection.boxes import Square, square_iou

if TYPE_CHECKING:
    from device.vision.smoothing import SmoothedLabel
    from fer_edge.detection.types import Face

MATCH_IOU = 0.2  # overlap of two squares, intersection over union, from which on they are one face
MAX_PREDICTED_S = 0.15  # so long a face that moves as foreseen is not looked at: every second frame of ten a second
PREDICTION_TOLERANCE = 0.04  # sides by which it may have missed that at the last look
MAX_VELOCITY_GAP_S = 0.5  # between two looks, for a way to be told from them
FOLLOWED_PREFERENCE = 1.25  # a face that is followed counts as so much larger: of two alike, the same one stays


@dataclass(frozen=True, slots=True)
class Track:
    """A face over frames. `face` and the square `head` around it are from the last frame that showed it.

    `seen_ns` is that frame's time, `searched_ns` that of the last search of the whole frame that found it; 0 if none did.
    `frames` counts the readings. `steady` is what it shows, smoothed; None before its first reading. `drawn_ns` is the last
    frame in which a network drew its box, 0 where only a search did; `way` px a second right and down, as it moved by then;
    `predictable` whether it moved there as it had before.
    """

    id: int
    face: Face
    head: Square
    seen_ns: int
    searched_ns: int = 0
    frames: int = 0
    steady: SmoothedLabel | None = None
    drawn_ns: int = 0
    way: tuple[float, float] = (0.0, 0.0)
    predictable: bool = False


def with_detection(track: Track, face: Face, head: Square, mono_ns: int) -> Track:
    """The track after a network drew its face in a frame, with the way it goes and whether that was to be foreseen."""
    now = replace(track, face=face, head=head, seen_ns=mono_ns, drawn_ns=mono_ns, way=(0.0, 0.0), predictable=False)
    passed_s = (mono_ns - track.drawn_ns) / 1e9
    if not track.drawn_ns or not 0 < passed_s <= MAX_VELOCITY_GAP_S:
        return now
    (left, top, side), (x, y) = head, _displacement(track, mono_ns)
    # how far it lies from where it was foreseen
    right = left + side / 2 - (track.head[0] + track.head[2] / 2 + x)
    down = top + side / 2 - (track.head[1] + track.head[2] / 2 + y)
    way = (track.way[0] + right / passed_s, track.way[1] + down / passed_s)
    grown = abs(side - track.head[2])
    return replace(now, way=way, predictable=max(abs(right), abs(down), grown / 2) <= PREDICTION_TOLERANCE * side)


def predict(track: Track, mono_ns: int, shape: tuple[int, ...]) -> Track | None:
    """The track in a frame of `shape` (H, W) as it is foreseen, unlooked; None where it must be looked at.

    That is when it did not move as foreseen, when it was last looked at more than HELD_S ago, and at the frame's edge.
    """
    if not track.predictable or mono_ns - track.drawn_ns > MAX_PREDICTED_S * 1e9:
        return None
    x, y = (round(px) for px in _displacement(track, mono_ns))
    left, top, side = track.head
    left, top = left + x, top + y
    if min(left, top) < 0 or left + side > shape[1] or top + side > shape[0]:
        return None
    return replace(track, face=_translated(track.face, x, y), head=(left, top, side), seen_ns=mono_ns)


def _displacement(track: Track, mono_ns: int) -> tuple[float, float]:
    """How far, in px right and down, a track goes from the frame that last showed it until another."""
    passed_s = (mono_ns - track.seen_ns) / 1e9
    return track.way[0] * passed_s, track.way[1] * passed_s


def _translated(face: Face, x: int, y: int) -> Face:
    if not (x or y):
        return face
    left, top, width, height = face.xywh
    eyes, nose = face.eyes, face.nose
    if eyes is not None:
        (ax, ay), (bx, by) = eyes
        eyes = ((ax + x, ay + y), (bx + x, by + y))
    if nose is not None:
        nose = (nose[0] + x, nose[1] + y)
    return replace(face, xywh=(left + x, top + y, width, height), eyes=eyes, nose=nose)


def match_squares(tracks: Sequence[Square], faces: Sequence[Square]) -> dict[int, int]:
    """Which of the squares `tracks` is which of `faces`, by index: the pair that overlaps most first, each at most once."""
    pairs = [(square_iou(a, b), i, j) for i, a in enumerate(tracks) for j, b in enumerate(faces)]
    found: dict[int, int] = {}
    for shared, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if shared >= MATCH_IOU and i not in found and j not in found.values():
            found[i] = j
    return found


def without_duplicates(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks less those that ended up on another one's face; the one that is older stays."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda track: track.id):
        if all(square_iou(track.head, other.head) < 0.5 or other.seen_ns != track.seen_ns for other in kept):
            kept.append(track)
    return tuple(kept)


def largest_first(tracks: Sequence[Track]) -> list[Track]:
    """The tracks in the order in which they are looked after, the largest face, which is mostly the nearest, first."""
    return sorted(tracks, key=lambda track: -track.head[2] * (FOLLOWED_PREFERENCE if track.frames else 1.0))
