"""Tracks: which face of one frame is which face of another, by position and never by identity. Numbers last for one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fer_edge.detection.boxes import Square, is_same_face, square_iou

if TYPE_CHECKING:
    from device.vision.smoothing import SmoothedLabel
    from fer_edge.detection.types import Face

MATCH_IOU = 0.2  # intersection over union of two squares, from which on they are one face
PASSING_IOU = 0.5  # from which on two followed faces are one
MAX_PREDICTED_S = 0.15  # a predictable face is not detected again for so long: in every second frame at ten a second
PREDICTION_TOLERANCE = 0.04  # error of the last prediction, in sides of the face, up to which a track is predictable
MAX_VELOCITY_GAP_S = 0.5  # between two detections, for a velocity to be derived from them
FOLLOWED_PREFERENCE = 1.25  # factor on the size of a followed face, so that of two similar faces the same one stays


@dataclass(frozen=True, slots=True)
class Track:
    """One face followed over frames. `face` and the square `head` around it are from the last frame that showed it.

    `seen_ns` is that frame's time, `searched_ns` that of the last whole-frame search that found it; 0 if none did. `readings`
    counts its readings. `smoothed` is its smoothed label; None before the first reading. `detected_ns` is the last frame in
    which a network drew its box, 0 if only a search did; `velocity` is in px a second, right and down, at that frame;
    `predictable` says whether the face was then where its previous motion predicted it.
    """

    id: int
    face: Face
    head: Square
    seen_ns: int
    searched_ns: int = 0
    readings: int = 0
    smoothed: SmoothedLabel | None = None
    detected_ns: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    predictable: bool = False
    is_far: bool = False  # found in a tile: a search of the whole frame does not see it


def with_detection(track: Track, face: Face, head: Square, mono_ns: int) -> Track:
    """The track after a network drew its face in a frame, with its velocity and whether its motion was predictable."""
    now = replace(
        track, face=face, head=head, seen_ns=mono_ns, detected_ns=mono_ns, velocity=(0.0, 0.0), predictable=False
    )
    passed_s = (mono_ns - track.detected_ns) / 1e9
    if not track.detected_ns or not 0 < passed_s <= MAX_VELOCITY_GAP_S:
        return now
    (left, top, side), (x, y) = head, _displacement(track, mono_ns)
    # the distance from the predicted position
    right = left + side / 2 - (track.head[0] + track.head[2] / 2 + x)
    down = top + side / 2 - (track.head[1] + track.head[2] / 2 + y)
    velocity = (track.velocity[0] + right / passed_s, track.velocity[1] + down / passed_s)
    grown = abs(side - track.head[2])
    predictable = max(abs(right), abs(down), grown / 2) <= PREDICTION_TOLERANCE * side
    return replace(now, velocity=velocity, predictable=predictable)


def predict(track: Track, mono_ns: int, shape: tuple[int, ...]) -> Track | None:
    """The track at its predicted position in a frame of `shape` (H, W); None where it must be detected again.

    That is when it is not predictable, when its last detection is older than MAX_PREDICTED_S, and at the frame's edge.
    """
    if not track.predictable or mono_ns - track.detected_ns > MAX_PREDICTED_S * 1e9:
        return None
    x, y = (round(px) for px in _displacement(track, mono_ns))
    left, top, side = track.head
    left, top = left + x, top + y
    if min(left, top) < 0 or left + side > shape[1] or top + side > shape[0]:
        return None
    return replace(track, face=_translated(track.face, x, y), head=(left, top, side), seen_ns=mono_ns)


def _displacement(track: Track, mono_ns: int) -> tuple[float, float]:
    """The predicted motion, in px right and down, since the frame that last showed the track."""
    passed_s = (mono_ns - track.seen_ns) / 1e9
    return track.velocity[0] * passed_s, track.velocity[1] * passed_s


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
    """The matches of squares of tracks to squares of faces, by index: the largest overlap first, each at most once."""
    pairs = [(square_iou(a, b), i, j) for i, a in enumerate(tracks) for j, b in enumerate(faces)]
    matches: dict[int, int] = {}
    for iou, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if iou >= MATCH_IOU and i not in matches and j not in matches.values():
            matches[i] = j
    return matches


def without_duplicates(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks without new ones on the face of another track, and without those that moved onto an older track's face."""
    distinct: list[Track] = []
    for track in sorted(tracks, key=lambda track: track.id):
        if not any(track.seen_ns == other.seen_ns and _is_duplicate(track, other) for other in distinct):
            distinct.append(track)
    return tuple(distinct)


def _is_duplicate(track: Track, older: Track) -> bool:
    """Whether a track shows the face of an older one; two faces that were read before may pass each other."""
    if track.readings:
        return square_iou(track.head, older.head) >= PASSING_IOU
    a, b = ((left, top, side, side) for left, top, side in (track.head, older.head))
    return is_same_face(a, b)


def largest_first(tracks: Sequence[Track]) -> list[Track]:
    """The tracks in order of size, the largest face (usually the nearest) first."""
    return sorted(tracks, key=lambda track: -track.head[2] * (FOLLOWED_PREFERENCE if track.readings else 1.0))
