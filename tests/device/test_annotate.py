"""The one writer of pictures: only when it is asked to, and with no face in them that anything found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import video_frames, write_timed_video, write_video
from processes import ROOT

from device.camera.frame import Frame
from device.config import Settings
from device.recorded.annotate import BLOCKS, AnnotatedVideo, pixelate_head
from device.recorded.files import LabelOptions, Recording
from device.recorded.labeller import Labeller, LabelTask
from device.vision.search import SearchState
from fer_edge.cli import main
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_box, face_frame

ALL, HIDDEN, SHOWN = LabelOptions(), LabelOptions(annotate=True), LabelOptions(annotate=True, show_faces=True)
Box = tuple[int, int, int, int]


def labelled(settings: Settings, clip: Path, out: Path, options: LabelOptions) -> dict[str, Any]:
    """The summary of one video that was labelled in this process."""
    out.mkdir()
    task = LabelTask(Recording.at(clip, clip.name), out, out / "fresh", options)
    summary = Labeller(settings).label(task, lambda _: None).summary
    assert summary is not None
    return summary.to_json()


def detail(gray: np.ndarray, box: Box) -> np.ndarray:
    """What of the inner part of a face is more than the means of BLOCKS by BLOCKS parts of it."""
    x, y, width, height = box
    part = gray[y + height // 8 : y + height - height // 8, x + width // 8 : x + width - width // 8].astype(np.float32)
    means = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return part - cv2.resize(means, part.shape[::-1], interpolation=cv2.INTER_LINEAR)


def remaining_detail(before: np.ndarray, after: np.ndarray, box: Box) -> float:
    """The share of a face's detail that remains in the picture: the regression of the detail on the picture."""
    was, now = detail(before, box).ravel(), detail(after, box).ravel()
    return float(was @ now / (was @ was))


def both(number: int) -> np.ndarray:
    half = face_frame(number / 10, 320, 480)
    return np.hstack([half, half[:, ::-1]])


def boxes(number: int) -> list[Box]:
    """Where the two faces of `both` are."""
    x, y, width, height = face_box(number / 10, 320, 480)
    return [(x, y, width, height), (640 - x - width, y, width, height)]


@pytest.mark.parametrize("values", [{}, {"max_faces": 1}, {"max_faces": 1, "search_s": 9.0}, {"detector": "haar"}])
def test_every_detected_face_is_pixelated_classified_or_not(
    tmp_path: Path, bundle_path: Path, values: dict[str, Any]
) -> None:
    clip = write_video(tmp_path / "clip.mp4", (both(n) for n in range(30)))
    settings = Settings(bundle=bundle_path, **values)
    summary = labelled(settings, clip, tmp_path / "out", HIDDEN)
    assert (summary["faces_skipped"] > 0) == ("max_faces" in values) and summary["annotated"]["faces"] == "pixelated"
    before, after = video_frames(clip), video_frames(tmp_path / "out/clip.mp4.labelled.mp4")
    assert len(after) == 30
    for number in range(30):
        for box in boxes(number):
            share = remaining_detail(before[number][:, :, 0], cv2.cvtColor(after[number], cv2.COLOR_BGR2GRAY), box)
            assert abs(share) < 0.2, f"frame {number}, {box}"


def test_faces_are_shown_only_on_request(tmp_path: Path, bundle_path: Path) -> None:
    """And the measure of the test above sees them."""
    numbers = range(72, 78)  # in which the faces have a label
    clip = write_video(tmp_path / "clip.mp4", map(both, numbers))
    summary = labelled(Settings(bundle=bundle_path), clip, tmp_path / "out", SHOWN)
    assert summary["annotated"]["faces"] == "shown"
    before, after = video_frames(clip), video_frames(tmp_path / "out/clip.mp4.labelled.mp4")
    assert len(before) == len(after) == len(numbers)
    for number, gray, coloured in zip(numbers, before, after, strict=True):
        shown = cv2.cvtColor(coloured, cv2.COLOR_BGR2GRAY)
        assert all(remaining_detail(gray[:, :, 0], shown, box) > 0.8 for box in boxes(number))
        assert np.ptp(coloured.astype(int), axis=2).max() > 60, "boxes are in colour"


@pytest.mark.parametrize(
    ("flags", "faces"), [([], None), (["--annotate"], "pixelated"), (["--annotate", "--show-faces"], "shown")]
)
def test_the_command_shows_faces_only_with_its_flag(
    tmp_path: Path, bundle_path: Path, flags: list[str], faces: str | None
) -> None:
    clip = write_video(tmp_path / "clip.mp4", map(both, range(72, 75)))
    command = ["label", str(clip), "--out", str(tmp_path / "out"), "--bundle", str(bundle_path), *flags]
    assert main(command) == 0
    summary = json.loads((tmp_path / "out/clip.mp4.csv.json").read_text())
    assert (summary["annotated"] or {}).get("faces") == faces
    assert (tmp_path / "out/clip.mp4.labelled.mp4").exists() == (faces is not None)


def test_a_far_face_is_pixelated_in_each_frame_though_it_is_not_classified(tmp_path: Path, bundle_path: Path) -> None:
    """The loop searches a few tiles in each frame, and follows only faces that it classifies: this one walks on."""
    frames, box = [], face_box(1.0, 160, 120)
    for number in range(24):
        picture = np.full((720, 1280), 120, np.uint8)
        picture[240:720, 640:1280] = face_frame(1.0, 640, 480)
        picture[60:180, 20 + 16 * number : 180 + 16 * number] = face_frame(1.0, 160, 120)
        frames.append(picture)
    clip = write_video(tmp_path / "clip.mp4", frames)
    settings = Settings(bundle=bundle_path, far_px=40, max_faces=1)
    assert labelled(settings, clip, tmp_path / "out", HIDDEN)["faces_skipped"] > 0
    before, after = video_frames(clip), video_frames(tmp_path / "out/clip.mp4.labelled.mp4")
    x, y, width, height = box
    for number in range(24):
        far = (20 + 16 * number + x, 60 + y, width, height)
        share = remaining_detail(before[number][:, :, 0], cv2.cvtColor(after[number], cv2.COLOR_BGR2GRAY), far)
        assert abs(share) < 0.2, number


def test_rows_are_the_same_with_and_without_an_annotated_copy(tmp_path: Path, bundle_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (both(n) for n in range(12)))
    settings = Settings(bundle=bundle_path, max_faces=1)
    for name, options in (("all", ALL), ("hidden", HIDDEN), ("shown", SHOWN)):
        labelled(settings, clip, tmp_path / name, options)
    rows = [(tmp_path / name / "clip.mp4.csv").read_bytes() for name in ("all", "hidden", "shown")]
    assert rows[0] == rows[1] == rows[2]


def test_only_tables_are_written_by_default(tmp_path: Path) -> None:
    """By the command as typed, with every place that a program may write to in one folder."""
    clip = write_video(tmp_path / "clip.mp4", (both(n) for n in range(6)))
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    kept_data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")  # the detector's files
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(home / "tmp")}
    environ |= {"XDG_DATA_HOME": str(kept_data), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "fer_edge", "label", str(clip), "--out", "out", "--jobs", "2"]
    subprocess.run(command, cwd=home, env=environ, check=True, capture_output=True)
    written = [path.relative_to(home).as_posix() for path in sorted(home.rglob("*"))]
    assert written == ["out", "out/clip.mp4.csv", "out/clip.mp4.csv.json", "tmp"]
    for path in (home / "out").iterdir():
        assert path.read_bytes().decode("ascii").isprintable() or path.read_text().isascii()


class Blinking:
    """A detector that finds the face only in some of the frames it is shown, counted from 0."""

    name = "blinking"

    def __init__(self, face: Face, sees: Callable[[int], bool]) -> None:
        self.face, self.sees, self.shown = face, sees, 0

    def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002 - it looks at no picture
        self.shown += 1
        return [self.face] if self.sees(self.shown - 1) else []


def textured(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A picture uint8 (H, W) whose every part has detail that a codec keeps."""
    noise = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + smooth / smooth.std() * 45, 0, 255).astype(np.uint8)


def test_a_face_missed_in_some_frames_is_pixelated_there_too(tmp_path: Path) -> None:
    """Eight frames before it is found first, between two, and eight after; what nothing found near is as it was."""
    gray, box = textured((240, 320)), (100, 60, 80, 80)
    detector = Blinking(Face(box, 0.9), lambda n: n in (12, 13, 15, 16, 23))
    with AnnotatedVideo(tmp_path / "out.mp4", detector, 10.0, show_faces=False) as annotated:
        for n in range(36):
            annotated.add(Frame(n, n * 100_000_000, gray), n / 10, (), SearchState())
    hidden = [remaining_detail(gray, picture[:, :, 0], box) < 0.1 for picture in video_frames(tmp_path / "out.mp4")]
    assert hidden == [4 <= n <= 31 for n in range(36)]


@pytest.mark.parametrize("at", [(0, 0, 60), (-20, -30, 80), (290, 200, 70), (10, 10, 3), (500, 10, 50), (-40, 0, 300)])
def test_pixelation_leaves_block_means_and_changes_nothing_else(at: tuple[int, int, int]) -> None:
    gray = textured((240, 320))
    after = gray.copy()
    pixelate_head(after, at)
    left, top, size = at
    inside = np.zeros(gray.shape, bool)
    inside[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = True
    margin = int(size * 0.3) + 2
    near = np.zeros(gray.shape, bool)
    near[max(0, top - margin) : max(0, top + size + margin), max(0, left - margin) : max(0, left + size + margin)] = (
        True
    )
    assert np.array_equal(after[~near], gray[~near])
    # as many grays as there are parts, of a quarter of the side each, and one more each way for what is cut off
    assert len(np.unique(after[inside])) <= 49 and (not inside.any() or size < 8 or inside.sum() > 200)
    if size > 20 and inside.any():
        assert np.abs(after[inside].astype(int) - gray[inside]).mean() > 10


def test_a_copy_keeps_the_recordings_times_and_has_no_sound(tmp_path: Path, bundle_path: Path) -> None:
    import av

    times_ms = [0, 40, 80, 200, 240, 900, 940, 980, 2000, 2040]
    clip = write_timed_video(tmp_path / "phone.mkv", ((ms, face_frame(ms / 1000)) for ms in times_ms))
    labelled(Settings(bundle=bundle_path), clip, tmp_path / "out", HIDDEN)
    with av.open(clip) as was, av.open(tmp_path / "out/phone.mkv.labelled.mp4") as now:
        assert len(was.streams.audio) == 1 and len(now.streams.audio) == 0
        shown_s = [float(frame.time) for frame in now.decode(video=0)]
    assert shown_s == pytest.approx([n / 25 for n in range(52)]), "as often as the time until the next one takes"


@pytest.mark.parametrize(
    ("times_s", "fps", "frames"),
    [
        ([n / 15 for n in range(90)] + [6 + n / 30 for n in range(180)], 22.5, 270),  # a phone: slower, then faster
        (
            [n / 10 for n in range(20)] + [30 + n / 10 for n in range(20)],
            10.0,
            58,
        ),  # 28 s without a frame: two are shown
    ],
)
def test_a_copy_of_a_variable_rate_is_no_longer_than_the_recording(
    tmp_path: Path, times_s: list[float], fps: float, frames: int
) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4", Blinking(Face((0, 0, 9, 9), 1.0), bool), fps, False) as annotated:
        for n, time_s in enumerate(times_s):
            annotated.add(Frame(n, round(time_s * 1e9), textured((48, 64))), time_s, (), SearchState())
    assert len(video_frames(tmp_path / "out.mp4")) == pytest.approx(frames, abs=1)


@pytest.mark.parametrize(
    ("width", "height", "fps"), [(240, 180, 235.583), (321, 241, 29.97), (64, 48, 0.0), (33, 47, 1000.0)]
)
def test_odd_frame_sizes_and_rates_can_be_written(tmp_path: Path, width: int, height: int, fps: float) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4", Blinking(Face((0, 0, 9, 9), 1.0), bool), fps, False) as annotated:
        for n in range(5):
            annotated.add(Frame(n, n * 40_000_000, textured((height, width))), n / 30, (), SearchState())
        annotated.add(Frame(5, 200_000_000, textured((2 * height, width))), 0.2, (), SearchState())  # another size
    found = video_frames(tmp_path / "out.mp4")
    assert len(found) >= 6 and found[0].shape == (height & ~1, width & ~1, 3)


@pytest.mark.parametrize(("name", "written"), [("esc\x1b[31m\n:%03d", True), (os.fsdecode(b"bad\xff"), False)])
def test_a_copy_is_written_into_a_folder_of_any_name_in_utf_8(tmp_path: Path, name: str, written: bool) -> None:
    folder = tmp_path / name
    folder.mkdir()
    annotated = AnnotatedVideo(folder / "out.mp4", Blinking(Face((0, 0, 9, 9), 1.0), bool), 10.0, False)
    refused = nullcontext() if written else pytest.raises(UsageError, match="OpenCV cannot write a video into")
    with refused, annotated:
        annotated.add(Frame(0, 0, textured((48, 64))), 0.0, (), SearchState())
    assert (folder / "out.mp4").exists() == written
