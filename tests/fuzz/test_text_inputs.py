"""Texts of other parties: settings, journal lines, status, a target's answers. Each is read, or refused in a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from builders import event
from fakes import FakeClock
from hostile_json import broken_texts, hostile_values, mutants
from hypothesis import given
from hypothesis import strategies as st

from convert.deploy.doctor_answer import DoctorAnswer
from convert.deploy.needs import TargetSettings
from convert.deploy.operations import TargetStatus
from convert.deploy.ssh import ScriptOutput
from convert.deploy.target_check import Target
from device.config import SETTING_FIELDS
from device.config_sources import load_settings
from device.system.health import Health
from device.system.status import StatusFile, read_instance
from device.system.status_record import Status
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.events import Event
from fer_edge.json_fields import json_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# a status file


def a_status() -> dict[str, Any]:
    """The content of a status file of this process."""
    health = Health(5.0, False, ("throttled",), (), 50.0, 10**9, "unknown", "hwmon")
    status = Status(
        "running", "usb:0", "/var/lib/fer-edge", 5.0, {"read": 10}, {"busy": 1}, health=health, problems=("hot",)
    )
    with TemporaryDirectory() as folder, StatusFile(Path(folder), "camera", FakeClock(), 10.0, 5.0) as file:
        file.write(status)
        value: dict[str, Any] = json.loads(file.path.read_text())
    return value


STATUS = a_status()


@given(raw=st.one_of(mutants(STATUS).map(json.dumps).map(str.encode), broken_texts(json.dumps(STATUS))))
def test_a_status_file(folder: Path, raw: bytes) -> None:
    (folder / "camera.status.json").write_bytes(raw)
    try:
        found = read_instance("camera", [folder], FakeClock())
    except UsageError as error:
        assert "later version" in str(error)
        return
    assert isinstance(found.text(), str)
    assert json.loads(json_text(found.to_json()))["running"] in (True, False)


def test_the_status_that_is_altered_is_a_right_one(folder: Path) -> None:
    (folder / "camera.status.json").write_text(json.dumps(STATUS))
    assert read_instance("camera", [folder], FakeClock()).running


# a target's answers

INSPECTED = {
    "uid": "0", "sudo": "yes", "system": "Linux", "machine": "aarch64", "bits": "64", "packages": "arm64",
    "glibc": "glibc 2.36", "os": "Raspberry Pi OS", "board": "Raspberry Pi 4", "epoch_s": "1700000000", "free_kb": "4096000",
    "python": "3.11.2 64 venv,picamera2 /usr/bin/python3", "video_devices": "1", "systemd": "yes", "current": "0.1-a",
}  # fmt: skip
REPORTED = {
    "current": "0.2-b", "release": "0.2-b complete 1700000100", "service.ActiveState": "active", "journal_kb": "1200",
    "health": '{"running": true, "healthy": true, "problems": []}', "free_kb": "4096000",
}  # fmt: skip
HOSTILE_WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "9" * 5000, "-1", "1e9", "٣", "glibc 9999999999999.1", "[" * 9999, "{}", "null", "NaN", "a b c d e"]
    ),
)


def answer(values: dict[str, str], name: str, other: str) -> ScriptOutput:
    return ScriptOutput({key: (value,) for key, value in {**values, name: other}.items()}, (), "")


@given(name=st.sampled_from(sorted(INSPECTED)), other=HOSTILE_WORDS)
def test_the_properties_of_a_target(name: str, other: str) -> None:
    try:
        target = Target.read(answer(INSPECTED, name, other))
        assert math.isfinite(target.clock_off_s) and isinstance(target.text, str)
        target.check()
    except FerEdgeError as error:
        assert error.exit_code == 2


@given(name=st.sampled_from(["needs", "unreadable", "named"]), other=HOSTILE_WORDS)
def test_the_needs_of_a_targets_settings(name: str, other: str) -> None:
    values = {"needs": "hall mqtt,network_camera", "unreadable": "door", "named": "hall kitchen"}
    try:
        found = TargetSettings.read(answer(values, name, other))
        assert set(found.remaining("door", True).extras) <= {"mqtt", "metrics", "live"}
    except UsageError as error:
        assert "cannot be read" in str(error)


@given(name=st.sampled_from(sorted(REPORTED)), other=HOSTILE_WORDS)
def test_the_status_of_a_target(name: str, other: str) -> None:
    try:
        status = TargetStatus.read("pi", answer(REPORTED, name, other))
        assert status.text() and json_text(status.to_json())
        status.verdict()
    except FerEdgeError as error:
        assert error.exit_code in (2, 7, 8)


DOCTOR = {
    "findings": [{"state": "fail", "check": "a", "key": "b", "what": "c", "fix": "", "do": ""}],
    "versions": {"numpy": "2"},
}


@given(
    text=st.one_of(
        mutants(DOCTOR).map(json.dumps), broken_texts(json.dumps(DOCTOR)).map(lambda raw: raw.decode(errors="replace"))
    )
)
def test_the_answer_of_a_targets_doctor(text: str) -> None:
    try:
        DoctorAnswer.read(text)
    except (ValueError, UsageError):
        return


# settings


def toml_value(value: Any) -> str:
    """A value as TOML, or as something near it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{}"
    return json.dumps(value) if value is not None else '""'


@given(
    name=st.sampled_from(sorted(SETTING_FIELDS)),
    value=hostile_values(),
    raw=st.one_of(st.none(), st.binary(max_size=60)),
)
def test_a_settings_file(folder: Path, name: str, value: Any, raw: bytes | None) -> None:
    file = folder / "settings.toml"
    file.write_bytes(raw if raw is not None else f"{name} = {toml_value(value)}\n".encode(errors="surrogatepass"))
    try:
        loaded = load_settings({}, file)
    except FerEdgeError as error:
        assert error.exit_code == 2
        return
    for value in (getattr(loaded.settings, field) for field in SETTING_FIELDS):
        assert not isinstance(value, float) or math.isfinite(value)


# journal lines

LINE: dict[str, Any] = json.loads(event("tally", 3, frames=10, faces=[1, 2]).line())


@given(raw=st.one_of(mutants(LINE).map(json.dumps).map(str.encode), broken_texts(json.dumps(LINE))))
def test_a_journal_line(raw: bytes) -> None:
    try:
        found = Event.parse(raw.decode(errors="replace"))
    except UsageError:
        return
    assert math.isfinite(found.mono_s)
