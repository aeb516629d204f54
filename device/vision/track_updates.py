"""Tracks after a search: known faces at their new places, and new ones that are certain enough to be faces.

A track begins with more evidence than it is kept with: backs of heads and textures reach a detector's lowest score now and
then, but rarely what two networks give a face.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from device.vision.tracks import Track, largest_first, match_squares, with_detection
from fer_edge.detection.registry import begin_evidence
from fer_edge.detection.two_stage import TwoStageDetector, each_face_once, face_square

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from device.config import Settings
    from fer_edge.detection.boxes import Square
    from fer_edge.detection.types import Detector, Face

_MAX_CONFIRMED = 4  # new faces of a search that the second network looks at, in units of `max_faces`


def redetected(track: Track, detector: TwoStageDetector, gray: np.ndarray, mono_ns: int, min_score: float) -> Track:
    """The track with its face detected in a frame uint8 (H, W); unchanged when it is not found there."""
    face = detector.refine(gray, track.head)
    if face is None or face.score < min_score:
        return track
    return with_detection(track, face, face_square(face, gray.shape), mono_ns)


def with_found(
    tracks: Mapping[int, Track],
    faces: Sequence[Face],
    next_id: int,
    mono_ns: int,
    detector: Detector,
    gray: np.ndarray,
    settings: Settings,
) -> tuple[dict[int, Track], int]:
    """The tracks, by number, after a search found `faces` in a frame uint8 (H, W) of `mono_ns`; and the next new number."""
    shape = gray.shape
    faces = [face for face in faces if face.score >= settings.min_score]
    heads: list[Square] = [face_square(face, shape) for face in faces]
    known = list(tracks.values())
    matches = {j: i for i, j in match_squares([track.head for track in known], heads).items()}
    found = dict(tracks)
    for j, i in matches.items():
        track = known[i]
        if track.seen_ns != mono_ns:  # otherwise it was followed into this frame, and its box is more accurate
            track = replace(track, face=faces[j], head=heads[j], seen_ns=mono_ns)
        found[track.id] = replace(track, searched_ns=mono_ns)
    if isinstance(detector, TwoStageDetector):
        for track in largest_first(tuple(found.values()))[: settings.max_faces]:
            if track.seen_ns == mono_ns and track.face.detector != detector.name:
                found[track.id] = redetected(track, detector, gray, mono_ns, settings.min_score)
    new = [face for j, face in enumerate(faces) if j not in matches]
    for face in _confirmed(new, detector, gray, settings):
        track = Track(next_id, face, face_square(face, shape), mono_ns, searched_ns=mono_ns)
        if face.detector == detector.name:
            track = with_detection(track, face, track.head, mono_ns)
        found[next_id] = track
        next_id += 1
    return found, next_id


def _confirmed(new: Sequence[Face], detector: Detector, gray: np.ndarray, settings: Settings) -> list[Face]:
    """The new faces with which a track begins, each once, in the order of `new`."""
    least = begin_evidence(detector.name) if settings.begin_score is None else settings.begin_score
    if not isinstance(detector, TwoStageDetector):
        return [face for face in new if face.evidence >= least]
    largest = sorted(range(len(new)), key=lambda j: -new[j].xywh[2] * new[j].xywh[3])
    looked = set(largest[: _MAX_CONFIRMED * settings.max_faces])
    faces = [
        detector.confirm(gray, face) if j in looked and face.second_score is None else face
        for j, face in enumerate(new)
    ]
    faces = [face for face in faces if face.evidence >= least and face.score >= settings.min_score]
    once = {id(face) for face in each_face_once(faces, gray.shape)}
    return [face for face in faces if id(face) in once]
