"""Tries what a process can do inside the service's unit, and writes the result as JSON to its state folder."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import pwd
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def tried(what: Callable[[], Any]) -> str:
    """ "done", or the name of the error that the kernel gave."""
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def called(name: str, *arguments: int) -> Callable[[], None]:
    """A call of the C library that raises as Python's own do."""

    def call() -> None:
        library = ctypes.CDLL(None, use_errno=True)
        if getattr(library, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), name)

    return call


def setuid_file(folder: Path) -> None:
    file = folder / "setuid"
    file.touch()
    try:
        file.chmod(0o4755)
    finally:
        file.unlink()


def main() -> None:
    state = Path(os.environ["STATE_DIRECTORY"])
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mask = os.umask(0)
    os.umask(mask)
    found = {
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "capabilities": [status[name].strip("0") for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
        "no_new_privileges": status["NoNewPrivs"],
        "environment": {name: os.environ.get(name) for name in (
            "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY", "FER_EDGE_BUNDLES", "FER_EDGE_DETECTORS")},
        "umask": mask,
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "written": {folder: tried((Path(folder) / "x").touch) for folder in (
            "/", "/etc", "/usr", "/opt/fer-edge", "/var/lib", "/srv/repository", "/etc/fer-edge", "/tmp",
            os.environ["STATE_DIRECTORY"], os.environ["RUNTIME_DIRECTORY"])},
        "tmp": sorted(path.name for path in Path("/tmp").iterdir()),
        "home": sorted(str(path) for path in Path("/home").rglob("*") if "fer" not in path.parts[3:4])
        if os.access("/home", os.R_OK) else "closed",
        "others": Path("/proc/1").exists(),
        "readonly": sorted({m[4] for m in mounts if "ro" in m[5].split(",")}),
        "sockets": {name: tried(lambda name=name: socket.socket(getattr(socket, name), socket.SOCK_DGRAM).close())
                    for name in ("AF_UNIX", "AF_NETLINK", "AF_INET", "AF_INET6", "AF_PACKET")},
        "interfaces": [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]],
        "write_and_execute": tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
        "namespace": tried(called("unshare", 0x10000000)),
        "realtime": tried(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        "setuid": tried(lambda: setuid_file(state)),
        "personality": tried(called("personality", 0x0008)),
        "nice": tried(lambda: os.setpriority(os.PRIO_PROCESS, 0, 19)),
        "device": tried(lambda: os.close(os.open("/dev/kmsg-of-test", os.O_RDONLY))),
        "null": tried(lambda: os.close(os.open("/dev/null", os.O_RDWR))),
        "uts": str(Path("/proc/self/ns/uts").readlink()),
    }  # fmt: skip
    (state / f"sandbox-{sys.argv[1]}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
