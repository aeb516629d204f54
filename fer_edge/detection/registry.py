"""Detectors by name: BlazeFace on the classifier's interpreter, or OpenCV's Haar cascade without its files."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

from fer_edge.detection.blazeface import BlazeFace
from fer_edge.detection.download import INSTALL_COMMAND, detector_file
from fer_edge.detection.tiles import MIN_FAR_PX
from fer_edge.detection.types import Detector, Face, largest_first
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.two_stage import TwoStageDetector

# name: file, and (stride in px, anchors a cell) of its feature maps. Source: MediaPipe's modules/face_detection graphs.
_BLAZEFACE = {
    "blazeface-short-range": ("face_detection_short_range.tflite", ((8, 2), (16, 6))),
    "blazeface-back": ("face_detection_back.tflite", ((16, 2), (32, 6))),
    "blazeface-full-range": ("face_detection_full_range.tflite", ((4, 1),)),
}
DETECTORS = ("blazeface-zoomed", *_BLAZEFACE, "haar")

# Evidence from which on a box counts as a face: the threshold of `python -m convert.crops --detection-errors` that leaves at
# most 2 false positives in 242 scenes without a face and misses at most 2 % of the faces, over the seeds 0, 1, and 2 with
# --negatives 3872. The cascade's score is no probability; it has a threshold of its own.
BEGIN_EVIDENCE = 0.59


def begin_evidence(detector: str) -> float:
    """The detection threshold of the detector of this name, 0–1: a box whose `Face.evidence` is below it counts as no face."""
    return BEGIN_EVIDENCE if detector.startswith("blazeface") else 0.0


def counted_faces(detector: Detector, gray: np.ndarray, far_px: int | None = None) -> list[Face]:
    """The faces in a picture uint8 (H, W) whose evidence suffices for them to count, the largest first.

    With `far_px`, tiles are searched too, for faces of that side and more. Raises UsageError when the detector cannot do that,
    and for another `far_px` than a whole number of MIN_FAR_PX or more.
    """
    if far_px is not None and (not isinstance(far_px, Integral) or far_px < MIN_FAR_PX):
        raise UsageError(f"far_px must be a whole number of {MIN_FAR_PX} or more, not {far_px!r}")
    found = detector.detect(gray) if far_px is None else require_far_search(detector).detect(gray, far_px)
    least = begin_evidence(detector.name)
    return largest_first([face for face in found if face.evidence >= least])


def require_far_search(detector: Detector) -> TwoStageDetector:
    """The detector, as one that can search tiles for small faces. Raises UsageError when it cannot."""
    from fer_edge.detection.two_stage import NAME, TwoStageDetector

    if isinstance(detector, TwoStageDetector):
        return detector
    raise UsageError(
        f"small faces are searched for by the detector {NAME} alone, not by {detector.name}; `{INSTALL_COMMAND}` installs it,"
        " or leave out --far (far_px)"
    )


def find_detector(name: str | None = None, threads: int = 1, far_px: int | None = None) -> Detector:
    """The detector called `name`, or the best installed one: the first of DETECTORS that is, else haar.

    With `far_px` it must be one that can search tiles for faces of that side. Raises UsageError when it cannot, or, with the
    install command, when it is not installed, BundleRefused when its file is damaged.
    """
    if not isinstance(threads, Integral) or threads < 1:
        raise UsageError(f"threads must be a whole number of 1 or more, not {threads!r}")
    detector = _find(name, threads)
    return detector if far_px is None else require_far_search(detector)


def _find(name: str | None, threads: int) -> Detector:
    if name is not None and name not in DETECTORS:
        raise UsageError(f"there is no detector “{name}”; choose one of {', '.join(DETECTORS)}")
    for wanted in (name,) if name else DETECTORS:
        if (detector := _found(wanted, threads)) is not None:
            return detector
    raise UsageError(f"the detector “{name}” is not installed; `{INSTALL_COMMAND}` installs it")


def _found(name: str, threads: int) -> Detector | None:
    """The detector called `name`, or None when one of its files is not installed."""
    if name == "haar":
        from fer_edge.detection.haar import HaarDetector

        return HaarDetector()
    if name in _BLAZEFACE:
        file, strides = _BLAZEFACE[name]
        return None if (path := detector_file(file)) is None else BlazeFace(path, name, strides, threads)
    from fer_edge.detection.two_stage import TwoStageDetector

    far, near = _found("blazeface-back", threads), _found("blazeface-short-range", threads)
    return TwoStageDetector(far, near) if isinstance(far, BlazeFace) and isinstance(near, BlazeFace) else None
