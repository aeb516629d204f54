"""`python -m tests.arm64.logits`: one file per configuration, shared by bit-identical ones; nothing is recorded twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fer_edge.face_crop import face_crop
from fer_edge.record_logits import RecordedLogits
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_box, face_frame
from tests.arm64.logits import INDEX, record_all
from tests.arm64.runtimes import CONFIGURATIONS

SHARED = "trixie-litert-default"  # bit-identical to bookworm's


def test_each_runtime_has_a_file_and_none_is_computed_twice(tmp_path: Path) -> None:
    crops = np.stack([face_crop(face_frame(t), face_box(t)) for t in (0.0, 3.1)])
    lines = record_all(shipped_path("nano"), crops, tmp_path)
    held = json.loads((tmp_path / INDEX).read_text())
    assert [*held] == [configuration.name for configuration in CONFIGURATIONS] and [*held.values()] == lines
    assert {name for name, line in held.items() if line["same_as"]} == {SHARED}
    assert {p.name for p in tmp_path.iterdir()} == {INDEX, *(f"{name}.npz" for name in held if name != SHARED)}
    for line in lines:
        recorded = RecordedLogits.load(tmp_path / line["file"])
        assert (recorded.runtime_name, recorded.images_sha256) == (line["runtime"], line["images_sha256"])
        assert recorded.logits.shape == (2, 7) and "qemu" in line["emulator"]
    written = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz")}
    assert record_all(shipped_path("nano"), crops, tmp_path) == lines
    assert written == {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz")}
