"""Which faces a frame shows: whole-frame searches now and then and after a change, and following from frame to frame between.

Following a face costs a tenth of a search, and nothing in a frame in which the face is where it was predicted. Searches are
paid from a credit that grows by one every `_FRAMES_PER_SEARCH` frames: on average they cost less than following does, however
much the picture changes, and a change after a quiet period is searched at once. A pure function of state and frame; a detector
that does not consist of two networks searches every frame in which something changed or a face was visible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from device.vision import motion_gate
from device.vision.far_search import FarState, is_inside, next_tiles
from device.vision.track_updates import redetected, with_found
from device.vision.tracks import Track, largest_first, predict, without_duplicates
from fer_edge.detection.boxes import Square
from fer_edge.detection.two_stage import NEAR_COST, TwoStageDetector, is_near_search_needed, search_view

if TYPE_CHECKING:
    import numpy as np

    from device.config import Settings
    from device.vision.prior import PriorEstimate
    from fer_edge.detection.types import Detector, Face

FORGET_S = 1.0  # a face unseen for longer, and not in the previous frame, is gone; a later one gets a new track
MAX_FORGET_S = 10.0  # the same, however long ago the previous frame was
_FRAMES_PER_SEARCH = 12  # frames in which a face is followed, for each search
_MAX_CREDIT = 2.0  # searches
_ELSEWHERE_INTERVAL_NS = 150_000_000  # between two checks for changes beside the faces
_NEAR_CHANGED_SHARE = 0.1  # of the cells; a face of 300 px in 640×480 covers .29
_REPLACED_SHARE = 0.75  # of a face's cells that changed between two frames: another picture, not the same one moved


@dataclass(frozen=True, slots=True)
class SearchState:
    """What is remembered between two frames: the tracks, and thumbnails int16 (24, 32) of the last and last searched frame.

    `changed` are the cells, bool (24, 32), that differ between the last two frames; None before there are two. `credit` is the
    number of searches that may be made. With `is_recording` frames wait, and a missed face is searched for at once.
    """

    tracks: tuple[Track, ...] = ()
    next_id: int = 1
    thumbnail: np.ndarray | None = None
    shape: tuple[int, ...] = ()  # (H, W) of the last frame
    frame_ns: int = 0
    searched_thumbnail: np.ndarray | None = None
    searched_ns: int = 0
    changed: np.ndarray | None = None
    elsewhere_checked_ns: int = 0  # when changes beside the faces were last checked for
    credit: float = _MAX_CREDIT
    far: FarState | None = None  # with the setting far_px
    searched_near: bool = False  # whether the last search also looked for faces that fill the frame
    is_recording: bool = False
    prior: PriorEstimate | None = None  # where the settings ask for it

    def reset(self) -> SearchState:
        """The state without any face and picture: what follows is another scene, of the same camera."""
        return SearchState(next_id=self.next_id, credit=self.credit, is_recording=self.is_recording, prior=self.prior)


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """The faces of one frame: those to read, the largest first; how many more there are; whether the frame was searched."""

    tracks: tuple[Track, ...]
    skipped: int
    searched: bool


def advance(state: SearchState, thumbnail: np.ndarray, shape: tuple[int, ...], mono_ns: int) -> SearchState:
    """The state at the beginning of a frame of `shape` (H, W) with this thumbnail.

    Tracks that were unseen for too long are dropped; after a cut to another scene, and for a frame of another size, the state
    is reset.
    """
    changed = None
    if state.shape != shape:  # of the first frame too
        return replace(state.reset(), thumbnail=thumbnail, shape=shape, frame_ns=mono_ns)
    if state.thumbnail is not None:
        difference = motion_gate.thumbnail_difference(state.thumbnail, thumbnail)
        if motion_gate.is_scene_cut(difference):
            return replace(state.reset(), thumbnail=thumbnail, shape=shape, frame_ns=mono_ns)
        changed = motion_gate.changed_cells(difference)
    tracks = tuple(track for track in state.tracks if _is_remembered(track, state.frame_ns, mono_ns))
    credit = min(_MAX_CREDIT, state.credit + 1 / _FRAMES_PER_SEARCH)
    return replace(state, tracks=tracks, thumbnail=thumbnail, frame_ns=mono_ns, changed=changed, credit=credit)


def _is_remembered(track: Track, previous_ns: int, mono_ns: int) -> bool:
    unseen_ns = mono_ns - track.seen_ns
    return unseen_ns <= FORGET_S * 1e9 or (track.seen_ns >= previous_ns and unseen_ns <= MAX_FORGET_S * 1e9)


def find_faces(
    state: SearchState, detector: Detector, gray: np.ndarray, settings: Settings
) -> tuple[SearchState, FoundFaces]:
    """The state after a frame uint8 (H, W), and the faces in it; `state` is the result of `advance`."""
    mono_ns = state.frame_ns
    tracks = {track.id: track for track in state.tracks}
    # a track that the last search did not find either is only remembered, in case the face comes back
    followed = [t for t in largest_first(state.tracks) if t.seen_ns >= state.searched_ns][: settings.max_faces]
    for track in followed:
        now = track
        if isinstance(detector, TwoStageDetector):
            now = _predicted(track, state, gray.shape) or redetected(track, detector, gray, mono_ns, settings.min_score)
        if now.seen_ns != mono_ns and _is_unmoved(track, state, gray.shape):
            now = replace(track, seen_ns=mono_ns)
        tracks[track.id] = now
    missed = any(tracks[track.id].seen_ns != mono_ns for track in followed)
    due = _is_search_due(state, detector, bool(followed), missed, settings)
    if (
        not due
        and followed
        and isinstance(detector, TwoStageDetector)
        and _may_check_elsewhere(state, missed, settings)
    ):
        state = replace(state, elsewhere_checked_ns=mono_ns)
        due = _changed_elsewhere(state, gray.shape)
    unfollowed: set[int] = set()
    if due:
        far = {track.id for track in state.tracks if track.is_far and track.seen_ns >= state.searched_ns}
        unfollowed = far - {track.id for track in followed}  # a search of the whole frame does not see these
        tracks |= {number: replace(tracks[number], seen_ns=mono_ns) for number in unfollowed}
        state = _search_frame(state, tracks, detector, gray, settings)
    else:  # the last search's unfollowed faces are assumed present until the next search, at unknown positions
        unfollowed = {t.id for t in state.tracks if t.seen_ns >= state.searched_ns} - {t.id for t in followed}
        known = (replace(track, seen_ns=mono_ns) if track.id in unfollowed else track for track in tracks.values())
        state = replace(state, tracks=without_duplicates(tuple(known)))
    if settings.far_px is not None and isinstance(detector, TwoStageDetector):
        state = _search_far(state, unfollowed, due, detector, gray, settings)
    present = [track for track in largest_first(state.tracks) if track.seen_ns == mono_ns]
    read = [track for track in present if track.id not in unfollowed][: settings.max_faces]
    return state, FoundFaces(tuple(read), len(present) - len(read), due)


def _search_far(
    state: SearchState,
    unfollowed: set[int],
    searched: bool,
    detector: TwoStageDetector,
    gray: np.ndarray,
    settings: Settings,
) -> SearchState:
    """The state after a search of the tiles whose turn it is; `searched` says whether the whole frame was searched too."""
    assert settings.far_px is not None
    mono_ns, first_new = state.frame_ns, state.next_id
    far, tiles = next_tiles(
        state.far, gray, settings.far_px, state.changed, mono_ns, busy=searched, at_once=state.is_recording
    )
    if not tiles:
        return replace(state, far=far)
    faces = [face for tile in tiles for face in detector.search_tile(gray, tile)]
    # a face that is not followed is gone when its tile does not show it any more
    gone = {t.id for t in state.tracks if t.id in unfollowed and any(is_inside(t.head, tile) for tile in tiles)}
    known = {t.id: replace(t, seen_ns=state.searched_ns - 1) if t.id in gone else t for t in state.tracks}
    found, next_id = with_found(known, faces, first_new, mono_ns, detector, gray, settings)
    tracks = (replace(t, is_far=True) if t.id >= first_new else t for t in found.values())
    return replace(state, far=far, next_id=next_id, tracks=without_duplicates(tuple(tracks)))


def _predicted(track: Track, state: SearchState, shape: tuple[int, ...]) -> Track | None:
    """The track at its predicted position; None when it must be detected, as when most of the picture there was replaced."""
    if not track.predictable or state.changed is None:
        return None
    if motion_gate.changed_share(state.changed, track.head, shape) > _REPLACED_SHARE:
        return None
    return predict(track, state.frame_ns, shape)


def _is_unmoved(track: Track, state: SearchState, shape: tuple[int, ...]) -> bool:
    """Whether the last search found the face and nothing has changed there since, so that it is still in its place."""
    if track.searched_ns != state.searched_ns:
        return False
    return not motion_gate.any_changed(_changed_since_search(state), track.head, shape)


def _changed_since_search(state: SearchState) -> np.ndarray:
    """Which cells, bool (24, 32), have changed since the last search; all of them before the first."""
    import numpy as np

    if state.searched_thumbnail is None or state.thumbnail is None:
        return np.ones((motion_gate.HEIGHT, motion_gate.WIDTH), np.bool_)
    return motion_gate.changed_cells(motion_gate.thumbnail_difference(state.searched_thumbnail, state.thumbnail))


def _is_search_due(state: SearchState, detector: Detector, followed: bool, missed: bool, settings: Settings) -> bool:
    """Whether the whole frame must be searched: `followed` says that faces are followed, `missed` that one was not found.

    Changes beside followed faces are checked separately.
    """
    since_s = (state.frame_ns - state.searched_ns) / 1e9
    if state.searched_thumbnail is None or since_s >= settings.sweep_s:
        return True
    if not isinstance(detector, TwoStageDetector):
        return missed or motion_gate.is_motion(_changed_since_search(state))
    if missed:
        return state.is_recording or state.credit >= 1
    # a search with a near search takes longer, so the next one comes later: on average a frame costs no more
    wait_s = settings.search_s * (1 + NEAR_COST * state.searched_near)
    return not followed and since_s >= wait_s and motion_gate.is_motion(_changed_since_search(state))


def _may_check_elsewhere(state: SearchState, missed: bool, settings: Settings) -> bool:
    """Whether changes beside the faces may be checked for now: not in each frame, because the check has a cost."""
    affordable = state.credit >= 1 and not missed
    earliest_ns = max(state.elsewhere_checked_ns + _ELSEWHERE_INTERVAL_NS, state.searched_ns + settings.search_s * 1e9)
    return affordable and state.frame_ns - earliest_ns >= 0


def _changed_elsewhere(state: SearchState, shape: tuple[int, ...]) -> bool:
    """Whether something changed outside all known faces and their shoulders."""
    known = [part for track in state.tracks for part in (search_view(track.head, shape), _shoulders(track.head))]
    return motion_gate.is_motion(motion_gate.excluding(_changed_since_search(state), known, shape))


def _shoulders(head: Square) -> Square:
    """The square in which shoulders and arms move: below a head, three times as wide."""
    left, top, size = head
    return left - size, top + size, 3 * size


def _search_frame(
    state: SearchState, tracks: dict[int, Track], detector: Detector, gray: np.ndarray, settings: Settings
) -> SearchState:
    """The state after a search of the whole frame; `tracks` are the faces known so far, by number."""
    faces, near = _searched(state, detector, gray)
    found, next_id = with_found(tracks, faces, state.next_id, state.frame_ns, detector, gray, settings)
    cost = 1 + near * NEAR_COST
    return replace(
        state,
        tracks=without_duplicates(tuple(found.values())),
        next_id=next_id,
        searched_thumbnail=state.thumbnail,
        searched_ns=state.frame_ns,
        searched_near=near,
        credit=max(0.0, state.credit - cost) if tracks else state.credit,
    )


def _searched(state: SearchState, detector: Detector, gray: np.ndarray) -> tuple[list[Face], bool]:
    """The faces in the whole frame, and whether the near search was made too."""
    if not isinstance(detector, TwoStageDetector):
        return detector.detect(gray), False
    faces = detector.search(gray, near=False)
    near = is_near_search_needed(faces) and _may_fill_frame(state)
    return faces + (detector.search_near(gray) if near else []), near


def _may_fill_frame(state: SearchState) -> bool:
    """Whether a face may fill the frame: one was followed, or so much changed since the last search as such a face covers."""
    import numpy as np

    changed = _changed_since_search(state)
    return bool(state.tracks) or int(np.count_nonzero(changed)) >= _NEAR_CHANGED_SHARE * changed.size
