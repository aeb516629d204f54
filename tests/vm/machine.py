"""A virtual arm64 machine under QEMU, by plain emulation: booted, reached over ssh, and killed as a power cut kills one.

No hardware virtualization is used, even where the machine has it: the same instructions run everywhere. Time there is not a
Raspberry Pi's.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.arm64.sysroot import ROOT
from tests.arm64.userspace import USER
from tests.loopback import answers_ssh, free_port, write_ssh_client
from tests.vm.image import SITE, Image, tool, tools

CODE = "/opt/vm/code"  # the checkout's packages, as `ship_checkout` puts them there
BOOT_LIMIT_S = 1800  # an emulated boot takes half a minute on an idle machine, and minutes on a busy one
PYTHON = f"env PYTHONPATH={CODE}:{SITE} python3"
FER_EDGE = f"{PYTHON} -m fer_edge"
# systemd gives up on a device after 90 s, which an emulated boot on a busy host exceeds
_KERNEL_WORDS = "root=/dev/vda rw console=ttyAMA0 quiet systemd.show_status=0 net.ifnames=0 "
_KERNEL_WORDS += f"systemd.default_device_timeout_sec={BOOT_LIMIT_S} systemd.default_timeout_start_sec={BOOT_LIMIT_S}"


@dataclass(slots=True)
class Machine:
    """A machine that was started. `folder` holds its disk, its console's text and the settings of its ssh client."""

    image: Image
    folder: Path
    process: subprocess.Popen[bytes]
    port: int
    name: str = field(default="vm")

    @property
    def console(self) -> str:
        """What the machine wrote to its serial console."""
        path = self.folder / "console.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with an `ssh` before the system's that knows the way to the machine."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def ssh(self, script: str, user: str = "root", limit_s: float = 3600, stdin: bytes = b"") -> str:
        """What a shell script there wrote to both streams, followed by nothing. Raises AssertionError when it fails."""
        ran = self.run(script, user, limit_s, stdin)
        assert ran.returncode == 0, f"exit {ran.returncode}: {script}\n{ran.stdout}"
        return ran.stdout

    def run(
        self, script: str, user: str = "root", limit_s: float = 3600, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """What came of a shell script there, both streams as one text."""
        command = [str(self.folder / "bin/ssh"), f"{user}@{self.name}", script]
        ran = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s, check=False
        )
        return subprocess.CompletedProcess(command, ran.returncode, ran.stdout.decode(errors="replace"))

    def wait_for_ssh(self) -> None:
        """Returns once it answers. Raises AssertionError, with the console's end, when it does not."""
        end_s = time.monotonic() + BOOT_LIMIT_S
        while self.process.poll() is None and time.monotonic() < end_s:
            if answers_ssh(self.port) and self.run("true").returncode == 0:
                return
            time.sleep(1)
        raise AssertionError(f"the machine does not answer; its console ends:\n{self.console[-3000:]}")

    def reboot(self) -> None:
        """Restarts the system in the same machine and returns once it answers again."""
        before = self.ssh("cat /proc/sys/kernel/random/boot_id")
        self.run("systemctl reboot")
        self._forget_connection()
        end_s = time.monotonic() + BOOT_LIMIT_S
        while time.monotonic() < end_s:
            ran = self.run("cat /proc/sys/kernel/random/boot_id") if answers_ssh(self.port) else None
            if ran is not None and ran.returncode == 0 and ran.stdout != before:
                return
            time.sleep(1)
        raise AssertionError(f"the machine did not reboot; its console ends:\n{self.console[-3000:]}")

    def cut_power(self) -> None:
        """Kills the machine at once: what it had not written to its disk is lost."""
        self.process.kill()
        self.process.wait()
        self._forget_connection()

    def _forget_connection(self) -> None:
        for user in ("root", USER):
            command = [str(self.folder / "bin/ssh"), "-O", "exit", f"{user}@{self.name}"]
            subprocess.run(command, capture_output=True, check=False)
            control_path(self.port, user).unlink(missing_ok=True)


def control_path(port: int, user: str) -> Path:
    """The socket of the one ssh connection of each user; not in the test's folder, whose name may be too long for one."""
    return Path(f"/tmp/fer-edge-vm-{os.getpid()}-{port}-{user}")


def new_disk(image: Image, folder: Path) -> Path:
    """A copy of the image's disk in `folder`, sparse."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "disk.ext4"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", image.disk, disk], check=True)
    return disk


@contextmanager
def started(
    image: Image, folder: Path, init: str = "", disks: Sequence[Path] = (), memory_mb: int = 1024, wait: bool = True
) -> Iterator[Machine]:
    """A machine with the disk in `folder`, booted; killed when the context ends. `init` replaces systemd.

    `disks` are further raw disks, /dev/vdb and so on.
    """
    port = free_port()
    options = ("ControlMaster auto", f"ControlPath {control_path(port, '%r')}", "ControlPersist 600")
    write_ssh_client(folder, "vm", port, image.key, image.host_key, *options, "ConnectTimeout 60", "LogLevel ERROR")
    (folder / "console.txt").unlink(missing_ok=True)
    drives: list[str | Path] = []
    for number, disk in enumerate((folder / "disk.ext4", *disks)):
        drives += ["-drive", f"file={disk},format=raw,if=none,id=d{number},cache=writeback"]
        drives += ["-device", f"virtio-blk-pci,drive=d{number}"]
    command = tool(
        "qemu-system-aarch64",
        *("-L", tools() / "usr/share/qemu", "-accel", "tcg,thread=multi", "-M", "virt", "-cpu", "cortex-a72"),
        *("-smp", "2", "-m", str(memory_mb), "-display", "none", "-monitor", "none"),
        *("-serial", f"file:{folder / 'console.txt'}", "-kernel", image.kernel, "-initrd", image.initrd),
        *("-append", f"{_KERNEL_WORDS} init={init}" if init else _KERNEL_WORDS, *drives),
        *("-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-net-pci,netdev=n,romfile=", "-device", "virtio-rng-pci"),
    )
    with (folder / "qemu.txt").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    machine = Machine(image, folder, process, port)
    try:
        if wait:
            machine.wait_for_ssh()
        yield machine
    finally:
        machine.cut_power()


def checkout_tree(folder: Path) -> Path:
    """The path of `code` in `folder`: the device's packages and the bundle `nano`, as a machine's CODE holds them."""
    code = folder / "code"
    for name in ("fer_edge", "device"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    (code / "models/nano").mkdir(parents=True)
    for name in ("bundle.json", "model.tflite", "golden.npz", "parity.json", "CARD.md"):
        shutil.copy(ROOT / "models/nano" / name, code / "models/nano" / name)
    return code


def ship_checkout(machine: Machine) -> None:
    """Copies the device package, the bundle `nano` and the face that cameras show to the machine."""
    stream = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive,
    ):
        archive.add(checkout_tree(Path(folder)), "code")
        archive.add(ROOT / "tests/vm/usb_camera.py", "usb_camera.py")
        for file_name, content in _pictures():
            entry = tarfile.TarInfo(f"faces/{file_name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    machine.ssh("mkdir -p /opt/vm && tar -xz --no-same-owner -C /opt/vm", stdin=stream.getvalue())


def _pictures() -> Iterable[tuple[str, bytes]]:
    """The files WIDTHxHEIGHT-NUMBER.gray and .jpg of a synthetic face, more than a capture remembers."""
    import cv2

    from fer_edge.synthetic_face import face_frame

    for width, height in ((320, 240), (640, 480)):
        for number in range(40):
            gray = face_frame(number / 10, width, height)
            encoded = cv2.imencode(".jpg", cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            yield f"{width}x{height}-{number:02}.gray", gray.tobytes()
            yield f"{width}x{height}-{number:02}.jpg", encoded.tobytes()
