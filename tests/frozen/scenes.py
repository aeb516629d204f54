"""What the device is shown: eight stored pictures of a drawn face, moved about, doubled, dimmed and left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.frozen.commands import FIXTURES

WIDTH_PX, HEIGHT_PX = 320, 240


def faces() -> list[np.ndarray]:
    """The pictures, uint8 (240, 320)."""
    shown = [cv2.imread(str(FIXTURES / "face" / f"{n}.png"), cv2.IMREAD_GRAYSCALE) for n in range(8)]
    return [np.asarray(face, np.uint8) for face in shown]


def one_by_one() -> list[np.ndarray]:
    """Each face for six frames of 320×240, drifting to the right by 2 px a frame: a video's worth."""
    return [np.roll(face, 2 * n, axis=1) for face in faces() for n in range(6)]


def all_that_happens() -> list[np.ndarray]:
    """40 frames of 640×240: one face, two, nobody, one in the dark, and one face again that stands still."""
    shown = faces()
    wall = np.full((HEIGHT_PX, WIDTH_PX), 120, np.uint8)
    frames = [np.hstack([np.roll(shown[n // 4], n % 4, axis=1), wall]) for n in range(12)]
    frames += [np.hstack([shown[3], shown[6][:, ::-1]])] * 8
    frames += [np.hstack([wall, wall])] * 6
    frames += [np.hstack([(shown[5] // 5).astype(np.uint8), wall // 5])] * 6
    frames += [np.hstack([wall, shown[1]])] * 8
    return frames


def write_pictures(folder: Path, frames: list[np.ndarray], broken: int | None = None) -> Path:
    """The folder, with a PNG for each frame in the order of their names; number `broken` cannot be read."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        path = folder / f"{number:03d}.png"
        if number == broken:
            path.write_bytes(b"no picture")
        else:
            assert cv2.imwrite(str(path), frame)
    return folder


def write_video(path: Path, frames: list[np.ndarray], fps: float = 10.0) -> Path:
    """The path of a video of those frames, as AVI with a JPEG for each."""
    height, width = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height), isColor=False)
    assert writer.isOpened(), "this OpenCV writes no MJPG"
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
