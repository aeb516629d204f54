"""The checks of `fer-edge doctor` that run what they check, in a process of their own, because one may crash or hang it.

    python -m device.doctor.subprocess_probe \\
        '{"steps": ["numpy", …], "broken": [], "flags": {…}, "camera_trial_s": 0, "root": "/"}'

stdout is JSON lines: {"step": …} before each step, then its finding. An import alone proves nothing (tflite-runtime imports
beside numpy 2 and fails in use), so each step uses what it imports. All steps share one process, as in a run.
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
    """Whether numpy computes correctly."""
    if find_spec("numpy") is None:
        return make_finding("numpy.missing")
    try:
        import numpy as np

        numbers = np.arange(64, dtype=np.float32)
        if (total := float(numbers @ numbers)) != 85344.0:
            raise ArithmeticError(f"the sum of 64 squares is {total:g} instead of 85344")
    except Exception as error:  # any error: a run would meet the same
        return make_finding("numpy.broken", error=root_cause(error), package="numpy")
    return make_finding("numpy.ok", version=np.__version__)


def opencv(_: CheckContext) -> Finding:
    """Whether OpenCV resizes a numpy array correctly."""
    if find_spec("cv2") is None:
        return make_finding("opencv.missing")
    try:
        import cv2
        import numpy as np

        small = cv2.resize(np.full((48, 64), 7, np.uint8), (16, 12), interpolation=cv2.INTER_AREA)
        if small.shape != (12, 16) or not small.min() == small.max() == 7:
            raise ArithmeticError(
                f"a uniform image of 7 was resized to {small.shape}, values {small.min()} to {small.max()}"
            )
    except Exception as error:
        return make_finding("opencv.broken", error=root_cause(error))
    return make_finding("opencv.ok", version=cv2.__version__)


def runtime(_: CheckContext) -> Finding:
    """Whether an interpreter can be built and invoked."""
    from fer_edge.classifier import find_runtime, make_interpreter
    from fer_edge.shipped_bundles import shipped_path

    try:
        found = find_runtime()
    except UsageError:
        return _missing_runtime()
    package = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}[found.name]
    try:
        interpreter = make_interpreter(shipped_path("nano") / "model.tflite", found)
        (input_details,) = interpreter.get_input_details()
        import numpy as np

        interpreter.set_tensor(input_details["index"], np.zeros(input_details["shape"], input_details["dtype"]))
        interpreter.invoke()
    except UsageError as error:
        return make_finding("runtime.numpy", runtime=found.id, error=root_cause(error))
    except Exception as error:
        return make_finding("runtime.broken", runtime=found.id, package=package, error=root_cause(error))
    return make_finding("runtime.ok", runtime=found.id)


def _missing_runtime() -> Finding:
    """Why no runtime could be imported: none is installed, or the installed one does not load."""
    for module, package in (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime")):
        if find_spec(module) is not None:
            try:
                import_module(f"{module}.interpreter")
            except ImportError as error:
                return make_finding("runtime.broken", runtime=package, package=package, error=root_cause(error))
    return make_finding("runtime.missing")


def bundle(context: CheckContext) -> Finding:
    """Whether the bundle that a run would load is complete."""
    from fer_edge.active_bundle import IN_USE_FILE, bundles_folder
    from fer_edge.bundle import Bundle

    try:
        loaded = Bundle.load(context.settings.bundle)
    except FerEdgeError as error:
        origin = (
            "named" if context.settings.bundle else "chosen" if (bundles_folder() / IN_USE_FILE).exists() else "shipped"
        )
        return make_finding(f"bundle.{origin}", error=error)
    return make_finding("bundle.ok", name=loaded.name, sha256=loaded.sha256[:12], path=loaded.path)


def verify(context: CheckContext) -> Finding:
    """Whether this machine reproduces the bundle's golden vectors."""
    from fer_edge.bundle import Bundle
    from fer_edge.golden_check import verify as verify_bundle

    try:
        verified = verify_bundle(Bundle.load(context.settings.bundle))
    except BundleRefused as error:
        return make_finding("verify.refused", error=error)
    return (
        make_finding("verify.near", sentence=verified.remark)
        if verified.remark
        else make_finding("verify.ok", sentence=verified.sentence)
    )


def detectors(context: CheckContext) -> Finding:
    """Whether the detector of a run finds the synthetic face, and which label its bundle gives it."""
    from fer_edge.bundle import Bundle
    from fer_edge.detection.registry import counted_faces, find_detector
    from fer_edge.synthetic_face import face_frame

    try:
        detector = find_detector(context.settings.detector)
    except BundleRefused as error:
        return make_finding("detectors.damaged", error=error)
    except UsageError as error:
        return make_finding("detectors.none", error=error)
    if detector.name == "haar" and context.settings.detector is None:
        return make_finding("detectors.haar")
    gray = face_frame(0.0)
    faces = counted_faces(detector, gray)
    if not faces:
        return make_finding("detectors.blind", detector=detector.name)
    loaded = Bundle.load(context.settings.bundle)
    (probabilities,) = loaded.classify_faces(gray, faces[:1], detector.name)
    label = loaded.labels[int(probabilities.argmax())]
    return make_finding("detectors.ok", detector=detector.name, score=faces[0].score, label=label)


# each step and the steps that it needs, in the order in which they run
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
    """Runs the steps of `request` in order and prints their findings; the steps in `broken` count as failed."""
    from device.config_sources import load_settings

    fields = json.loads(request)
    flags = {name: Path(value) if name == "bundle" and value else value for name, value in fields["flags"].items()}
    context = CheckContext(load_settings(flags).settings, fields["camera_trial_s"], Path(fields["root"]))
    broken = set(fields["broken"])
    for step in fields["steps"]:
        needs = (*PREREQUISITES[step], *(("detectors",) if step == "camera" and context.camera_trial_s else ()))
        if missing := [name for name in needs if name in broken]:
            finding = make_finding("step.untried", step, step=step, needs=missing[0])
            broken.add(step)
        else:
            _print_row({"step": step})
            finding = _STEPS[step](context)
            if finding.text.state == FAIL:
                broken.add(step)
        _print_row({"check": finding.check, "key": finding.key, "facts": dict(finding.facts)})


def _print_row(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, allow_nan=False) + "\n")
    sys.stdout.flush()  # the next step may crash the process


if __name__ == "__main__":
    main(sys.argv[1])
