"""The command line: what it prints, and a sentence and a documented exit code for what cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import huge_png

from fer_edge.atomic_file import write_atomically
from fer_edge.cli import main
from fer_edge.errors import FerEdgeError, RestartNeeded, exit_code_of
from fer_edge.synthetic_face import face_frame


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), face_frame(2.0))
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320), 90, np.uint8))
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "bomb.png").write_bytes(huge_png(40_000))
    return tmp_path


def test_predict_prints_a_line_for_each_face(
    pictures: Path, blazeface: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(pictures / "face.png"), str(pictures / "wall.png")]) == 0
    face, wall = capsys.readouterr().out.splitlines()
    assert "face.png" in face and "score" in face
    assert wall.endswith("no face")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_like_the_null_device(tmp_path: Path, closed: str) -> None:
    """The run is whole, and its journal holds nothing that was printed."""
    arguments = f"--camera synthetic --bundle nano --duration 1 --log {tmp_path / 'log'}"
    command = f"exec {sys.executable} -m fer_edge run {arguments} {closed}"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and "Traceback" not in ran.stderr
    lines = [json.loads(line) for path in (tmp_path / "log").rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert {"header", "end"} <= {line["kind"] for line in lines}


@pytest.mark.parametrize(
    "words", ["fer_edge config show --commented", "fer_edge label --help", "convert.quantize --help"]
)
def test_a_terminal_that_is_not_utf8_gets_replaced_characters(words: str) -> None:
    environ = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", *words.split()]
    ran = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert ran.returncode == 0 and ran.stderr == b"", ran.stderr.decode()
    assert b"\\u" in ran.stdout or b"\\x" in ran.stdout


def test_the_list_of_the_hosts_commands_ends_quietly_at_a_reader_that_closes() -> None:
    command = f"{sys.executable} -m convert | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0" and ran.stderr == ""


def test_a_file_that_cannot_be_made_is_named_by_its_own_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> int:
        write_atomically(tmp_path / "nowhere" / "table.csv", "a,b\n")
        return 0

    assert exit_code_of(write) == 2
    assert capsys.readouterr().err == (
        f"fer-edge: {tmp_path / 'nowhere' / 'table.csv'}: No such file or directory; check the path\n"
    )


def test_predict_json_prints_an_object_for_each_image(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--json", "--crop", str(pictures / "wall.png"), str(pictures / "face.png")]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(picture["faces"]) for picture in told] == [1, 1]
    (only,) = told[0]["faces"]
    assert only["xywh"] is None and max(only["p"], key=only["p"].get) == only["label"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["predict", "--crop", "{here}/nowhere.png"], 2, "does not exist"),
        (["predict", "--crop", "{here}"], 2, "is a folder"),
        (["predict", "--crop", "{here}/text.png"], 2, "not an image"),
        (["predict", "--crop", "{here}/empty.png"], 2, "not an image"),
        (["predict", "--crop", "{here}/bomb.png"], 2, "too many pixels"),
        (["predict", "--bundle", "{here}", "{here}/wall.png"], 2, "not a bundle"),
        (["predict", "--crop", "--far", "20", "{here}/wall.png"], 2, "leave out one of them"),
        (["run", "--camera", "synthetic", "--detector", "haar", "--far", "40"], 2, "by the detector blazeface-zoomed"),
        (["run", "--camera", "{here}/nowhere.mp4"], 4, "nowhere.mp4"),
        (["run", "--camera", "periscope"], 2, "periscope"),
        (["run", "--camera", "synthetic", "--bundle", "{here}"], 2, "not a bundle"),
        (["run", "--camera", "synthetic", "--detector", "nose"], 2, "nose"),
        (["run", "--camera", "synthetic", "--duration", "-1"], 2, "duration"),
        (["run", "--camera", "synthetic", "--log", "{here}/wall.png"], 2, "wall.png"),
        (["detectors", "install", "--wheel", "{here}/no.whl"], 2, "no.whl"),
    ],
)
def test_a_failure_has_a_message_and_an_exit_code(
    arguments: list[str],
    code: int,
    word: str,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(pictures / "state"))
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(pictures / "detectors"))
    assert main([a.format(here=pictures) for a in arguments]) == code
    told = capsys.readouterr()
    (sentence,) = [line for line in told.err.splitlines() if line.startswith("fer-edge: ")]
    assert word in sentence
    assert told.out == ""


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "exit codes" in capsys.readouterr().err


@pytest.mark.parametrize("code", [2, 75, 130])
def test_an_error_is_reported_in_one_sentence(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(28, "No space left on device", "/card/journal")
    errors: dict[int, BaseException] = {2: full, 75: RestartNeeded("again"), 130: KeyboardInterrupt()}

    def command() -> int:
        raise errors.get(code, FerEdgeError("x"))

    assert exit_code_of(command) == (code if code in errors else 1)
    assert capsys.readouterr().err.startswith("fer-edge: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "{here}/clip.avi"], "clip.avi is a video; `fer-edge label {here}/clip.avi --out labels` labels"),
        (["predict", "http://cam.local/a.jpg"], "http://cam.local/a.jpg is an address, and predict reads files"),
        (["predict", "--crop", "http://me:secret@cam.local/a.jpg"], "URL is an address"),
        (["verify", "edg"], "there is no bundle edg: did you mean edge"),
        (["verify", "--bundle", "xyz"], "there is no bundle xyz: name a folder, or edge-mixed, edge or nano"),
    ],
)
def test_what_was_meant_is_named(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert main([a.format(here=tmp_path) for a in arguments]) == 2
    told = capsys.readouterr()
    assert words.format(here=tmp_path) in told.err and "secret" not in told.err and told.out == ""


def test_a_run_without_a_camera_says_what_to_try(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--camera", "usb:99", "--log", str(tmp_path / "log")]) == 4
    assert "to try a run without one: --camera synthetic" in capsys.readouterr().err


def test_verify_takes_its_bundle_like_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--bundle", "nano"]) == 0
    assert capsys.readouterr().out.startswith("bundle nano gives the stored outputs on this machine (")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "",
            "Stores no picture unless `label --annotate` or `collect` is used; sends none unless `--show-pixels` is given.",
        ),
        ("", "demo without a camera: log a synthetic face, classify a picture (with the extra `host`, also quantize)"),
        ("run", "Finds faces, labels them, and logs each expression that lasts --hold seconds (an episode)."),
        (
            "collect",
            "usage: fer-edge collect --faces DIR --store-pictures-of-faces [options] fer-edge collect review DIR",
        ),
        ("collect", "by giving it you confirm that everybody in view knows of it and agrees"),
        ("collect review", "usage: fer-edge collect review [options] DIR"),
        ("parity", "or edge-mixed, edge or nano, which come with the package"),
    ],
)
def test_the_help_says(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*words.split(), "--help"])
    assert sentence in " ".join(capsys.readouterr().out.replace("-\n", "-").split())
