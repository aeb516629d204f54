"""The target as ssh reaches it: one connection, over which scripts are run and files are copied.

OpenSSH does it, so that the user's own settings, keys, agent and jump hosts count. Nothing that comes from outside is ever
part of a command line there: a script goes over stdin, and what it is given is quoted for the `sh` that reads it.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType

from convert.deploy.private_folder import private_folder
from convert.deploy.ssh_address import SshAddress, explain_failure, printable_excerpt
from fer_edge.errors import FerEdgeError, RestartMe, UsageError

_CONNECT_S, _TYPING_S = 45.0, 300.0
_MOST_BYTES = 64 << 10  # of greetings before the answer
# Nothing but the connection is asked for, whatever the user's settings say of this host.
_PLAIN = ("-T", "-o", "RemoteCommand=none", "-o", "RequestTTY=no")
_OPTIONS = {
    "ControlPersist": "no",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "UpdateHostKeys": "no",
}


class ConnectionLost(RestartMe):
    """The connection ended before the step did; the same command goes on from there."""


class StepFailed(FerEdgeError):
    """A step failed on the target; the message is what was said there. `code` is the step's own exit code."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What a script said: each name with its values in order, other lines of stdout, and stderr."""

    values: Mapping[str, tuple[str, ...]]
    lines: tuple[str, ...]
    spoken: str

    def first(self, name: str) -> str:
        """The first value of that name; empty where there is none."""
        return next(iter(self.values.get(name, ())), "")


class SshConnection:
    """One connection to a target, open while this is entered; it ends with this process, however that ends.

    A host whose key is not known is never taken silently: a person at a terminal is asked by ssh, a program is refused.
    Raises UsageError when the connection cannot be made, or when what answers is no shell.
    """

    def __init__(self, to: SshAddress) -> None:
        self.to = to
        self.sudo = False  # whether scripts are run with root's rights, which the login itself does not have
        self._asks = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    def __enter__(self) -> SshConnection:
        for tool in ("ssh", "rsync"):
            if shutil.which(tool) is None:
                raise UsageError(
                    f"there is no {tool} on this computer; `sudo apt install openssh-client rsync` has both"
                )
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(private_folder("ssh"))
        mark = token_hex(16)
        options = {
            **_OPTIONS,
            "BatchMode": "no" if self._asks else "yes",
            "StrictHostKeyChecking": "ask" if self._asks else "yes",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        port = ["-p", str(self.to.port)] if self.to.port else []
        self._said = (self._folder / "said").open("w+b")
        # It holds on for as long as its stdin is open, which is as long as this process lives.
        self._master = subprocess.Popen(
            ["ssh", *_PLAIN, *given, *port, "-M", "-S", self._control, "--", self.to.text,
             f"echo {mark}; exec cat >/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        try:
            self._await(mark)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._master.stdin, self._master.stdout, self._said):
            if pipe is not None:
                pipe.close()
        try:
            self._master.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._master.terminate()
            self._master.wait()
        self._stack.close()

    def run(self, script: str, call: Sequence[str], limit_s: float = 120.0) -> ScriptOutput:
        """What the function `call[0]` of the shell `script` answered, given the rest of `call`.

        Raises StepFailed when it failed, ConnectionLost when its end was not heard of.
        """
        mark = token_hex(16)
        quoted = " ".join(map(shlex.quote, call))
        # The shell reads all of it before it does any of it: half a script does nothing.
        whole = (
            f"main() {{\necho {mark}\n( set -e\n{quoted}\n) </dev/null\nprintf '\\n{mark} %d\\n' $?\n}}\nmain; exit 0\n"
        )
        shell = "exec sudo -n sh -s" if self.sudo else "exec sh -s"
        try:
            ran = subprocess.run(
                [*self._ssh, "--", "target", shell], input=f"{script}\n{whole}", capture_output=True, text=True,
                errors="replace", check=False, timeout=limit_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ConnectionLost(
                f"{self.to.host} took longer than {limit_s:g} s over “{call[0]}”; try again"
            ) from error
        _, begun, rest = ran.stdout.partition(f"{mark}\n")
        told = re.search(rf"\n{mark} (\d+)\n", rest)
        if not begun or told is None:
            if not self.lives():
                raise self._lost(call[0])
            raise UsageError(
                f"{self.to.host} did not run what it was sent, but said “{printable_excerpt(ran.stdout, ran.stderr)}”"
            )
        if code := int(told[1]):
            raise StepFailed(ran.stderr.strip() or f"“{call[0]}” ended with {code} and said nothing", code)
        values: dict[str, list[str]] = defaultdict(list)
        lines = []
        for line in rest[: told.start()].splitlines():
            name, sign, value = line.partition("=")
            if sign and re.fullmatch(r"[A-Za-z_.]+", name):
                values[name].append(value)
            elif line:
                lines.append(line)
        return ScriptOutput({name: tuple(all_) for name, all_ in values.items()}, tuple(lines), ran.stderr.strip())

    def send(self, folder: Path, to: str, but: Sequence[str] = ()) -> int:
        """Copies what is in `folder`, but for these patterns, into the folder `to` of the target, which is there.

        What came half is gone on with, what else lies there goes. Gives the bytes that went over the line.
        """
        without = [f"--exclude={pattern}" for pattern in but]
        words = ["-rtL", "--delete", "--stats", "--chmod=D755,F644", "--partial-dir=.part", *without]
        said = self._rsync([*words, "--", f"{folder}/", f"target:{to}/"])
        return rsync_count(said, "Total bytes sent")

    def fetch(self, folder: str, to: Path, patterns: Sequence[str]) -> str:
        """Copies the target's files of these patterns below `folder` into `to`; what rsync said of it.

        No links, devices or owners come along, and rsync takes no name that leads out of `to`.
        """
        wanted = [f"--include={pattern}" for pattern in ("*/", *patterns)]
        return self._rsync(
            ["-rtm", "--stats", "--chmod=D700,F600", "--partial-dir=.part", *wanted, "--exclude=*", "--",
             f"target:{folder}/", f"{to}/"]
        )  # fmt: skip

    def lives(self) -> bool:
        """Whether the connection still stands."""
        asked = [*self._ssh, "-O", "check", "--", "target"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    @property
    def _control(self) -> str:
        return str(self._folder / "c")

    @property
    def _ssh(self) -> list[str]:
        """ssh over this connection, and over no other: without it there is no way to any host."""
        return ["ssh", "-F", "none", *_PLAIN, "-S", self._control, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]

    def _rsync(self, words: Sequence[str]) -> str:
        there = ["--rsync-path=sudo -n rsync"] if self.sudo else []
        ran = subprocess.run(
            ["rsync", "--rsh", " ".join(self._ssh), "--timeout=120", *there, *words],
            capture_output=True, text=True, errors="replace", check=False, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        if ran.returncode:
            if not self.lives():
                raise self._lost("copying")
            said = [line for line in ran.stderr.splitlines() if not line.startswith("rsync error:")]
            raise StepFailed(" ".join(said[-3:]) or f"rsync ended with {ran.returncode}", ran.returncode)
        return ran.stdout

    def _lost(self, during: str) -> ConnectionLost:
        return ConnectionLost(
            f"the connection to {self.to.host} was lost during “{during}”; the same command again goes on from there"
        )

    def _await(self, mark: str) -> None:
        """Returns when the target has said `mark`, which takes a shell."""
        assert self._master.stdout is not None
        node, heard = self._master.stdout.fileno(), b""
        end_s = time.monotonic() + (_TYPING_S if self._asks else _CONNECT_S)
        while f"{mark}\n".encode() not in heard.replace(b"\r\n", b"\n"):
            ready, _, _ = select.select([node], [], [], max(0.0, end_s - time.monotonic()))
            more = os.read(node, 4096) if ready else b""
            heard += more
            if not ready or len(heard) > _MOST_BYTES:
                raise self._no_shell(heard)
            if not more:
                code = self._master.wait()
                self._said.seek(0)
                said = self._said.read().decode(errors="replace")
                raise UsageError(explain_failure(self.to, said)) if code == 255 else self._no_shell(heard)

    def _no_shell(self, heard: bytes) -> UsageError:
        said = printable_excerpt(heard.decode(errors="replace"), "nothing")
        return UsageError(f"{self.to.host} gives this login no shell: it said “{said}”; log in as a user who has one")


def rsync_count(said: str, what: str) -> int:
    """The number that `rsync --stats` gives for `what`; 0 where it gives none."""
    found = re.search(rf"^{what}: ([\d.,]+)", said, re.M)
    return int(re.sub(r"\D", "", found[1])) if found else 0
