"""The step from a frame to the readings of its faces: look, find, crop, classify, smooth. It writes nothing.

What is remembered between two frames is a value of its own: the same state and frame give the same readings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.config import Settings
from device.vision import motion_gate, search, smoothing
from device.vision.quality import crop_quality
from device.vision.readings import FrameResult, Reading
from device.vision.search import SearchState
from device.vision.tracks import Track
from fer_edge.preprocess import CropMapping, crop_rotation_rad, crop_square, cut_square, subsample_square

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle
    from fer_edge.detection.types import Detector

StageCallback = Callable[[str], None]  # told the name of each stage as it ends: gate, detect, crop, classify, smooth


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A detector and a bundle, put together by the bundle's mapping for that detector."""

    detector: Detector
    bundle: Bundle
    _mappings: dict[str, CropMapping] = field(default_factory=dict, compare=False, repr=False)  # those asked for so far

    def step(
        self, state: SearchState, frame: Frame, settings: Settings, lap: StageCallback | None = None
    ) -> tuple[SearchState, FrameResult]:
        """The state after `frame`, and what it showed."""
        state = search.advance(state, motion_gate.thumbnail(frame.gray), frame.mono_ns)
        if lap:
            lap("gate")
        state, found = search.find_faces(state, self.detector, frame.gray, settings)
        if lap:
            lap("detect")
        if not found.tracks:
            return state, FrameResult(skipped=found.skipped, idle=not (found.searched or state.tracks))
        read = self._read(frame, found.tracks, settings, lap)
        tracks = {track.id: track for track, _ in read}
        state = replace(state, tracks=tuple(tracks.get(track.id, track) for track in state.tracks))
        return state, FrameResult(tuple(reading for _, reading in read), found.skipped)

    def _read(
        self, frame: Frame, tracks: tuple[Track, ...], settings: Settings, lap: StageCallback | None
    ) -> list[tuple[Track, Reading]]:
        """Each of the faces after this frame, and its reading."""
        import numpy as np

        from fer_edge.classifier import softmax

        bundle, name = self.bundle, self.detector.name
        crops, rated = [], []
        for face in (track.face for track in tracks):
            mapping = self._mapping(face.detector or name)
            at = crop_square(face.xywh, mapping, frame.gray.shape)
            crop = cut_square(*subsample_square(frame.gray, at), bundle.side, crop_rotation_rad(mapping, face.eyes))
            crops.append(crop)
            rated.append(crop_quality(crop, face, at[2]))
        if lap:
            lap("crop")
        logits = bundle.classifier.logits(np.stack(crops) if len(crops) > 1 else crops[0][None])
        if lap:
            lap("classify")
        rules = self._rules(settings)
        probs = softmax(logits / bundle.temperature)
        read = []
        for track, row, p, q in zip(tracks, logits, probs, rated, strict=True):
            steady = smoothing.smooth(track.steady, row, q, frame.mono_ns, bundle.labels, bundle.temperature, rules)
            reading = Reading(
                frame.seq,
                frame.mono_ns,
                track.face,
                bundle.labels[int(p.argmax())],
                p,
                track.id,
                q.value,
                steady.label,
                steady.probs,
                steady.why,
            )
            read.append((replace(track, frames=track.frames + 1, steady=steady), reading))
        if lap:
            lap("smooth")
        return read

    def _mapping(self, detector: str) -> CropMapping:
        if (mapping := self._mappings.get(detector)) is None:
            mapping = self._mappings[detector] = self.bundle.mapping(detector)
        return mapping

    def _rules(self, settings: Settings) -> smoothing.SmoothingRules:
        below = settings.unsure_below
        if below is None:
            below = self.bundle.spec.thresholds.unsure_below
        return smoothing.SmoothingRules(settings.smooth_s, settings.dwell_s, below, settings.min_quality)
