"""Detectors by name: BlazeFace on the classifier's interpreter, or OpenCV's Haar cascade without its files."""

from __future__ import annotations

from fer_edge.detection.blazeface import BlazeFace
from fer_edge.detection.download import INSTALL_COMMAND, detector_file
from fer_edge.detection.types import Detector
from fer_edge.errors import UsageError

# name: file, and (stride in px, anchors a cell) of its feature maps. Source: MediaPipe's modules/face_detection graphs.
_BLAZEFACE = {
    "blazeface-short-range": ("face_detection_short_range.tflite", ((8, 2), (16, 6))),
    "blazeface-back": ("face_detection_back.tflite", ((16, 2), (32, 6))),
    "blazeface-full-range": ("face_detection_full_range.tflite", ((4, 1),)),
}
DETECTORS = ("blazeface-zoomed", *_BLAZEFACE, "haar")

# Evidence from which on a box counts as a face. `python -m convert.crops --presence`, seeds 0 to 2, 7,744 scenes without a face
# and 4,069 found faces: .58 leaves 88 false boxes and loses 1.7 % of the faces, .59 62 and 2.0 %, .6 44 and 2.3 %. Aim: 64
# (2 in 242 scenes) and 2 %. The cascade's score is no probability; it has a threshold of its own.
BEGIN_EVIDENCE = 0.59


def begin_evidence(detector: str) -> float:
    """The evidence from which on a box of the detector of this name counts as a face."""
    return BEGIN_EVIDENCE if detector.startswith("blazeface") else 0.0


def find_detector(name: str | None = None, threads: int = 1) -> Detector:
    """The detector called `name`, or the best installed one: the first of DETECTORS that is, else haar.

    Raises UsageError with the install command when it is not installed, BundleRefused when its file is damaged.
    """
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
