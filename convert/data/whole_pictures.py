"""Whether the pictures of a set look like whole scenes instead of face crops: judged by their sizes and a face detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.data.archives import READ_ERRORS, Container
from fer_edge.detection.registry import counted_faces, find_detector
from fer_edge.detection.types import Detector
from fer_edge.limits import PICTURE_FILE_BYTES

PICTURES = 24  # of the set, evenly spaced, that are looked at
MIN_SIDE_PX = 96  # of the shorter side; a face in a smaller picture would be too small for a crop
OBLONG = 1.2  # the longer side over the shorter one, from which on a picture is not square
FACE_SHARE = 0.5  # of the shorter side that a face crop's box exceeds; crops for the models are 1.1 to 1.6 boxes wide
OBLONG_FACE_SHARE = 0.7  # the same where the picture is not square


def whole_pictures(files: Container, names: Sequence[str]) -> str | None:
    """A sentence for the user when half of the pictures `names`, or more, look like whole pictures; else None.

    A picture does when its face is small in it, or when it is not square and no face is found. Small pictures never do.
    """
    some = [names[round(at)] for at in np.linspace(0, len(names) - 1, min(PICTURES, len(names)))] if names else []
    pictures = [gray for name in some if (gray := _picture(files, name)) is not None]
    large = [gray for gray in pictures if min(gray.shape) >= MIN_SIDE_PX]
    if 2 * len(large) < len(pictures) or not large:
        return None
    detector = find_detector()
    whole = sum(_is_whole(gray, detector) for gray in large)
    if 2 * whole < len(pictures):
        return None
    height, width = large[0].shape
    return (
        f"warning: these look like whole pictures ({whole} of {len(pictures)} looked at, such as {width}×{height} px), and"
        " models take face crops; `python -m convert.data PATH --crop OUT` cuts the faces out"
    )


def _picture(files: Container, name: str) -> np.ndarray | None:
    """The picture as gray uint8 (H, W); None where it cannot be read."""
    import cv2

    try:
        return cv2.imdecode(np.frombuffer(files.read(name, PICTURE_FILE_BYTES), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (*READ_ERRORS, cv2.error, MemoryError):
        return None


def _is_whole(gray: np.ndarray, detector: Detector) -> bool:
    shorter, longer = sorted(gray.shape)
    oblong = longer >= OBLONG * shorter
    faces = counted_faces(detector, gray)
    if not faces:
        return oblong
    return max(faces[0].xywh[2:]) < (OBLONG_FACE_SHARE if oblong else FACE_SHARE) * shorter
