"""The step from a frame to the readings of its faces: find, crop, classify. It remembers nothing and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.vision.frames import Frame, Reading
from fer_edge.faces import largest_first

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle
    from fer_edge.faces import Detector


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A detector and a bundle, put together by the bundle's mapping for that detector."""

    detector: Detector
    bundle: Bundle

    def readings(self, frame: Frame, min_score: float = 0.0) -> list[Reading]:
        """What each face of `frame` shows, the largest face first; empty without a face of that score (0–1) or more."""
        faces = [face for face in largest_first(self.detector.detect(frame.gray)) if face.score >= min_score]
        return [
            Reading(frame.seq, frame.mono_ns, face, self.bundle.labels[int(row.argmax())], row)
            for face, row in zip(faces, self.bundle.classify_faces(frame.gray, faces, self.detector.name), strict=True)
        ]
