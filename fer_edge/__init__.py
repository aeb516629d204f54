"""Facial-expression classification on the edge: the part that host and device share.

The public interface is what `__all__` lists; everything else may change without notice. Names are imported on first use, so
that `import fer_edge` is fast.

    from fer_edge import Reader

    for face in Reader().read(image):  # numpy, as cv2.imread gives it
        print(face.xywh, face.label, face.probabilities, face.quality)

    Reader             reads a picture in memory: its faces, each as a Prediction
    Prediction         one face of a picture: its box, label or "unsure", probabilities, quality
    Bundle             a folder with a model and everything that a device needs to know of it; `Bundle.load` opens one
    BundleSpec         bundle.json as typed values
    Classifier         a model on a runtime: face crops to logits and probabilities
    find_detector      the face detector of a name, or the best installed one
    Face               a detected face: box, score, eyes
    Event              one line of a journal
    LABELS             the seven expressions, in the order of every model
    FerEdgeError       every error that is raised on purpose, with the exit code of a command that it ends; its subclasses:
    UsageError         an argument, a file or a value is wrong
    DataError          a path does not hold a readable data set
    ParityFailed       the int8 model is outside the margins
    CameraNotOpened    the camera could not be opened
    BundleRefused      a bundle is incomplete, altered or not for this version
    NotEnoughData      too little data for a result
    Unhealthy          an instance, a journal or the machine needs attention
    NotRunning         no instance of the name runs
    RestartNeeded      the process must be started again
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle
    from fer_edge.bundle_spec import BundleSpec
    from fer_edge.classifier import Classifier
    from fer_edge.detection.registry import find_detector
    from fer_edge.detection.types import Face
    from fer_edge.errors import (
        BundleRefused,
        CameraNotOpened,
        DataError,
        FerEdgeError,
        NotEnoughData,
        NotRunning,
        ParityFailed,
        RestartNeeded,
        Unhealthy,
        UsageError,
    )
    from fer_edge.events import Event
    from fer_edge.labels import LABELS
    from fer_edge.reader import Prediction, Reader

__version__ = "0.1.0"
__all__ = [
    "LABELS",
    "Bundle",
    "BundleRefused",
    "BundleSpec",
    "CameraNotOpened",
    "Classifier",
    "DataError",
    "Event",
    "Face",
    "FerEdgeError",
    "NotEnoughData",
    "NotRunning",
    "ParityFailed",
    "Prediction",
    "Reader",
    "RestartNeeded",
    "Unhealthy",
    "UsageError",
    "find_detector",
]

# name: the module that defines it; the errors are all in fer_edge.errors
_MODULES = {
    "Bundle": "bundle",
    "Prediction": "reader",
    "Reader": "reader",
    "BundleSpec": "bundle_spec",
    "Classifier": "classifier",
    "find_detector": "detection.registry",
    "Face": "detection.types",
    "Event": "events",
    "LABELS": "labels",
}


# OpenCV reads it when it is loaded; its own limit is 1,073,741,824 pixels, 3 GB in colour. It is limits.PICTURE_PIXELS.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "134217728")


def __getattr__(name: str) -> Any:
    """A public name, imported on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
