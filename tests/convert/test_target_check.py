"""The properties of a target, and the targets that are refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from convert.deploy.ssh import ScriptOutput
from convert.deploy.target_check import Target
from fer_edge.errors import UsageError

PROPERTIES = {
    "uid": "1000", "sudo": "yes", "system": "Linux", "machine": "aarch64", "bits": "64", "packages": "arm64",
    "glibc": "glibc 2.36", "os": "Debian GNU/Linux 12 (bookworm)", "board": "Raspberry Pi 4 Model B Rev 1.5",
    "free_kb": "8000000",
    "python": "3.11.2 64 venv,picamera2 /usr/bin/python3", "video_devices": "2", "systemd": "yes",
}  # fmt: skip


def target(off_s: float = 0.0, **changed: str) -> Target:
    """A target with these properties, except for the changed ones; an empty text is not reported."""
    reported = {**PROPERTIES, "epoch_s": str(int(time.time() + off_s)), **changed}
    return Target.read(ScriptOutput({name: (text,) for name, text in reported.items() if text}, (), ""))


def test_a_fresh_pi_is_accepted() -> None:
    python = target().check(csi=True)
    assert (python.path, python.text) == ("/usr/bin/python3", "3.11.2")
    assert "Raspberry Pi 4" in target().text and "glibc 2.36" in target().text and "picamera2" in target().text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bits": "32", "packages": "armhf"}, "32-bit system .armhf.*write the 64-bit Raspberry Pi OS"),
        ({"machine": "armv7l", "bits": "32", "packages": ""}, "32-bit system .armv7l"),
        ({"packages": "armhf"}, "32-bit"),  # a 64-bit kernel under 32-bit packages, as Raspberry Pi OS has it
        ({"machine": "riscv64"}, "architecture is riscv64"),
        ({"system": "Darwin"}, "runs Darwin"),
        ({"glibc": "glibc 2.31"}, "glibc 2.31, and the runtime needs 2.34.*Bullseye is too old"),
        ({"glibc": ""}, "no glibc"),
        ({"sudo": ""}, "may not become root"),
        ({"python": "3.9.2 64 venv /usr/bin/python3"}, "has 3.9.2 ./usr/bin/python3.*apt install python3-venv"),
        ({"python": "3.11.2 64 - /usr/bin/python3"}, "module venv"),
        ({"python": "3.12.1 64 venv,home /home/pi/.pyenv/bin/python3"}, "outside of home directories"),
        ({"python": "3.14.0 64 venv /usr/bin/python3"}, "3.11, 3.12 or 3.13"),
        ({"python": ""}, "has none"),
        ({"missing": "rsync"}, "no rsync; run there: `sudo apt install rsync`"),
        ({"missing": "flock"}, "apt install util-linux"),
        ({"free_kb": "307200"}, "300 MB free, and a release needs 700"),
        ({"python": "3.11.2 64 venv /usr/bin/python3"}, "apt install python3-picamera2"),
    ],
)
def test_an_unfit_target_is_refused_with_a_remedy(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        target(**changed).check(csi=True)


def test_root_needs_no_sudo() -> None:
    assert target(uid="0", sudo="").check()


@pytest.mark.parametrize(
    ("off_s", "words"), [(-86_400, "behind this computer's"), (7200, "ahead of this computer's"), (20, "")]
)
def test_a_wrong_clock_gives_a_warning(off_s: float, words: str) -> None:
    assert words in target(off_s).clock_warning and bool(target(off_s).clock_warning) == bool(words)


@pytest.mark.parametrize(
    "changed", [{"free_kb": "much"}, {"video_devices": "$(reboot)"}, {"python": "three"}, {"epoch_s": ""}]
)
def test_properties_that_cannot_be_read_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        target(**changed)
