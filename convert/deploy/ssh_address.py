"""The address of a target, and explanations of ssh's errors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.errors import FerEdgeError, RestartNeeded, UsageError
from fer_edge.text_cleaning import clean

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]{0,252}")


@dataclass(frozen=True, slots=True)
class SshAddress:
    """A target's address for ssh, HOST or USER@HOST. Raises UsageError for a text that ssh could take for something else."""

    text: str
    port: int | None = None

    def __post_init__(self) -> None:
        user, at, host = self.text.rpartition("@")
        if not _HOST.fullmatch(host) or (at and not _USER.fullmatch(user)):
            raise UsageError(
                f"“{self.text}” is not a host; give HOST or USER@HOST, of letters, digits and . _ - : %, or a name from "
                "~/.ssh/config; --port sets the port"
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise UsageError(f"--port must be 1 to 65535, not {self.port}")

    @property
    def host(self) -> str:
        """The host without the user."""
        return self.text.rpartition("@")[2]

    @property
    def ssh_arguments(self) -> str:
        """What to type after `ssh` to come there."""
        return f"{f'-p {self.port} ' if self.port else ''}{self.text}"

    @property
    def known_host(self) -> str:
        """The host's name in ~/.ssh/known_hosts, quoted for a shell."""
        return f"'[{self.host}]:{self.port}'" if self.port not in (None, 22) else self.host


def printable_excerpt(*texts: str) -> str:
    """The first text that is not blank, as one line of at most 81 printable characters."""
    text = next((text for text in texts if text.strip()), "")
    return clean(" ".join(text[:400].split()), 81)


class HostUnreachable(RestartNeeded):
    """A host does not answer; the same command may succeed later."""


def connection_error(address: SshAddress, errors: str) -> FerEdgeError:
    """Why ssh made no connection, from its stderr, and what to do.

    UsageError where a person must change something, HostUnreachable where the host does not answer.
    """
    if explanation := _refusal(address, errors):
        return UsageError(explanation)
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    reason = printable_excerpt(lines[-1].removeprefix("ssh: ") if lines else "ssh printed nothing")
    return HostUnreachable(
        f"{address.host} cannot be reached: {reason}; is it switched on, and does `ssh {address.ssh_arguments}` work?"
    )


def _refusal(address: SshAddress, errors: str) -> str:
    """Why the host, or this computer, refused the connection; empty where the host did not answer."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if "IDENTIFICATION HAS CHANGED" in errors:
        return (
            f"{address.host} has another key than the one that this computer knows: it is another machine, or it was "
            f"installed again; if you are sure that it is right, `ssh-keygen -R {address.known_host}` removes the old key"
        )
    if "Host key verification failed" in errors:
        return (
            f"this computer does not know the key of {address.host}, and none was accepted; "
            f"`ssh {address.ssh_arguments}` shows it once"
        )
    if "Permission denied" in errors:
        return (
            f"{address.host} does not let {address.text} in ({printable_excerpt(lines[-1])}); "
            f"`ssh-copy-id {address.ssh_arguments}` copies your key there; a key with a passphrase needs an agent"
        )
    return ""
