"""`python detection_probe.py FRAMES.npy`: which modules load on this machine and which faces each detector finds, as JSON.

The tests run it here and in each arm64 user space, and compare the results. FRAMES is uint8 (N, H, W).
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import platform
import sys
import warnings
from dataclasses import asdict
from typing import Any

SLOW = {"haar": 1}  # frames that it looks at, at a second or more for each under emulation


def modules() -> dict[str, str | None]:
    """Every module of fer_edge and device, and the error or warning that importing it ended with, or None."""
    import device
    import fer_edge

    import_errors: dict[str, str | None] = {}
    for package in (fer_edge, device):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    importlib.import_module(found.name)
                import_errors[found.name] = None
            except Exception as error:
                import_errors[found.name] = f"{type(error).__name__}: {error}"
    return import_errors


def faces(path: str) -> dict[str, list[list[dict[str, Any]]]]:
    """What each detector finds in each frame."""
    import numpy as np

    from fer_edge.detection.registry import DETECTORS, find_detector

    frames = np.load(path)
    faces_by_detector = {}
    for name in DETECTORS:
        detector = find_detector(name)
        faces_by_detector[name] = [
            [asdict(face) for face in detector.detect(frame)] for frame in frames[: SLOW.get(name)]
        ]
    return faces_by_detector


if __name__ == "__main__":
    print(json.dumps({"machine": platform.machine(), "modules": modules(), "faces": faces(sys.argv[1])}))
