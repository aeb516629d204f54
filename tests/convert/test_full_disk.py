"""Commands of the host whose output does not fit on the disk: a sentence, exit code 2, and nothing half written."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "command",
    [
        "convert.parity models/nano --data {here}/fer2013.csv --images {here}/out/images.npy",  # numpy
        "convert.golden {here}/bundle --compare one",  # shutil
        "convert.data {here}/fer2013.csv --sheet {here}/out/sheet.png",
        "convert.floats models/nano --out {here}/out/float.tflite",  # TensorFlow's converter
        "convert.report models/nano/report/report.json --out {here}/out",
    ],
)
def test_the_disk_is_named_and_nothing_is_left(command: str, tmp_path: Path) -> None:
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (70, 48, 48)).astype(np.uint8)
    parts = ("Training", "PublicTest", "PrivateTest")
    write_pixel_csv(
        tmp_path / "fer2013.csv", [(str(i % 7), pixel_text(face), parts[i // 7 % 3]) for i, face in enumerate(noise)]
    )
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
