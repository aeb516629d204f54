"""The time of each network: on each installed runtime, with one or more threads, int8 and float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.bench.timing import CallTimes, time_in_turns
from device.clock import Clock
from fer_edge.classifier import Classifier, Runtime, find_runtime
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle

RUNTIMES = ("litert", "tflite-runtime")  # of devices; TensorFlow's interpreter is only on the host
FLOAT = "float.tflite"  # in a bundle's folder, if present
Calls = dict[tuple[str, str, str, int], Callable[[], object]]  # by network, kind, runtime, threads


@dataclass(frozen=True, slots=True)
class NetworkTimes:
    """Times of one network on one runtime by number of threads: for a face (classifier) or a frame of 640×480 (detector)."""

    network: str  # classifier, or the detector's name
    kind: str  # int8 or float
    runtime: str
    by_threads: dict[int, CallTimes]

    def to_json(self) -> dict[str, Any]:
        """The times as `fer-edge bench --json` prints them."""
        by_threads = {str(threads): times.to_json() for threads, times in self.by_threads.items()}
        return {"network": self.network, "kind": self.kind, "runtime": self.runtime, "by_threads": by_threads}


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """Something that was not measured, and why: a sentence without a full stop."""

    what: str
    why: str


def time_networks(
    bundle: Bundle,
    detectors: Sequence[str],
    threads: Sequence[int],
    seconds: float,
    clock: Clock,
    float_model: Path | None = None,
    between: Callable[[], object] = lambda: None,
) -> tuple[tuple[NetworkTimes, ...], tuple[NotMeasured, ...]]:
    """The times of the bundle's classifier and of the named detectors, and what was not measured.

    Measured in turns for about `seconds` in all; `between` is called after each round. `float_model` is the result of
    `find_float_model`. A runtime that is missing or does not work is not measured.
    """
    calls: Calls = {}
    not_measured: list[NotMeasured] = []
    if float_model is None:
        why = f"the bundle has no {FLOAT}, and float.keras cannot run on a device; name a file with --float FILE"
        not_measured.append(NotMeasured("the classifier in float", why))
    for name in RUNTIMES:
        try:
            runtime = find_runtime(name)
            for count in threads:
                calls |= _classifier_calls(bundle, float_model, runtime, count)
        except UsageError as error:  # not installed, or tflite-runtime with a numpy that it was not built for
            not_measured.append(NotMeasured(name, str(error)))
    for name in detectors:
        calls |= _detector_calls(name, threads, bundle.classifier.runtime.id)
    rows: dict[tuple[str, str, str], dict[int, CallTimes]] = {}
    for (network, kind, runtime_id, count), times in time_in_turns(calls, seconds, clock, between).items():
        rows.setdefault((network, kind, runtime_id), {})[count] = times
    return tuple(NetworkTimes(*key, by_threads) for key, by_threads in rows.items()), tuple(not_measured)


def find_float_model(bundle: Bundle, path: Path | None = None) -> Path | None:
    """The float .tflite to measure beside `bundle`: `path` if given, else the one in its folder, else None.

    Raises UsageError when it does not exist or is not a float model of the same shape, BundleRefused when it is not a model.
    """
    if path is None:
        path = bundle.path / FLOAT
        if not path.is_file():
            return None
    if not path.is_file():
        raise UsageError(f"{path} does not exist; --float needs a float .tflite of the bundle's network")
    model = Classifier(path)
    if model.output_range is not None:
        raise UsageError(f"{path} is not a float model (its output is integers); name a float model with --float")
    if (model.side, model.classes) != (bundle.side, len(bundle.labels)):
        raise UsageError(
            f"{path} has {model.side} px and {model.classes} classes, bundle {bundle.name} has {bundle.side} px and "
            f"{len(bundle.labels)} classes; name the float model of the bundle with --float"
        )
    return path


def networks_of(detector: str) -> tuple[str, ...]:
    """The networks that the detector named `detector` runs, each a detector of its own."""
    return {"blazeface-zoomed": ("blazeface-short-range", "blazeface-back")}.get(detector, (detector,))


def _classifier_calls(bundle: Bundle, float_model: Path | None, runtime: Runtime, threads: int) -> Calls:
    """Calls that classify one face, in int8 and float."""
    from fer_edge.face_crop import face_crop
    from fer_edge.synthetic_face import face_box, face_frame

    face = face_crop(face_frame(0.0), face_box(0.0), bundle.side)[None]
    classifiers = {"int8": bundle.make_classifier(runtime, threads=threads)}
    if float_model is not None:
        classifiers["float"] = Classifier(float_model, runtime, threads)
    return {
        ("classifier", kind, runtime.id, threads): partial(model.logits, face) for kind, model in classifiers.items()
    }


def _detector_calls(name: str, threads: Sequence[int], runtime: str) -> Calls:
    """Calls that search one frame for faces."""
    from fer_edge.detection.registry import find_detector
    from fer_edge.synthetic_face import face_frame

    frame = face_frame(0.0)
    if name == "haar":
        import cv2

        runtime, threads, kind = (
            f"opencv {cv2.__version__}",
            (cv2.getNumThreads(),),
            "cascade",
        )  # as the process has set it
        return {(name, kind, runtime, count): partial(find_detector(name).detect, frame) for count in threads}
    return {(name, "float", runtime, count): partial(find_detector(name, count).detect, frame) for count in threads}
