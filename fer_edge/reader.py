"""Reading a picture: from an array in memory to the faces in it, each with its box, label and probabilities.

from fer_edge import Reader

for face in Reader().read(image):  # numpy, as cv2.imread gives it
    print(face.xywh, face.label, face.probabilities, face.quality)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.bundle import Bundle
from fer_edge.certainty import thresholds_by_label
from fer_edge.detection.registry import counted_faces, find_detector
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError
from fer_edge.events import UNSURE
from fer_edge.face_crop import crop_whole_image
from fer_edge.label_priors import parse_stated_prior, prior_ratio, weighted
from fer_edge.quality import Quality, crop_quality, unsure_reason

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.types import Detector


@dataclass(frozen=True)
class Prediction:
    """One face of a picture: `label` is what the camera loop would report of this one picture, a label or "unsure".

    `why` is the reason for "unsure": "confidence", or what limits the quality of the crop; else empty. `best_label` is the
    most probable label in any case. `probabilities` has the probability of each label, in the bundle's order; `quality` (0–1)
    says how far the crop can be trusted. `face` has box, score and eyes; None where the picture was a face crop itself.
    """

    face: Face | None
    label: str
    probabilities: Mapping[str, float]
    quality: float
    why: str
    best_label: str

    @property
    def xywh(self) -> tuple[int, int, int, int] | None:
        """The box of the face in px: left, top, width and height; None where the picture was a face crop itself."""
        return self.face.xywh if self.face else None


class Reader:
    """Reads pictures with a bundle and a face detector, in memory: it writes no file and opens no socket.

    `bundle` is a bundle, its folder, or a name such as "nano"; None is the one in use on this machine, else the shipped
    default (`Bundle.load`). `detector` is a detector or its name; None is the best one installed (`find_detector`). `prior`
    states how often a label occurs, as `fer-edge run --prior`: "neutral=0.3"; None is as in training. The networks are
    loaded on first use. A reader is for one thread at a time. Raises UsageError or BundleRefused where the bundle, the
    detector or the prior cannot be used.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str | None = None,
        detector: Detector | str | None = None,
        prior: str | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        self._ratio = prior_ratio(self.bundle.spec, None if prior is None else parse_stated_prior(prior))
        self._detector = find_detector(detector) if isinstance(detector, str) else detector

    @cached_property
    def detector(self) -> Detector:
        """The face detector."""
        return self._detector or find_detector()

    def read(self, image: np.ndarray, *, is_crop: bool = False, far_px: int | None = None) -> tuple[Prediction, ...]:
        """The faces of a picture, the largest first, each once; empty without a face.

        `image` is uint8, gray (H, W) or BGR (H, W, 3). With `is_crop` it is one face crop, as in data sets. With `far_px`,
        tiles of it are searched too, for faces of that side and more. Raises UsageError for another image, and when the
        detector cannot search tiles.
        """
        gray = gray_image(image)
        if is_crop:
            height, width = gray.shape
            crop = crop_whole_image(gray, self.bundle.side)
            quality = crop_quality(crop, Face((0, 0, width, height), 1.0), max(height, width))
            return self._predictions([None], [crop], [quality])
        detector, bundle = self.detector, self.bundle
        faces = counted_faces(detector, gray, far_px)
        crops = [bundle.crop(gray, face, detector.name) for face in faces]
        qualities = [bundle.quality(crop, gray, face, detector.name) for crop, face in zip(crops, faces, strict=True)]
        return self._predictions(faces, crops, qualities)

    def _predictions(
        self, faces: Sequence[Face | None], crops: Sequence[np.ndarray], qualities: Sequence[Quality]
    ) -> tuple[Prediction, ...]:
        """The predictions for crops uint8 (side, side) of these faces."""
        import numpy as np

        if not crops:
            return ()
        bundle, predictions = self.bundle, []
        thresholds = thresholds_by_label(bundle.spec)
        rows = weighted(bundle.classify(np.stack(crops)), self._ratio)
        for face, p, quality in zip(faces, rows, qualities, strict=True):
            best = int(p.argmax())
            label, why = bundle.labels[best], unsure_reason(float(p[best]), quality, thresholds[best])
            probabilities = dict(zip(bundle.labels, p.tolist(), strict=True))
            predictions.append(Prediction(face, UNSURE if why else label, probabilities, quality.value, why, label))
        return tuple(predictions)


def gray_image(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W) or BGR (H, W, 3) as gray uint8 (H, W). Raises UsageError for anything else."""
    import cv2
    import numpy as np

    if not isinstance(image, np.ndarray):
        hint = "cv2.imread gives None for a file that it cannot read" if image is None else "cv2.imread reads a file"
        raise UsageError(f"an image must be a numpy array, not {type(image).__name__}; {hint}")
    is_form_right = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_form_right or not image.size:
        shape = "×".join(map(str, image.shape)) or "no size"
        raise UsageError(
            f"an image must be uint8, gray (H, W) or BGR (H, W, 3), as cv2.imread gives it, not {image.dtype} of {shape}"
        )
    whole = np.ascontiguousarray(image)
    return whole if image.ndim == 2 else np.asarray(cv2.cvtColor(whole, cv2.COLOR_BGR2GRAY), np.uint8)
