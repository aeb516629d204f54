"""Episodes: a face showed one label for a while, with start, end and mean probabilities. A pure function, frame by frame.

A label opens an episode once it has held for `hold_s`. The episode ends once another label or abstention has held in its place,
or the face is gone: a frame or two of another label neither end an episode nor open one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from device.output.arrivals import Arrivals
from fer_edge.events import UNSURE

if TYPE_CHECKING:
    from device.output.event_bodies import EpisodeBody
    from device.vision.readings import Reading


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """When an episode opens and ends."""

    hold_s: float = 1.0  # for which a label must hold before it counts
    away_s: float = 1.0  # a face unseen for longer, and not in the previous processed frame, has left
    longest_s: float = (
        600.0  # after which an episode is recorded and continues as another, so that a crash loses no hours
    )


@dataclass(frozen=True, slots=True)
class _LabelRun:
    """A label that a face showed without interruption. `p` (K,) and `quality` are sums over its frames."""

    label: str
    start_ns: int
    last_ns: int
    frames: int
    p: tuple[float, ...]
    quality: float | None


@dataclass(frozen=True, slots=True)
class _FaceEpisodes:
    """The open episode of one face, and another label that may take its place."""

    episode: _LabelRun | None
    candidate: _LabelRun | None
    seen_ns: int


@dataclass(frozen=True, slots=True)
class OpenEpisodes:
    """The faces and their open episodes, and the frames so far.

    A face's key is its track's number; for faces without a track it is -1 for the largest of a frame, -2 for the next …
    """

    faces: Mapping[int, _FaceEpisodes] = field(default_factory=dict)
    arrivals: Arrivals = Arrivals()  # noqa: RUF009 - it is immutable


NO_EPISODES = OpenEpisodes()


def update_episodes(
    episodes: OpenEpisodes, readings: Sequence[Reading], mono_ns: int, rules: EpisodeRules
) -> tuple[OpenEpisodes, list[EpisodeBody]]:
    """The open episodes after a frame, and the bodies of the `episode` events that ended in it, in the order of their faces.

    `readings` are those of the frame taken at `mono_ns`; none where it showed no face. The caller handles moments without a
    frame: by nothing, or by `close_episodes` when the camera is lost; and dropped frames by `add_dropped_frame`.
    """
    arrivals, away_ns = episodes.arrivals, round(rules.away_s * 1e9)
    faces, bodies = dict(episodes.faces), []
    for key, face in episodes.faces.items():
        if not arrivals.is_present(face.seen_ns, mono_ns, away_ns):
            del faces[key]
            bodies += _episode_bodies(key, face.episode, "left")
    for key, reading in _by_track(readings):
        faces[key], ended, why = _update_face(
            faces.get(key, _FaceEpisodes(None, None, mono_ns)), reading, mono_ns, rules
        )
        bodies += _episode_bodies(key, ended, why)
    return OpenEpisodes(faces, arrivals.add(mono_ns, processed=True)), bodies


def add_dropped_frame(episodes: OpenEpisodes, mono_ns: int) -> OpenEpisodes:
    """The open episodes after a frame that was dropped: faces are in it as in the last processed one, as far as is known."""
    return replace(episodes, arrivals=episodes.arrivals.add(mono_ns, processed=False))


def close_episodes(episodes: OpenEpisodes, why: str) -> list[EpisodeBody]:
    """The bodies of the episodes that are open, with the common reason of their end: `lost`, `pause` or `end`."""
    return [body for key, face in episodes.faces.items() for body in _episode_bodies(key, face.episode, why)]


def _by_track(readings: Sequence[Reading]) -> list[tuple[int, Reading]]:
    tracked = [(reading.track, reading) for reading in readings if reading.track is not None]
    others = [reading for reading in readings if reading.track is None]
    others.sort(key=lambda reading: reading.face.xywh[2] * reading.face.xywh[3], reverse=True)
    return tracked + [(-1 - rank, reading) for rank, reading in enumerate(others)]


def _update_face(
    face: _FaceEpisodes, reading: Reading, mono_ns: int, rules: EpisodeRules
) -> tuple[_FaceEpisodes, _LabelRun | None, str]:
    """The face after one more frame, and the episode that this frame ended, with the reason."""
    label = reading.steady
    episode, candidate = face.episode, face.candidate
    if episode is not None and label == episode.label:
        episode = _extended(episode, reading, mono_ns)
        if mono_ns - episode.start_ns < rules.longest_s * 1e9:
            return _FaceEpisodes(episode, None, mono_ns), None, ""
        return _FaceEpisodes(_new_run(label, reading, mono_ns), None, mono_ns), episode, "long"
    if candidate is None or candidate.label != label:
        candidate = _new_run(label, reading, mono_ns)
    candidate = _extended(candidate, reading, mono_ns)
    if mono_ns - candidate.start_ns < rules.hold_s * 1e9:
        return _FaceEpisodes(episode, candidate, mono_ns), None, ""
    if label == UNSURE:
        return _FaceEpisodes(None, candidate, mono_ns), episode, "unsure"
    return _FaceEpisodes(candidate, None, mono_ns), episode, "changed"


def _new_run(label: str, reading: Reading, mono_ns: int) -> _LabelRun:
    return _LabelRun(label, mono_ns, mono_ns, 0, (0.0,) * len(reading.probs), None)


def _extended(run: _LabelRun, reading: Reading, mono_ns: int) -> _LabelRun:
    p = tuple(total + value for total, value in zip(run.p, reading.probs.tolist(), strict=True))
    quality = run.quality if reading.quality is None else (run.quality or 0.0) + reading.quality
    return _LabelRun(run.label, run.start_ns, mono_ns, run.frames + 1, p, quality)


def _episode_bodies(key: int, run: _LabelRun | None, why: str) -> list[EpisodeBody]:
    """The body of the event of an episode; none where there was no episode, or it continues another and has no frame yet."""
    if run is None or not run.frames:
        return []
    return [
        {
            "track": key if key >= 0 else None,
            "label": run.label,
            "start_mono_s": round(run.start_ns / 1e9, 3),
            "end_mono_s": round(run.last_ns / 1e9, 3),
            "dwell_s": round((run.last_ns - run.start_ns) / 1e9, 3),
            "frames": run.frames,
            "p": [round(total / run.frames, 4) for total in run.p],
            "quality": None if run.quality is None else round(run.quality / run.frames, 3),
            "ended": why,
        }
    ]
