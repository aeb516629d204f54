"""Whole scenes in the place of face crops: said where a set is read, and not of crops of any size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.data.__main__ import main
from fer_edge.synthetic_face import face_box, face_frame


def write_set(folder: Path, width: int, height: int, face_only: bool, side: int = 0) -> Path:
    """Pictures of the synthetic face in two classes: the whole frame, or the face's square with `side` px."""
    for name in ("happy", "sad"):
        (folder / name).mkdir(parents=True)
        for n in range(6):
            frame = face_frame(n + 3.0 * (name == "sad"), width, height)
            if face_only:
                x, y, w, h = face_box(n + 3.0 * (name == "sad"), width, height)
                cut = frame[max(0, y - h // 8) : y + h + h // 8, max(0, x - w // 8) : x + w + w // 8]
                frame = np.asarray(cv2.resize(cut, (side, side)), np.uint8)
            assert cv2.imwrite(str(folder / name / f"{n}.png"), frame)
    return folder


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (640, 640)])
def test_whole_scenes_are_said_to_be(
    width: int, height: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write_set(tmp_path / "set", width, height, face_only=False))]) == 0
    first, *_ = capsys.readouterr().err.splitlines()
    assert "these look like whole pictures (12 of 12 looked at" in first and "--crop OUT" in first


@pytest.mark.parametrize("side", [48, 96, 224, 480])
def test_face_crops_are_not(side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write_set(tmp_path / "set", 640, 480, face_only=True, side=side))]) == 0
    assert "whole pictures" not in capsys.readouterr().err
