"""Commands of the host whose output does not fit on the disk: a sentence, exit code 2, and nothing half written.

Those whose stdout nobody reads, as in `… | head`, write all their files.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import pixel_text, write_pixel_csv

ROOT = Path(__file__).parents[2]
ROOM_BYTES = 2048  # of each file; the kernel refuses more with an error of the kind that a full disk gives


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))


def write_noise_csv(path: Path) -> None:
    """A table as FER2013's, of 70 images of noise."""
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (70, 48, 48)).astype(np.uint8)
    parts = ("Training", "PublicTest", "PrivateTest")
    write_pixel_csv(path, [(str(i % 7), pixel_text(face), parts[i // 7 % 3]) for i, face in enumerate(noise)])


@pytest.mark.parametrize(
    "command",
    [
        "convert.parity models/nano --data {here}/fer2013.csv --images {here}/out/images.npy",  # numpy
        "convert.golden {here}/bundle --compare one",  # shutil
        "convert.data {here}/fer2013.csv --sheet {here}/out/sheet.png",
        "convert.export_float models/nano --out {here}/out/float.tflite",  # TensorFlow's converter
        "convert.report models/nano/report/report.json --out {here}/out",
    ],
)
def test_the_disk_is_named_and_nothing_is_left(command: str, tmp_path: Path) -> None:
    write_noise_csv(tmp_path / "fer2013.csv")
    shutil.copytree(ROOT / "models" / "nano", tmp_path / "bundle")
    (tmp_path / "out").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [sys.executable, "-m", *command.format(here=tmp_path).split()]
    ended = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit_files, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr and "cannot be written" in ended.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_result_that_is_cut_off_ends_with_2(unbuffered: dict[str, str], tmp_path: Path) -> None:
    """Without a buffer Python reports nothing where the disk took a part of a text."""
    command = [sys.executable, "-m", "fer_edge", "config", "show", "--commented"]
    environ = {**os.environ, **unbuffered}
    with (tmp_path / "settings.toml").open("wb") as file:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit_files,
            check=False,
        )
    assert (tmp_path / "settings.toml").stat().st_size == ROOM_BYTES
    assert ended.returncode == 2 and "cannot be written" in ended.stderr, ended.stderr


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("convert.data {here}/fer2013.csv --sheet {here}/out/sheet.png", {"sheet.png"}),
        (
            "convert.evaluate models/nano --data {here}/fer2013.csv --out {here}/out",
            {"report.json", "report.md"},
        ),
        ("convert.report models/nano/report/report.json --out {here}/out", {"report.json", "report.md"}),
    ],
)
def test_the_files_are_written_when_nobody_reads_stdout(command: str, files: set[str], tmp_path: Path) -> None:
    write_noise_csv(tmp_path / "fer2013.csv")
    (tmp_path / "out").mkdir()
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", *command.format(here=tmp_path).split()]
    ended = subprocess.run(words, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    assert files <= {path.name for path in (tmp_path / "out").iterdir()}
