"""Episodes: that a face showed one label for a while, with start, end and mean probabilities. A pure step, frame by frame.

A label opens an episode once it held, and ends it once another label held in its place, or abstention did, or the face was
away: a frame or two of something else neither end an episode nor make one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fer_edge.events import UNSURE

if TYPE_CHECKING:
    from device.vision.readings import Reading


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """When an episode opens and ends."""

    hold_s: float = 1.0  # for so long a label must hold before it counts
    away_s: float = 1.0  # a face unseen for longer has left
    longest_s: float = 600.0  # after that an episode is told and goes on as another, so that a crash cannot take hours
    unsure_below: float = 0.0  # a largest probability below this is no answer


@dataclass(frozen=True, slots=True)
class _LabelRun:
    """A label that a face showed, over the frames that showed it. `p` (K,) and `quality` are sums."""

    label: str
    start_ns: int
    last_ns: int
    frames: int
    p: tuple[float, ...]
    quality: float | None


@dataclass(frozen=True, slots=True)
class _FaceEpisodes:
    """What one face shows: the episode that is open, and another label that may take its place."""

    episode: _LabelRun | None
    rival: _LabelRun | None
    seen_ns: int


# A track's number, or, for faces nobody follows, -1 for the largest of a frame, -2 for the next …
OpenEpisodes = Mapping[int, _FaceEpisodes]
NO_EPISODES: OpenEpisodes = MappingProxyType({})


def update_episodes(
    state: OpenEpisodes, readings: Sequence[Reading], mono_ns: int, rules: EpisodeRules
) -> tuple[OpenEpisodes, list[dict[str, Any]]]:
    """The state after a moment, and the bodies of the `episode` events that ended in it, in the order of their faces.

    `readings` are those of the frame taken then: none where it showed no face. What a moment without a frame means is for
    the caller to say: nothing, or `close` when the camera is lost.
    """
    if not state and not readings:
        return state, []
    faces, bodies = dict(state), []
    for key, face in state.items():
        if mono_ns - face.seen_ns > rules.away_s * 1e9:
            del faces[key]
            bodies += _episode_bodies(key, face.episode, "left")
    for key, reading in _by_track(readings):
        faces[key], over, why = _update_face(
            faces.get(key, _FaceEpisodes(None, None, mono_ns)), reading, mono_ns, rules
        )
        bodies += _episode_bodies(key, over, why)
    return faces, bodies


def close_episodes(state: OpenEpisodes, why: str) -> list[dict[str, Any]]:
    """The bodies of the episodes that are open, ended by what ends them all: `lost`, `pause` or `end`."""
    return [body for key, face in state.items() for body in _episode_bodies(key, face.episode, why)]


def counted_label(reading: Reading, rules: EpisodeRules) -> str:
    """The label that a reading counts as: the steady one, `unsure` among them; without one its own, or `unsure`."""
    if reading.steady:
        return reading.steady
    return reading.label if float(max(reading.probs)) >= rules.unsure_below else UNSURE


def _by_track(readings: Sequence[Reading]) -> list[tuple[int, Reading]]:
    followed = [(reading.track, reading) for reading in readings if reading.track is not None]
    others = [reading for reading in readings if reading.track is None]
    others.sort(key=lambda reading: reading.face.xywh[2] * reading.face.xywh[3], reverse=True)
    return followed + [(-1 - rank, reading) for rank, reading in enumerate(others)]


def _update_face(
    face: _FaceEpisodes, reading: Reading, mono_ns: int, rules: EpisodeRules
) -> tuple[_FaceEpisodes, _LabelRun | None, str]:
    """The face after one more frame of it, and the episode that this ended, with the reason."""
    label = counted_label(reading, rules)
    episode, rival = face.episode, face.rival
    if episode is not None and label == episode.label:
        episode = _extended(episode, reading, mono_ns)
        if mono_ns - episode.start_ns < rules.longest_s * 1e9:
            return _FaceEpisodes(episode, None, mono_ns), None, ""
        return _FaceEpisodes(_new_run(label, reading, mono_ns), None, mono_ns), episode, "long"
    if rival is None or rival.label != label:
        rival = _new_run(label, reading, mono_ns)
    rival = _extended(rival, reading, mono_ns)
    if mono_ns - rival.start_ns < rules.hold_s * 1e9:
        return _FaceEpisodes(episode, rival, mono_ns), None, ""
    if label == UNSURE:
        return _FaceEpisodes(None, rival, mono_ns), episode, "unsure"
    return _FaceEpisodes(rival, None, mono_ns), episode, "changed"


def _new_run(label: str, reading: Reading, mono_ns: int) -> _LabelRun:
    return _LabelRun(label, mono_ns, mono_ns, 0, (0.0,) * len(reading.probs), None)


def _extended(shown: _LabelRun, reading: Reading, mono_ns: int) -> _LabelRun:
    p = tuple(total + value for total, value in zip(shown.p, reading.probs.tolist(), strict=True))
    quality = shown.quality if reading.quality is None else (shown.quality or 0.0) + reading.quality
    return _LabelRun(shown.label, shown.start_ns, mono_ns, shown.frames + 1, p, quality)


def _episode_bodies(key: int, shown: _LabelRun | None, why: str) -> list[dict[str, Any]]:
    """The body of the event that tells of an episode; none when there was none, or it only just went on as another."""
    if shown is None or not shown.frames:
        return []
    body = {
        "track": key if key >= 0 else None,
        "label": shown.label,
        "start_mono_s": round(shown.start_ns / 1e9, 3),
        "end_mono_s": round(shown.last_ns / 1e9, 3),
        "dwell_s": round((shown.last_ns - shown.start_ns) / 1e9, 3),
        "frames": shown.frames,
        "p": [round(total / shown.frames, 4) for total in shown.p],
        "quality": None if shown.quality is None else round(shown.quality / shown.frames, 3),
        "ended": why,
    }
    return [body]
