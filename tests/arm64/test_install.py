"""From a fresh arm64 Debian to a first reading by device/README.md alone: the lines of its code blocks are typed there.

ARM64_SUITES names the suites, `bookworm`, `trixie` or both; one of them is the default, because each takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import journal_events

from tests.arm64.debian import DEBIANS
from tests.arm64.sysroot import ROOT
from tests.arm64.typed_commands import Step, blocks, ship_checkout, typed
from tests.arm64.userspace import CANNOT, HOME, UserSpace, entered, may_be_entered

SUITES = os.environ.get("ARM64_SUITES", "bookworm").split()
BLOCKS = blocks((ROOT / "device" / "README.md").read_text(), "Installing without a host")
INSTALL = {"bookworm": 0, "trixie": 1}
READING, CAMERA, SERVICE = 2, 3, 4
NO_CAMERA = 4
READING_LINE = re.compile(r"^ +\d+\.\d\d s  \w+ +\d+%   face \d+×\d+ px", re.M)
# What cannot be typed there, and why
LEFT_OUT = {
    "sudo apt install -y python3-picamera2": "it is in Raspberry Pi OS's own archive and not in Debian's",
    "sudo systemctl daemon-reload": "no systemd runs there; tests/system/test_booted.py types it where one does",
    "sudo systemctl enable --now fer-edge.service": "the same",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A user space in which every line was typed, or those up to one that failed."""

    suite: str
    space: UserSpace
    lines: list[str]
    steps: list[Step]

    def output_of(self, line: str) -> str:
        """The output of a line."""
        return next(step.output for step in self.steps if step.line == line)


@pytest.fixture(scope="module", params=SUITES)
def installed(request: pytest.FixtureRequest) -> Iterator[Installed]:
    """Each of the suites, entered fresh."""
    if not may_be_entered():
        pytest.skip(CANNOT)
    debian = DEBIANS[request.param]
    lines = [line for i in (INSTALL[debian.suite], READING, CAMERA, SERVICE) for line in BLOCKS[i][1]]
    codes = dict.fromkeys(BLOCKS[CAMERA][1], NO_CAMERA)
    with entered(debian.root, debian.cpu) as space:
        ship_checkout(space)
        steps = typed(space, lines, codes, LEFT_OUT)
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{debian.suite}, arm64 emulated, by device/README.md:")
            for step in steps:
                print(f"{step.seconds:7.1f} s  exit {step.code}  {step.line}")
            for line, why in LEFT_OUT.items():
                print(f"not typed:         {line}: {why}")
        yield Installed(debian.suite, space, lines, steps)


def test_the_readmes_blocks_are_in_the_expected_order() -> None:
    """By the sentences before them; what is left out is in them, so that no reason outlives its line."""
    begins = ("On Bookworm", "On Trixie", "Without a checkout", "Then use a camera", "Finally install a service")
    assert [text.split("\n\n")[-1].startswith(word) for (text, _), word in zip(BLOCKS, begins, strict=True)] == [
        True
    ] * 5
    typed_at_all = {line for _, lines in BLOCKS for line in lines}
    assert set(LEFT_OUT) <= typed_at_all and all(line.strip() for line in typed_at_all)


def test_every_line_ends_with_its_expected_exit_code(installed: Installed) -> None:
    """Exit code 0, and where a camera is asked for 4, that there is none: the user space sees none of this machine's."""
    last = installed.steps[-1]
    assert [step.line for step in installed.steps] == [x for x in installed.lines if x not in LEFT_OUT], last.output
    expected_codes = [NO_CAMERA if step.line in BLOCKS[CAMERA][1] else 0 for step in installed.steps]
    assert [step.code for step in installed.steps] == expected_codes, f"{last.line}: {last.output}"
    assert "there is no camera /dev/video0" in installed.output_of("fer-edge run --camera 0")


def test_python_and_packages_are_the_documented_ones(installed: Installed) -> None:
    values = "platform.machine(), platform.python_version(), numpy.__version__, cv2.__version__"
    code = f"import json, platform, numpy, cv2; print(json.dumps([{values}]))"
    machine, python, numpy, opencv = json.loads(installed.space.run(HOME / "fer/bin/python", "-c", code).stdout)
    assert machine == "aarch64" and python.startswith(f"{DEBIANS[installed.suite].python}.")
    if installed.suite == "bookworm":
        pins = (ROOT / "constraints" / "bookworm.txt").read_text()
        assert f"numpy=={numpy}\n" in pins and f"opencv-python-headless=={opencv}." in pins
    check = installed.space.run(HOME / "fer/bin/python", "-m", "pip", "check")
    assert check.returncode == 0, check.stdout


def test_the_first_reading_is_printed_and_in_the_journal(installed: Installed) -> None:
    output = installed.output_of("fer-edge run --camera synthetic --duration 5 -v")
    if not READING_LINE.search(output):  # a machine with much to do may emulate no frame in five seconds
        output = installed.space.run(
            HOME / "fer/bin/fer-edge", "run", "--camera", "synthetic", "--duration", "60", "-v"
        ).stdout
    assert READING_LINE.search(output), output
    events = journal_events(installed.space.root / HOME.relative_to("/") / ".local/state/fer-edge")
    assert (events[0].kind, events[-1].kind) == ("header", "end")
    assert events[0].body["runtime"].startswith("litert ") and events[-1].body["frames"]["processed"] > 0


def test_a_wheel_made_elsewhere_can_be_installed(installed: Installed, tmp_path: Path) -> None:
    command = "pip wheel --no-deps ."
    assert f"`{command}`" in BLOCKS[READING][0]
    pip = [sys.executable, "-m", *command.replace(" .", f" {ROOT}").split(), "--quiet", "--wheel-dir", tmp_path]
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.iterdir()
    shutil.copy(wheel, installed.space.root / HOME.relative_to("/"))
    again = ("--force-reinstall", "--no-deps")  # the packages that it needs are there
    ran = installed.space.run(HOME / "fer/bin/pip", "install", *again, HOME / wheel.name)
    assert ran.returncode == 0 and "Successfully installed fer-edge-" in ran.stdout, ran.stderr
    assert installed.space.run(HOME / "fer/bin/fer-edge", "bundle", "list").returncode == 0


def test_the_service_and_its_user_are_installed(installed: Installed) -> None:
    """The lines after `service install` are those that it asks for; systemd-sysusers works without a systemd that runs."""
    lines = BLOCKS[SERVICE][1]
    assert f"fer-edge: now: {' && '.join(lines[-3:])}" in installed.output_of(lines[0])
    root = installed.space.root
    assert f"ExecStart={HOME}/fer/bin/fer-edge run" in (root / "etc/systemd/system/fer-edge.service").read_text()
    assert re.search(r"^fer-edge:", (root / "etc/passwd").read_text(), re.M)
    assert len(list((root / "opt/fer-edge/detectors").glob("*.tflite"))) == 3
