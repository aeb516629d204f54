"""A whole arm64 system to type commands in: Debian's own packages, a user who may `sudo`, `apt`, an `sshd`; emulated.

Each is entered through namespaces of its own and written to beside the kept one, so that it is fresh each time. It has this
machine's kernel and network, and no systemd that runs. It wants root, for the files' owners, and Linux 6.7 or later.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.arm64.sysroot import cache_folder, emulator

ENTER = Path(__file__).with_name("enter.sh")
USER, USER_ID = "pi", 1000
HOME = Path("/home") / USER
PLAIN = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
# How this machine reaches the network, where it must be told
NETWORK = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
CANNOT = "no arm64 user space may be entered here"  # tests/allowed_skips.txt says what that takes


@dataclass(frozen=True, slots=True)
class UserSpace:
    """An arm64 system that was entered, and lasts as long as its first process."""

    first: int  # process id
    cpu: str  # as QEMU calls it

    @property
    def root(self) -> Path:
        """Its files, for this machine's own programs; who writes there gives the user what is to be the user's."""
        return Path(f"/proc/{self.first}/root")

    def command(self, *words: str | Path, user: bool = True, **environment: str) -> list[str]:
        """What runs `words` there, as the user in the home folder or as root, with nothing of this machine's environment."""
        who = ["--setuid", str(USER_ID), "--setgid", str(USER_ID)] if user else []
        home = HOME if user else Path("/root")
        variables = {**PLAIN, "HOME": str(home), "USER": USER if user else "root", "QEMU_CPU": self.cpu, **environment}
        variables |= {name: os.environ[name] for name in NETWORK if name in os.environ}
        enter = ["nsenter", "--target", str(self.first), "--user", "--mount", "--pid", "--root", *who]
        return [*enter, f"--wd={self.root}{home}", "/usr/bin/env", "-i", *_pairs(variables), *map(str, words)]

    def run(
        self, *words: str | Path, user: bool = True, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """What came of `words`, both streams as text."""
        command = self.command(*words, user=user, **environment)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def may_be_entered() -> bool:
    """Whether this machine lets arm64 programs be started in namespaces: root, and Linux 6.7 or later."""
    if os.geteuid() != 0:
        return False
    with _namespaces("mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && echo entered") as process:
        assert process.stdout is not None
        return process.stdout.readline() == "entered\n"


@contextmanager
def entered(root: Path, cpu: str, keep: bool = False) -> Iterator[UserSpace]:
    """The system whose files lie in `root`, which stays as it is unless `keep`; all its processes end with the context.

    Raises RuntimeError, with what was said, where that cannot be.
    """
    with tempfile.TemporaryDirectory(prefix="fer-edge-arm64-") as temporary:
        folders = [Path(temporary) / name for name in ("mounted", "upper", "work")]
        for folder in folders:
            folder.mkdir()
        if not keep:  # what pip fetches is kept as the rest is
            folders.append(cache_folder() / "pip")
            folders[-1].mkdir(exist_ok=True)
            os.chown(folders[-1], USER_ID, USER_ID)
        words = [str(ENTER), str(emulator()), str(root), *map(str, folders[: 1 if keep else 4])]
        with _namespaces('exec sh "$@"', *words, QEMU_CPU=cpu) as process:
            assert process.stdout is not None
            if process.stdout.readline() != "entered\n":
                process.kill()
                assert process.stderr is not None
                raise RuntimeError(f"{root} cannot be entered: {process.stderr.read().strip()}")
            yield UserSpace(int(_children(process.pid)[0]), cpu)


@contextmanager
def _namespaces(script: str, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A shell in user, mount and process namespaces of its own whose root, and every other user, are this machine's."""
    isolated = "exec unshare --mount --pid --fork --kill-child --mount-proc"
    command = ["unshare", "--user", "sh", "-c", f'read _; {isolated} sh -c "$@"', "sh", script, "sh", *words]
    pipe, environ = subprocess.PIPE, {**os.environ, **environment}
    process = subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdin is not None
    try:
        own, its = Path("/proc/self/ns/user").readlink(), Path(f"/proc/{process.pid}/ns/user")
        with suppress(OSError):  # it may have been refused the namespace, and is gone
            while process.poll() is None and its.readlink() == own:
                time.sleep(0.01)
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536\n")
        with suppress(BrokenPipeError):
            process.stdin.write("\n")
            process.stdin.flush()
        yield process
    finally:
        first = _children(process.pid)
        process.kill()
        process.communicate()
        end_s = time.monotonic() + 10
        while any(Path("/proc", name).exists() for name in first) and time.monotonic() < end_s:
            time.sleep(0.01)  # it goes when the last of its processes has gone, which may write until then


def _children(process_id: int) -> list[str]:
    try:
        return Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    except OSError:  # it has gone
        return []


def _pairs(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
