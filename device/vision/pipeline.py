"""From a frame to the readings of its faces: motion gate, search, crop, classify, smooth. No input or output.

What is remembered between two frames is a value: the same state and frame give the same readings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.config import Settings
from device.prior_setting import ESTIMATE, TRAINING
from device.vision import motion_gate, search
from device.vision.prior import PriorEstimate, update_prior
from device.vision.readings import FrameResult, Reading
from device.vision.search import SearchState
from device.vision.smoothing import LabelSpace, SmoothingRules, smooth
from device.vision.tracks import Track
from fer_edge.certainty import thresholds_by_label
from fer_edge.face_crop import frame_crop
from fer_edge.label_priors import parse_stated_prior, prior_ratio, training_prior
from fer_edge.quality import crop_quality

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle import Bundle
    from fer_edge.detection.types import Detector, Face

StageCallback = Callable[[str], None]  # called with each stage's name as it ends: gate, detect, crop, classify, smooth


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A detector and a bundle, combined by the bundle's mapping from the detector's boxes to crops."""

    detector: Detector
    bundle: Bundle
    _shifts: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)  # a cache, by stated prior

    def process(
        self, state: SearchState, frame: Frame, settings: Settings, stage_ended: StageCallback | None = None
    ) -> tuple[SearchState, FrameResult]:
        """The state after `frame`, and the frame's readings."""
        state = search.advance(state, motion_gate.thumbnail(frame.gray), frame.gray.shape, frame.mono_ns)
        if stage_ended:
            stage_ended("gate")
        state, found = search.find_faces(state, self.detector, frame.gray, settings)
        if stage_ended:
            stage_ended("detect")
        if not found.tracks:
            return state, FrameResult(skipped=found.skipped, idle=not (found.searched or state.tracks))
        estimate = None
        if settings.prior == ESTIMATE:
            estimate = state.prior or PriorEstimate.start(training_prior(self.bundle.spec))
        read, estimate = self._read(frame, found.tracks, settings, estimate, stage_ended)
        tracks = {track.id: track for track, _ in read}
        current = tuple(tracks.get(track.id, track) for track in state.tracks)
        state = replace(state, tracks=current, prior=estimate or state.prior)  # kept while another prior is stated
        return state, FrameResult(tuple(reading for _, reading in read), found.skipped)

    def require_prior(self, settings: Settings) -> None:
        """Raises UsageError when the settings state a prior of a label that the bundle does not have."""
        self._stated_shift(settings)

    def crop(self, gray: np.ndarray, face: Face) -> tuple[np.ndarray, int]:
        """The model's input, uint8 (side, side), of a face found in `gray` uint8 (H, W), and the px of its square's side."""
        mapping = self.bundle.mapping(face.detector or self.detector.name)
        return frame_crop(gray, face.xywh, self.bundle.side, mapping, face.eyes)

    def _read(
        self,
        frame: Frame,
        tracks: tuple[Track, ...],
        settings: Settings,
        prior: PriorEstimate | None,
        stage_ended: StageCallback | None,
    ) -> tuple[list[tuple[Track, Reading]], PriorEstimate | None]:
        """Each of the tracks after this frame, and its reading; and the prior that the next frame gets, None without one."""
        import numpy as np

        from fer_edge.classifier import softmax

        bundle = self.bundle
        crops, qualities = [], []
        for face in (track.face for track in tracks):
            crop, side_px = self.crop(frame.gray, face)
            crops.append(crop)
            qualities.append(crop_quality(crop, face, side_px))
        if stage_ended:
            stage_ended("crop")
        logits = bundle.classifier.logits(np.stack(crops) if len(crops) > 1 else crops[0][None])
        if stage_ended:
            stage_ended("classify")
        rules, space = self._smoothing_rules(settings), LabelSpace(bundle.labels, bundle.temperature)
        probs = softmax(logits / bundle.temperature)
        shift = self._stated_shift(settings)
        if prior is not None:
            good = np.array([quality.value >= settings.min_quality for quality in qualities])
            shift, prior = prior.logit_shift, update_prior(prior, probs[good], frame.mono_ns)
        if shift is not None:
            logits = (logits + bundle.temperature * shift).astype(np.float32)
            probs = softmax(logits / bundle.temperature)
        read = []
        for track, row, p, quality in zip(tracks, logits, probs, qualities, strict=True):
            smoothed = smooth(track.smoothed, row, quality, frame.mono_ns, space, rules)
            reading = Reading(
                frame=frame.seq,
                mono_ns=frame.mono_ns,
                face=track.face,
                label=bundle.labels[int(p.argmax())],
                probs=p,
                steady=smoothed.label,
                track=track.id,
                quality=quality.value,
                steady_probs=smoothed.probs,
                why=smoothed.why,
            )
            read.append((replace(track, readings=track.readings + 1, smoothed=smoothed), reading))
        if stage_ended:
            stage_ended("smooth")
        return read, prior

    def _stated_shift(self, settings: Settings) -> np.ndarray | None:
        """What the owner's prior adds to logits over the temperature; None without one."""
        import numpy as np

        if settings.prior in (TRAINING, ESTIMATE):
            return None
        if (shift := self._shifts.get(settings.prior)) is None:
            ratio = prior_ratio(self.bundle.spec, parse_stated_prior(settings.prior))
            shift = self._shifts[settings.prior] = np.log(np.asarray(ratio))
        return shift

    def _smoothing_rules(self, settings: Settings) -> SmoothingRules:
        below = thresholds_by_label(self.bundle.spec, settings.unsure_below)
        return SmoothingRules(settings.smooth_s, settings.min_dwell_s, below, settings.min_quality)
