"""Which face of one frame is which of another: told by where it is, never by who it is. Numbers die with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.zoomed import Square, overlap

if TYPE_CHECKING:
    from device.vision.smoothing import Steady
    from fer_edge.faces import Face

SAME = 0.2  # overlap of two squares, intersection over union, from which on they are one face
FOLLOWED = 1.25  # a face that is followed counts as so much larger: of two alike, the same one stays


@dataclass(frozen=True, slots=True)
class Track:
    """A face over frames. `face` and the square `head` around it are from the last frame that showed it.

    `seen_ns` is that frame's time, `searched_ns` that of the last search of the whole frame that found it; 0 if none did.
    `frames` counts the readings. `steady` is what it shows, smoothed; None before its first reading.
    """

    id: int
    face: Face
    head: Square
    seen_ns: int
    searched_ns: int = 0
    frames: int = 0
    steady: Steady | None = None


def matched(tracks: Sequence[Square], faces: Sequence[Square]) -> dict[int, int]:
    """Which of the squares `tracks` is which of `faces`, by index: the pair that overlaps most first, each at most once."""
    pairs = [(overlap(a, b), i, j) for i, a in enumerate(tracks) for j, b in enumerate(faces)]
    found: dict[int, int] = {}
    for shared, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if shared >= SAME and i not in found and j not in found.values():
            found[i] = j
    return found


def apart(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks less those that ended up on another one's face; the one that is older stays."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda track: track.id):
        if all(overlap(track.head, other.head) < 0.5 or other.seen_ns != track.seen_ns for other in kept):
            kept.append(track)
    return tuple(kept)


def largest_first(tracks: Sequence[Track]) -> list[Track]:
    """The tracks in the order in which they are looked after, the largest face, which is mostly the nearest, first."""
    return sorted(tracks, key=lambda track: -track.head[2] * (FOLLOWED if track.frames else 1.0))
