"""Which faces a frame shows: searched for now and then and when the picture changed, followed from frame to frame between.

To follow a face costs a tenth of a search, and nothing in a frame in which it is where it was foreseen. Searches are saved
up, one every `_EARNED` frames, so that on average they cost less than following does, however much the picture changes, and
a change after a quiet while is searched at once. A pure step; a detector that is not made of two searches every frame in
which something changed or a face was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from device.vision import motion_gate
from device.vision.tracks import Track, largest_first, match_squares, predict, with_detection, without_duplicates
from fer_edge.detection.boxes import Square
from fer_edge.detection.two_stage import TwoStageDetector, face_square, search_view

if TYPE_CHECKING:
    import numpy as np

    from device.config import Settings
    from fer_edge.detection.types import Detector, Face

FORGET_S = 1.0  # a face unseen for longer, and not in the frame before, is gone; one that comes after is another
MAX_FORGET_S = 10.0  # the same, however long ago the frame before was
_FRAMES_PER_SEARCH = 12  # frames in which a face is followed for each search
_MAX_CREDIT = 2.0  # searches at most
_ELSEWHERE_INTERVAL_NS = 150_000_000
_REPLACED_SHARE = 0.75  # of a face's cells that changed between two frames: no longer the same picture, moved


@dataclass(frozen=True, slots=True)
class SearchState:
    """What is remembered between two frames: faces, and thumbnails int16 (24, 32) of the last frame and the last searched.

    `stirred` are the cells, bool (24, 32), that differ between the last two frames, None before any.
    `credit` is how many searches are saved up; `recorded` that frames wait, and a missed face is searched for at once.
    """

    tracks: tuple[Track, ...] = ()
    next_id: int = 1
    last: np.ndarray | None = None
    last_ns: int = 0
    searched: np.ndarray | None = None
    searched_ns: int = 0
    stirred: np.ndarray | None = None
    asked_ns: int = 0  # when it was last asked whether something changed beside the faces
    credit: float = _MAX_CREDIT
    recorded: bool = False

    def nobody(self) -> SearchState:
        """The state that knows no face and no picture: what comes is another scene."""
        return SearchState(next_id=self.next_id, credit=self.credit, recorded=self.recorded)


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """The faces of one frame: those to read, the largest first; how many more there are; whether the frame was searched."""

    tracks: tuple[Track, ...]
    skipped: int
    searched: bool


def advance(state: SearchState, thumbnail: np.ndarray, mono_ns: int) -> SearchState:
    """The state as a frame with this thumbnail finds it.

    Faces that have been away are forgotten, and after a cut to another scene everything is.
    """
    stirred = None
    if state.last is not None:
        difference = motion_gate.thumbnail_difference(state.last, thumbnail)
        if motion_gate.is_scene_cut(difference):
            return replace(state.nobody(), last=thumbnail, last_ns=mono_ns)
        stirred = motion_gate.changed_cells(difference)
    tracks = tuple(track for track in state.tracks if _is_remembered(track, state.last_ns, mono_ns))
    credit = min(_MAX_CREDIT, state.credit + 1 / _FRAMES_PER_SEARCH)
    return replace(state, tracks=tracks, last=thumbnail, last_ns=mono_ns, stirred=stirred, credit=credit)


def _is_remembered(track: Track, last_ns: int, mono_ns: int) -> bool:
    unseen_ns = mono_ns - track.seen_ns
    return unseen_ns <= FORGET_S * 1e9 or (track.seen_ns >= last_ns and unseen_ns <= MAX_FORGET_S * 1e9)


def find_faces(
    state: SearchState, detector: Detector, gray: np.ndarray, settings: Settings
) -> tuple[SearchState, FoundFaces]:
    """The state after a frame uint8 (H, W), and the faces in it; `state` is what `look` gave."""
    mono_ns = state.last_ns
    tracks = {track.id: track for track in state.tracks}
    # one that the last search did not find either is only remembered, in case it comes back
    near = [t for t in largest_first(state.tracks) if t.seen_ns >= state.searched_ns][: settings.max_faces]
    for track in near:
        now = track
        if isinstance(detector, TwoStageDetector):
            now = _predicted(track, state, gray.shape) or _redetected(
                track, detector, gray, mono_ns, settings.min_score
            )
        if now.seen_ns != mono_ns and _is_unmoved(track, state, gray.shape):
            now = replace(track, seen_ns=mono_ns)
        tracks[track.id] = now
    missed = any(tracks[track.id].seen_ns != mono_ns for track in near)
    due = _is_search_due(state, detector, bool(near), missed, settings)
    if not due and near and isinstance(detector, TwoStageDetector) and _may_check_elsewhere(state, missed, settings):
        state = replace(state, asked_ns=mono_ns)
        due = _changed_elsewhere(state, gray.shape)
    others: set[int] = set()
    if due:
        state = _search_frame(state, tracks, detector, gray, settings)
    else:  # that nobody follows: the last search is believed until the next, but where they are now is not known
        others = {t.id for t in state.tracks if t.seen_ns >= state.searched_ns} - {t.id for t in near}
        known = (replace(track, seen_ns=mono_ns) if track.id in others else track for track in tracks.values())
        state = replace(state, tracks=without_duplicates(tuple(known)))
    here = [track for track in largest_first(state.tracks) if track.seen_ns == mono_ns]
    read = [track for track in here if track.id not in others][: settings.max_faces]
    return state, FoundFaces(tuple(read), len(here) - len(read), due)


def _predicted(track: Track, state: SearchState, shape: tuple[int, ...]) -> Track | None:
    """The track where it was foreseen; None when it must be looked for: when most of what lies there is another picture."""
    if (
        not track.predictable
        or state.stirred is None
        or motion_gate.changed_share(state.stirred, track.head, shape) > _REPLACED_SHARE
    ):
        return None
    return predict(track, state.last_ns, shape)


def _redetected(track: Track, detector: TwoStageDetector, gray: np.ndarray, mono_ns: int, min_score: float) -> Track:
    face = detector.refine(gray, track.head)
    if face is None or face.score < min_score:
        return track
    return with_detection(track, face, face_square(face, gray.shape), mono_ns)


def _with_face(track: Track, face: Face, shape: tuple[int, ...], mono_ns: int) -> Track:
    return replace(track, face=face, head=face_square(face, shape), seen_ns=mono_ns)


def _is_unmoved(track: Track, state: SearchState, shape: tuple[int, ...]) -> bool:
    """Whether the last search found the face and nothing has changed there since: then it is where it was."""
    return track.searched_ns == state.searched_ns and not motion_gate.any_changed(
        _changed_since_search(state), track.head, shape
    )


def _changed_since_search(state: SearchState) -> np.ndarray:
    """Which cells, bool (24, 32), have changed since the last search; all of them before the first."""
    import numpy as np

    if state.searched is None or state.last is None:
        return np.ones((motion_gate.HEIGHT, motion_gate.WIDTH), np.bool_)
    return motion_gate.changed_cells(motion_gate.thumbnail_difference(state.searched, state.last))


def _is_search_due(
    state: SearchState,
    detector: Detector,
    followed: bool,
    missed: bool,
    settings: Settings,
) -> bool:
    """Whether the whole frame is to be searched: faces are `followed`, and one of them was `missed`.

    What changed beside faces that are followed is another question.
    """
    since_s = (state.last_ns - state.searched_ns) / 1e9
    if state.searched is None or since_s >= settings.sweep_s:
        return True
    if not isinstance(detector, TwoStageDetector):
        return missed or motion_gate.is_motion(_changed_since_search(state))
    if missed:
        return state.recorded or state.credit >= 1
    return not followed and since_s >= settings.search_s and motion_gate.is_motion(_changed_since_search(state))


def _may_check_elsewhere(state: SearchState, missed: bool, settings: Settings) -> bool:
    """Whether it is time to ask for changes beside the faces: not in each frame, for asking has a price."""
    saved = state.credit >= 1 and not missed
    return (
        saved
        and state.last_ns - max(state.asked_ns + _ELSEWHERE_INTERVAL_NS, state.searched_ns + settings.search_s * 1e9)
        >= 0
    )


def _changed_elsewhere(state: SearchState, shape: tuple[int, ...]) -> bool:
    """Whether something changed where no face that is known, nor its shoulders, can be the cause."""
    known = [part for track in state.tracks for part in (search_view(track.head, shape), _shoulders(track.head))]
    return motion_gate.is_motion(motion_gate.excluding(_changed_since_search(state), known, shape))


def _shoulders(head: Square) -> Square:
    """Where shoulders and arms move: below a head, three times as wide."""
    left, top, size = head
    return left - size, top + size, 3 * size


def _search_frame(
    state: SearchState,
    tracks: dict[int, Track],
    detector: Detector,
    gray: np.ndarray,
    settings: Settings,
) -> SearchState:
    """The state after a search of the whole frame; `tracks` are the faces known so far, by number."""
    mono_ns = state.last_ns
    faces = detector.search(gray) if isinstance(detector, TwoStageDetector) else detector.detect(gray)
    faces = [face for face in faces if face.score >= settings.min_score]
    heads: list[Square] = [face_square(face, gray.shape) for face in faces]
    known = list(tracks.values())
    pairs = {j: i for i, j in match_squares([track.head for track in known], heads).items()}
    found, next_id = dict(tracks), state.next_id
    for j, face in enumerate(faces):
        track = known[pairs[j]] if j in pairs else Track(next_id, face, heads[j], 0)
        next_id += j not in pairs
        if track.seen_ns != mono_ns:  # else it was followed into this frame, and its box is the better one
            track = _with_face(track, face, gray.shape, mono_ns)
        found[track.id] = replace(track, searched_ns=mono_ns)
    if isinstance(detector, TwoStageDetector):
        for track in largest_first(tuple(found.values()))[: settings.max_faces]:
            if track.seen_ns == mono_ns and track.face.detector != detector.name:
                found[track.id] = _redetected(track, detector, gray, mono_ns, settings.min_score)
    return replace(
        state,
        tracks=without_duplicates(tuple(found.values())),
        next_id=next_id,
        searched=state.last,
        searched_ns=mono_ns,
        credit=max(0.0, state.credit - 1) if tracks else state.credit,
    )
