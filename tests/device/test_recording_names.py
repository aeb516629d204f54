"""Recordings with names that FFmpeg, OpenCV, a terminal or a file system takes for something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import journal_events, write_video
from processes import ROOT

from fer_edge.synthetic_face import face_frame

NAMES = (
    "door:1.mp4",
    "file:a.mp4",
    "~nobody.mp4",
    "-v.mp4",
    "a%03d.mp4",
    os.fsdecode(b"bad\xff.mp4"),
    "esc\x1b[31m.mp4",
)
TOO_LONG = "n" * 246 + ".mp4"


def command(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    """A command in `folder`, which its relative names are below."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": "/nonexistent",
        "RUNTIME_DIRECTORY": str(folder / "run"),
    }
    line = [sys.executable, "-m", "fer_edge", *map(str, words)]
    return subprocess.run(line, capture_output=True, cwd=folder, env=environ, check=False)


def test_every_name_is_labelled_and_a_too_long_one_fails_alone(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(4)))
    (tmp_path / "in").mkdir()
    for name in (*NAMES, TOO_LONG):
        os.link(clip, tmp_path / "in" / name)
    # named one by one, relative to the folder that the command runs in
    done = command(tmp_path / "in", "label", "--out", "../out", "--", *NAMES, TOO_LONG)
    assert done.returncode == 2 and b"Traceback" not in done.stderr, done.stderr
    assert f"{TOO_LONG} was skipped: its name is too long" in done.stderr.decode()
    assert b"1 of 8 could not be read" in done.stderr
    assert all((tmp_path / f"out/{name}.csv.json").exists() for name in NAMES)
    assert len(done.stdout.decode().splitlines()) == len(NAMES)
    again = command(tmp_path / "in", "label", "--out", "../out", "--", *NAMES)
    assert again.returncode == 0 and b"7 of 7 were labelled already" in again.stderr


@pytest.mark.parametrize("name", [NAMES[0], NAMES[2], NAMES[5]])
def test_a_run_reads_every_name(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(4))).rename(tmp_path / name)
    done = command(tmp_path, "run", "--camera", name, "--log", "log")
    assert done.returncode == 0 and b"4 frames" in done.stderr, done.stderr
    header = journal_events(tmp_path / "log")[0]
    assert header.body["camera"]["name"] == name.replace("\udcff", "\\udcff")


def test_an_annotated_copy_and_parquet_have_every_name(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(4))).rename(tmp_path / NAMES[5])
    done = command(tmp_path, "label", NAMES[5], "--out", "out", "--annotate", "--format", "parquet")
    assert done.returncode == 0, done.stderr
    assert {path.name.removeprefix(NAMES[5]) for path in (tmp_path / "out").iterdir()} == {
        ".parquet",
        ".parquet.json",
        ".labelled.mp4",
    }
