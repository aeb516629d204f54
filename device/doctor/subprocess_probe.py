"""The checks of `fer-edge doctor` that run what they ask about. It is a process of its own: one of them may end or hang it.

    python -m device.doctor.subprocess_probe '{"steps": ["numpy", …], "broken": [], "flags": {…}, "look_s": 0, "root": "/"}'

stdout is JSON lines: {"step": …} before each step, then what it found. An import proves nothing (tflite-runtime imports
beside numpy 2 and fails when it is used), so each step uses what it imported; all of them share one process, as in a run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from device.doctor.camera_checks import camera, picamera2
from device.doctor.findings import FAIL, CheckContext, Finding, make_finding, root_cause
from fer_edge.errors import BundleRefused, FerEdgeError, UsageError


def numpy(_: CheckContext) -> Finding:
    """Whether numpy calculates."""
    if find_spec("numpy") is None:
        return make_finding("numpy.missing")
    try:
        import numpy as np

        row = np.arange(64, dtype=np.float32)
        if (total := float(row @ row)) != 85344.0:
            raise ArithmeticError(f"64 squares make {total:g}")
    except Exception as error:  # whatever it is: it is what a run would meet
        return make_finding("numpy.broken", error=root_cause(error), package="numpy")
    return make_finding("numpy.ok", version=np.__version__)


def opencv(_: CheckContext) -> Finding:
    """Whether OpenCV takes numpy's arrays."""
    if find_spec("cv2") is None:
        return make_finding("opencv.missing")
    try:
        import cv2
        import numpy as np

        small = cv2.resize(np.full((48, 64), 7, np.uint8), (16, 12), interpolation=cv2.INTER_AREA)
        if small.shape != (12, 16) or not small.min() == small.max() == 7:
            raise ArithmeticError(f"an even picture became {small.shape}, {small.min()} to {small.max()}")
    except Exception as error:
        return make_finding("opencv.broken", error=root_cause(error))
    return make_finding("opencv.ok", version=cv2.__version__)


def runtime(_: CheckContext) -> Finding:
    """Whether an interpreter can be built and run."""
    from fer_edge.classifier import find_runtime, make_interpreter
    from fer_edge.shipped_bundles import shipped_path

    try:
        here = find_runtime()
    except UsageError:
        return _no_runtime()
    package = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}[here.name]
    try:
        interpreter = make_interpreter(shipped_path("nano") / "model.tflite", here)
        (given,) = interpreter.get_input_details()
        import numpy as np

        interpreter.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
        interpreter.invoke()
    except UsageError as error:
        return make_finding("runtime.numpy", runtime=here.id, error=root_cause(error))
    except Exception as error:
        return make_finding("runtime.broken", runtime=here.id, package=package, error=root_cause(error))
    return make_finding("runtime.ok", runtime=here.id)


def _no_runtime() -> Finding:
    """Why no runtime could be imported: none is there, or one that does not load."""
    for module, package in (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime")):
        if find_spec(module) is not None:
            try:
                import_module(f"{module}.interpreter")
            except ImportError as error:
                return make_finding("runtime.broken", runtime=package, package=package, error=root_cause(error))
    return make_finding("runtime.missing")


def bundle(asked: CheckContext) -> Finding:
    """Whether the bundle that a run would take is whole."""
    from fer_edge.active_bundle import IN_USE, bundles_folder
    from fer_edge.bundle import Bundle

    try:
        here = Bundle.load(asked.settings.bundle)
    except FerEdgeError as error:
        by = "named" if asked.settings.bundle else "chosen" if (bundles_folder() / IN_USE).exists() else "shipped"
        return make_finding(f"bundle.{by}", error=error)
    return make_finding("bundle.ok", name=here.name, sha256=here.sha256[:12], path=here.path)


def verify(asked: CheckContext) -> Finding:
    """Whether this machine does with the bundle what it did when it was proved."""
    from fer_edge.bundle import Bundle
    from fer_edge.verify import verify as verified

    try:
        told = verified(Bundle.load(asked.settings.bundle))
    except BundleRefused as error:
        return make_finding("verify.refused", error=error)
    return (
        make_finding("verify.near", sentence=told.remark)
        if told.remark
        else make_finding("verify.ok", sentence=told.sentence)
    )


def detectors(asked: CheckContext) -> Finding:
    """Whether the detector of a run finds the drawn face, and what its bundle reads there."""
    from fer_edge.bundle import Bundle
    from fer_edge.detection.registry import find_detector
    from fer_edge.synthetic_face import face_frame

    try:
        detector = find_detector(asked.settings.detector)
    except BundleRefused as error:
        return make_finding("detectors.damaged", error=error)
    except UsageError as error:
        return make_finding("detectors.none", error=error)
    if detector.name == "haar" and asked.settings.detector is None:
        return make_finding("detectors.haar")
    gray = face_frame(0.0)
    faces = detector.detect(gray)
    if not faces:
        return make_finding("detectors.blind", detector=detector.name)
    here = Bundle.load(asked.settings.bundle)
    (row,) = here.classify_faces(gray, faces[:1], detector.name)
    label = here.labels[int(row.argmax())]
    return make_finding("detectors.ok", detector=detector.name, score=faces[0].score, label=label)


# step: what it needs, in the order in which they are taken
PREREQUISITES: dict[str, tuple[str, ...]] = {
    "numpy": (),
    "opencv": ("numpy",),
    "runtime": ("numpy",),
    "bundle": (),
    "verify": ("opencv", "runtime", "bundle"),
    "detectors": ("opencv", "verify"),
    "picamera2": ("numpy",),
    "camera": ("opencv",),
}
_STEPS: dict[str, Callable[[CheckContext], Finding]] = {
    "numpy": numpy,
    "opencv": opencv,
    "runtime": runtime,
    "bundle": bundle,
    "verify": verify,
    "detectors": detectors,
    "picamera2": picamera2,
    "camera": camera,
}


def main(request: str) -> None:
    """Takes the steps of `request` in their order and prints what they found; those in `broken` count as failed."""
    from device.config_sources import load_settings

    asked = json.loads(request)
    flags = {name: Path(value) if name == "bundle" and value else value for name, value in asked["flags"].items()}
    here = CheckContext(load_settings(flags).settings, asked["look_s"], Path(asked["root"]))
    broken = set(asked["broken"])
    for step in asked["steps"]:
        needs = (*PREREQUISITES[step], *(("detectors",) if step == "camera" and here.look_s else ()))
        if lacking := [name for name in needs if name in broken]:
            finding = make_finding("step.untried", step, step=step, needs=lacking[0])
            broken.add(step)
        else:
            _print_row({"step": step})
            finding = _STEPS[step](here)
            if finding.line.state == FAIL:
                broken.add(step)
        plain = {name: value if isinstance(value, int | float) else str(value) for name, value in finding.facts.items()}
        _print_row({"check": finding.check, "key": finding.key, "facts": plain})


def _print_row(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()  # the next step may end the process


if __name__ == "__main__":
    main(sys.argv[1])
