"""The device package in both arm64 user spaces: it imports, finds faces, checks its bundle, and runs over a video."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import journal_events, write_video

from fer_edge.events import Event
from fer_edge.shipped_bundles import SHIPPED, shipped_path
from fer_edge.synthetic_face import face_box, face_frame
from tests.arm64.runtimes import CONFIGURATIONS, Configuration
from tests.arm64.sysroot import ROOT, SPACES, Machine, emulated, machine

PROBE = Path(__file__).with_name("detection_probe.py")
TIMES_S = (0.0, 5.3, 11.2)
LOOP = ("-m", "fer_edge.cli", "run", "--json", "--camera")
VIDEO_PX, VIDEO_FRAMES, VIDEO_FPS = (320, 240), 12, 4.0


@pytest.fixture(scope="module", params=SPACES)
def on(request: pytest.FixtureRequest) -> Machine:
    """Each of the user spaces."""
    return machine(request.param)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .npy file of drawn frames, uint8 (3, 480, 640)."""
    path = tmp_path_factory.mktemp("frames") / "frames.npy"
    np.save(path, np.stack([face_frame(t) for t in TIMES_S]))
    return path


@pytest.fixture(scope="module")
def seen_here(frames: Path, blazeface: object) -> dict[str, Any]:
    """What this machine sees in the frames."""
    return json.loads(_on_host(PROBE, frames))


@pytest.fixture(scope="module")
def seen_there(frames: Path, on: Machine, blazeface: object) -> dict[str, Any]:
    """What the arm64 machine sees in them."""
    return json.loads(_on_target(on, PROBE, frames))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a drawn face."""
    drawn = (face_frame(i / VIDEO_FPS, *VIDEO_PX) for i in range(VIDEO_FRAMES))
    return write_video(tmp_path_factory.mktemp("video") / "face.mp4", drawn, VIDEO_FPS)


@pytest.fixture(scope="module")
def looped_here(video: Path, blazeface: object, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """What the loop says of the video on this machine."""
    folder = tmp_path_factory.mktemp("here")
    return _events(_on_host(*LOOP, video, "--log", folder / "log", **_own(folder)))


def test_every_module_imports_without_a_warning(seen_there: dict[str, Any]) -> None:
    assert seen_there["machine"] == "aarch64"
    assert len(seen_there["modules"]) > 25
    failed = {name: error for name, error in seen_there["modules"].items() if error}
    extras = {name for name, error in failed.items() if error.endswith("No module named 'tornado'")}
    assert failed.keys() == extras, failed
    pages = ("device.output.live.", "device.output.review.")  # with the extra `live`; the base install does without
    assert all(name.startswith(pages) for name in extras), extras


def test_every_detector_finds_the_same_faces_as_here(seen_here: dict[str, Any], seen_there: dict[str, Any]) -> None:
    assert seen_there["faces"].keys() == seen_here["faces"].keys()
    for detector, host_faces in seen_here["faces"].items():
        target_faces = seen_there["faces"][detector]
        assert (
            [len(found) for found in target_faces] == [len(found) for found in host_faces] == [1] * len(host_faces)
        ), detector
        for (host_face,), (target_face,), t in zip(host_faces, target_faces, TIMES_S, strict=False):
            np.testing.assert_allclose(target_face["xywh"], host_face["xywh"], atol=1, err_msg=detector)
            assert target_face["score"] == pytest.approx(host_face["score"], abs=0.01), detector
            if host_face["eyes"]:
                np.testing.assert_allclose(target_face["eyes"], host_face["eyes"], atol=0.5, err_msg=detector)
            x, y, w, h = face_box(t)
            assert abs(target_face["xywh"][0] + target_face["xywh"][2] / 2 - x - w / 2) < w / 4, (
                "and where it was drawn"
            )
            assert abs(target_face["xywh"][1] + target_face["xywh"][3] / 2 - y - h / 2) < h / 4


@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.name)
def test_the_golden_vectors_are_reproduced(configuration: Configuration, model: str) -> None:
    command = (
        "verify",
        shipped_path(model),
        "--json",
        "--runtime",
        configuration.runtime,
        "--kernels",
        configuration.kernels,
    )
    found = json.loads(_on_target(machine(configuration.space), "-m", "fer_edge.cli", *command))
    version = next(w.split("==")[1] for w in SPACES[configuration.space].wheels if configuration.runtime in w)
    assert found["runtime"] == f"{configuration.runtime} {version}, {configuration.kernels}, aarch64"
    assert all(found["difference"][name] <= limit for name, limit in found["limits"].items())
    if configuration.runtime == "litert" and configuration.kernels != "builtin":
        assert found["difference"]["steps"] == 0, "XNNPACK and the reference kernels give the bits of x86-64"


def test_a_damaged_bundle_is_rejected(on: Machine, tmp_path: Path) -> None:
    bundle = tmp_path / "nano"
    shutil.copytree(shipped_path("nano"), bundle)
    model_bytes = (bundle / "model.tflite").read_bytes()
    (bundle / "model.tflite").write_bytes(model_bytes[: len(model_bytes) // 2])
    ran = emulated(on, "-m", "fer_edge.cli", "verify", bundle)
    assert ran.returncode == 5, ran.stderr
    assert f"{bundle / 'model.tflite'} is not the file" in ran.stderr and ran.stdout == ""


@dataclass(frozen=True)
class Looped:
    """What the loop says of the video on an arm64 machine: on stdout, and in its journal."""

    events: list[Event]
    journal: list[Event]

    def differences(self, host_events: list[Event]) -> list[tuple[float, bool]]:
        """For each reading the largest difference of a probability from the host's, and whether the boxes are equal."""
        pairs = [[e.body for e in events if e.kind == "reading"] for events in (host_events, self.events)]
        return [
            (float(np.abs(np.subtract(a["p"], b["p"])).max()), a["xywh"] == b["xywh"])
            for a, b in zip(*pairs, strict=True)
        ]


@pytest.fixture(scope="module")
def looped_there(on: Machine, video: Path, blazeface: object, tmp_path_factory: pytest.TempPathFactory) -> Looped:
    """What the loop says of the video on each arm64 machine."""
    folder = tmp_path_factory.mktemp("there")
    events = _events(_on_target(on, *LOOP, video, "--log", folder / "log", **_own(folder)))
    return Looped(events, journal_events(folder / "log"))


def test_a_run_gives_the_same_readings_as_here(looped_there: Looped, looped_here: list[Event]) -> None:
    target_events, target_journal = looped_there.events, looped_there.journal
    assert (target_journal[0].kind, target_journal[-1].kind) == ("header", "end")
    assert (
        target_journal[0].body["runtime"].startswith("litert ")
        and target_journal[0].body["bundle"] == looped_here[0].body["bundle"]
    )
    assert (
        target_journal[-1].body["reason"] == "the recording ended"
        and target_journal[-1].body["frames"]["processed"] == VIDEO_FRAMES
    )
    host_readings, target_readings = (
        [e.body for e in events if e.kind == "reading"] for events in (looped_here, target_events)
    )
    assert len(target_readings) == VIDEO_FRAMES
    for a, b in zip(host_readings, target_readings, strict=True):
        np.testing.assert_allclose(b["xywh"], a["xywh"], atol=2)
    differences = looped_there.differences(looped_here)
    apart = sorted(p for p, _ in differences)
    # a box a px or two elsewhere is another crop of the drawn face, on which two classes are near each other
    assert sum(p > 0.15 for p in apart) <= 2 and apart[-1] < 0.35, apart[-5:]
    same = [p for p, same_box in differences if same_box]
    assert same and max(same) < 0.15
    labels = [(a["label"], b["label"]) for a, b in zip(host_readings, target_readings, strict=True)]
    assert sum(a == b for a, b in labels) >= VIDEO_FRAMES - 1, labels


def test_a_box_elsewhere_changes_probabilities_little(
    request: pytest.FixtureRequest, on: Machine, looped_there: Looped, looped_here: list[Event]
) -> None:
    """A box a px or two elsewhere is another crop, and may say another thing, once."""
    if on.space.suite == "bookworm":
        reason = "not reached by edge-mixed: the drawn face has two of 12 readings apart, .19 and .27"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    apart = sorted(p for p, _ in looped_there.differences(looped_here))
    assert sum(p > 0.15 for p in apart) <= 1 and apart[-1] < 0.25, apart[-5:]


def _events(lines: str) -> list[Event]:
    return [Event.parse(line) for line in lines.splitlines()]


def _own(folder: Path) -> dict[str, str]:
    """An environment in which a run neither reads nor shows anything of another one on this machine."""
    return {name: str(folder) for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}


def _on_host(*command: str | Path, **environment: str) -> str:
    words = [sys.executable, *map(str, command)]
    settings = {**os.environ, **environment}
    ran = subprocess.run(words, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _on_target(on: Machine, *command: str | Path, **environment: str) -> str:
    ran = emulated(on, *command, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
