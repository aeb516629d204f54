"""libcamera and picamera2 are really imported: what they list, what they write to stderr, and which stack reads a USB camera.

No camera of libcamera gives a picture here: its virtual camera stops at the mapping of its buffers, and the pipelines of a
Raspberry Pi need its hardware. It lists no USB camera either: it names one after a node of the firmware, which the virtual host
controller lacks. device/README.md names what was not tested.
"""

from __future__ import annotations

import pytest

from tests.vm.image import PICAMERA2_SITE, SITE, Image
from tests.vm.machine import CODE, Machine
from tests.vm.scenario import watch

PATHS = f"{CODE}:{SITE}:{PICAMERA2_SITE}"
NO_MODULE = "Debian Bookworm has no Python module of libcamera"
LIST = "from device.camera.csi import picamera2_class; print(picamera2_class().global_camera_info())"


def test_libcamera_s_own_command_runs(machine: Machine) -> None:
    assert "Available cameras" in machine.ssh("cam --list")


@pytest.fixture
def python_module(vm_image: Image) -> None:
    """libcamera's for Python; skips where Debian has none."""
    if "python3-libcamera" not in vm_image.versions:
        pytest.skip(NO_MODULE)


@pytest.mark.usefixtures("python_module")
def test_picamera2_is_imported_without_a_line_on_stderr(machine: Machine) -> None:
    quiet = machine.ssh(f'PYTHONPATH={PATHS} python3 -c "{LIST}" 2>/root/stderr; cat /root/stderr')
    assert quiet.strip() == "[]"
    chosen = machine.ssh(f'LIBCAMERA_LOG_LEVELS="*:INFO" PYTHONPATH={PATHS} python3 -c "{LIST}" 2>&1')
    assert "camera_manager.cpp" in chosen, "libcamera writes, unless it is told not to"


@pytest.mark.usefixtures("python_module")
def test_a_csi_camera_that_is_not_there_is_exit_4_with_a_sentence(machine: Machine) -> None:
    outcome = watch(machine, "csi:0", "", paths=PATHS)
    assert outcome.code == 4
    assert outcome.messages.startswith("fer-edge: there is no camera csi:0, libcamera lists 0 that are not USB cameras")


@pytest.mark.usefixtures("python_module")
def test_camera_0_is_a_usb_camera_read_by_v4l2_where_picamera2_works_too(machine: Machine) -> None:
    outcome = watch(machine, "0", "readings 3; stop", before="rmmod vivid 2>/dev/null; webcam yuyv; ", paths=PATHS)
    machine.ssh("kill $(cat /root/webcam0.pid); sleep 2")
    assert outcome.code == 0, outcome.messages
    assert outcome.of("header")[0]["camera"]["name"] == "/dev/video0"
    assert all(line.startswith(("fer-edge:", " ")) for line in outcome.messages.splitlines() if line)
