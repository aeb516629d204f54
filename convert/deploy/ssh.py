"""An ssh connection to the target, over which scripts are run and files are copied.

OpenSSH makes it, so that the user's settings, keys, agent and jump hosts apply. No input from outside becomes part of a
command line on the target: a script is sent over stdin, and its arguments are quoted for the `sh` that reads it.
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

from convert.deploy.bounded_output import BoundedOutput, OutputTooLong, run_bounded
from convert.deploy.private_folder import private_folder
from convert.deploy.ssh_address import HostUnreachable, SshAddress, connection_error, printable_excerpt
from fer_edge.errors import FerEdgeError, RestartNeeded, UsageError
from fer_edge.limits import TARGET_OUTPUT_BYTES
from fer_edge.text_cleaning import clean

_LOGIN_S, _TYPING_S = 45.0, 300.0
_MAX_GREETING_BYTES = 64 << 10
# Only the connection itself: overrides settings of the user for this host that would run or forward something.
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


class ConnectionLost(RestartNeeded):
    """The connection ended before the step did; the same command resumes."""


class StepFailed(FerEdgeError):
    """A step failed on the target; the message is its stderr, and `code` its exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """The output of a script: the values that it reported by name, other lines of stdout, and stderr, all cleaned."""

    values: Mapping[str, tuple[str, ...]]
    lines: tuple[str, ...]
    stderr: str

    def first(self, name: str) -> str:
        """The first value of a name; empty where there is none."""
        return next(iter(self.values.get(name, ())), "")


class SshConnection:
    """A connection to a target, open inside a `with` block. It ends with this process, even when that is killed.

    A host with an unknown key is never accepted silently: at a terminal ssh asks the person, if it `may_ask`; otherwise it is
    refused. Raises
    HostUnreachable (exit code 75) when the host does not answer, or has started no shell after `login_s`, UsageError when it
    refuses the connection, or when the login has no shell.
    """

    def __init__(self, address: SshAddress, may_ask: bool = True, login_s: float = _LOGIN_S) -> None:
        self.address = address
        self.sudo = False  # whether scripts run as root by sudo
        self._interactive = may_ask and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        self._login_s = _TYPING_S if self._interactive else login_s

    def __enter__(self) -> SshConnection:
        for tool in ("ssh", "rsync"):
            if shutil.which(tool) is None:
                raise UsageError(
                    f"there is no {tool} on this computer; `sudo apt install openssh-client rsync` installs both"
                )
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(private_folder("ssh"))
        mark = token_hex(16)
        options = {
            **_OPTIONS,
            "BatchMode": "no" if self._interactive else "yes",
            "StrictHostKeyChecking": "ask" if self._interactive else "yes",
        }
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        port = ["-p", str(self.address.port)] if self.address.port else []
        self._stderr = (self._folder / "stderr").open("w+b")
        # It stays open as long as its stdin is, which this process holds.
        self._master = subprocess.Popen(
            ["ssh", *_PLAIN, *flags, *port, "-M", "-S", self._control, "--", self.address.text,
             f"echo {mark}; exec cat >/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
        )  # fmt: skip
        try:
            self._wait_for_shell(mark)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._master.stdin, self._master.stdout, self._stderr):
            if pipe is not None:
                pipe.close()
        try:
            self._master.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._master.terminate()
            self._master.wait()
        self._stack.close()

    def run(self, script: str, call: Sequence[str], limit_s: float = 120.0) -> ScriptOutput:
        """The output of the function `call[0]` of the shell `script`, with the rest of `call` as arguments.

        Raises StepFailed when it failed, ConnectionLost when the connection ended before it did.
        """
        mark = token_hex(16)
        quoted = " ".join(map(shlex.quote, call))
        # The shell parses the whole function before it runs any of it: a truncated script does nothing.
        main = (
            f"main() {{\necho {mark}\n( set -e\n{quoted}\n) </dev/null\nprintf '\\n{mark} %d\\n' $?\n}}\nmain; exit 0\n"
        )
        shell = "exec sudo -n sh -s" if self.sudo else "exec sh -s"
        output = self._run([*self._ssh, "--", "target", shell], call[0], f"{script}\n{main}".encode(), limit_s)
        _, started, rest = output.stdout.partition(f"{mark}\n")
        end = re.search(rf"\n{mark} (\d+)\n", rest)
        if not started or end is None:
            if not self.is_open():
                raise self._lost(call[0])
            raise UsageError(
                f"{self.address.host} did not run the script, but printed “{printable_excerpt(output.stdout, output.stderr)}”"
            )
        if code := int(end[1]):
            raise StepFailed(_messages(output.stderr) or f"“{call[0]}” ended with {code} and no message", code)
        values: dict[str, list[str]] = defaultdict(list)
        lines = []
        for line in rest[: end.start()].splitlines():
            name, sign, value = line.partition("=")
            if sign and re.fullmatch(r"[A-Za-z_.]+", name):
                values[name].append(clean(value, TARGET_OUTPUT_BYTES))
            elif line:
                lines.append(clean(line, TARGET_OUTPUT_BYTES))
        reported = {name: tuple(of_name) for name, of_name in values.items()}
        return ScriptOutput(reported, tuple(lines), _messages(output.stderr))

    def send(self, folder: Path, destination: str, excluded: Sequence[str] = ()) -> int:
        """Copies the content of `folder`, without these patterns, into an existing folder of the target.

        Partial transfers resume; extra files on the target are deleted. Returns the bytes sent over the network.
        """
        arguments = ["-rtL", "--delete", "--stats", "--chmod=D755,F644", "--partial-dir=.part"]
        arguments += [f"--exclude={pattern}" for pattern in excluded]
        statistics = self._rsync([*arguments, "--", f"{folder}/", f"target:{destination}/"])
        return rsync_count(statistics, "Total bytes sent")

    def fetch(self, folder: str, destination: Path, patterns: Sequence[str], known: Path | None = None) -> str:
        """Copies the target's files of these patterns below `folder` into `destination`; returns rsync's statistics.

        Files that are in the folder `known` too are left out, and of those that changed only the changes are sent.
        Links, devices and owners are not copied, and rsync rejects names that lead out of `destination`.
        """
        included = [f"--include={pattern}" for pattern in ("*/", *patterns)]
        compared = [] if known is None else [f"--compare-dest={known.absolute()}"]
        return self._rsync(
            ["-rtm", "--stats", "--chmod=D700,F600", "--partial-dir=.part", *compared, *included, "--exclude=*", "--",
             f"target:{folder}/", f"{destination.absolute()}/"]  # rsync takes a:b for a host
        )  # fmt: skip

    def is_open(self) -> bool:
        """Whether the connection is still open."""
        command = [*self._ssh, "-O", "check", "--", "target"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    @property
    def _control(self) -> str:
        return str(self._folder / "c")

    @property
    def _ssh(self) -> list[str]:
        """The ssh command over this connection only: without it, it connects to no host."""
        return ["ssh", "-F", "none", *_PLAIN, "-S", self._control, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]

    def _rsync(self, arguments: Sequence[str]) -> str:
        sudo = ["--rsync-path=sudo -n rsync"] if self.sudo else []
        command = ["rsync", "--rsh", " ".join(self._ssh), "--timeout=120", *sudo, *arguments]
        output = self._run(command, "copying", environ={**os.environ, "LC_ALL": "C"})
        if output.code:
            if not self.is_open():
                raise self._lost("copying")
            errors = [line for line in output.stderr.splitlines() if not line.startswith("rsync error:")]
            raise StepFailed(" ".join(map(clean, errors[-3:])) or f"rsync ended with {output.code}", output.code)
        return output.stdout

    def _run(
        self,
        command: Sequence[str],
        during: str,
        stdin: bytes = b"",
        limit_s: float | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> BoundedOutput:
        """The output of a command on this computer that uses the connection; `during` names the step in messages."""
        try:
            return run_bounded(command, stdin, limit_s, TARGET_OUTPUT_BYTES, environ)
        except OutputTooLong as error:
            raise UsageError(
                f"{self.address.host} printed more than {TARGET_OUTPUT_BYTES:,} bytes during “{during}”; look what prints "
                "so much there"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ConnectionLost(
                f"{self.address.host} took longer than {limit_s:g} s over “{during}”; try again"
            ) from error

    def _lost(self, during: str) -> ConnectionLost:
        return ConnectionLost(
            f"the connection to {self.address.host} was lost during “{during}”; the same command resumes"
        )

    def _wait_for_shell(self, mark: str) -> None:
        """Waits until the target has printed `mark`, which needs a shell. Raises the errors of the class when it does not."""
        assert self._master.stdout is not None
        descriptor, received = self._master.stdout.fileno(), b""
        end_s = time.monotonic() + self._login_s
        while f"{mark}\n".encode() not in received.replace(b"\r\n", b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            chunk = os.read(descriptor, 4096) if ready else b""
            received += chunk
            if not ready:
                raise self._slow_login(received)
            if len(received) > _MAX_GREETING_BYTES:
                raise self._no_shell(received)
            if not chunk:
                code = self._master.wait()
                self._stderr.seek(0)
                errors = self._stderr.read(_MAX_GREETING_BYTES).decode(errors="replace")
                raise connection_error(self.address, errors) if code == 255 else self._no_shell(received)

    def _no_shell(self, received: bytes) -> UsageError:
        text = printable_excerpt(received.decode(errors="replace"), "nothing")
        return UsageError(
            f"{self.address.host} gives this login no shell: it printed “{text}”; log in as a user who has one"
        )

    def _slow_login(self, received: bytes) -> HostUnreachable:
        text = printable_excerpt(received.decode(errors="replace"), "nothing")
        reason = f"did not finish the login within {self._login_s:g} s"
        if Path(self._control).exists():  # ssh makes it after the login
            reason = f"accepted the login and started no shell within {self._login_s:g} s; it printed “{text}”"
        return HostUnreachable(
            f"{self.address.host} {reason}; a first login may be slow: try again, or look what `ssh {self.address.text}` "
            "waits for"
        )


def _messages(stderr: str) -> str:
    """The last lines of a target's stderr, cleaned."""
    return "\n".join(clean(line, 400) for line in stderr.strip().splitlines()[-20:])


def rsync_count(statistics: str, name: str) -> int:
    """The number of that name in the output of `rsync --stats`; 0 where there is none."""
    found = re.search(rf"^{name}: ([\d.,]+)", statistics, re.M)
    return int(re.sub(r"\D", "", found[1])) if found else 0
