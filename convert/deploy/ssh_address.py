"""Where a deploy goes: the target's name as ssh takes it, and what ssh means when it does not get there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.errors import UsageError

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]{0,252}")


@dataclass(frozen=True, slots=True)
class SshAddress:
    """A target's name, as ssh takes it: HOST or USER@HOST. Raises UsageError for what could be anything else."""

    text: str
    port: int | None = None

    def __post_init__(self) -> None:
        user, at, host = self.text.rpartition("@")
        if not _HOST.fullmatch(host) or (at and not _USER.fullmatch(user)):
            raise UsageError(
                f"“{self.text}” is no host; give HOST or USER@HOST, of letters, digits and . _ - : %, or a name out of "
                "~/.ssh/config; --port gives the port"
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise UsageError(f"--port must be 1 to 65535, not {self.port}")

    @property
    def host(self) -> str:
        """The name without the user."""
        return self.text.rpartition("@")[2]


def printable_excerpt(*texts: str) -> str:
    """The first of these that is not blank, as much of it as belongs into a sentence, without what could play tricks."""
    text = next((text for text in texts if text.strip()), "")
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    return plain if len(plain) <= 80 else f"{plain[:80]}…"


def explain_failure(to: SshAddress, said: str) -> str:
    """Why ssh made no connection, and what to do."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "IDENTIFICATION HAS CHANGED" in said:
        return (
            f"{to.host} shows another key than the one this computer knows it by: another machine answers there, or it was "
            f"installed anew; if you know which, `ssh-keygen -R {to.host}` forgets the old one"
        )
    if "Host key verification failed" in said:
        port = f" -p {to.port}" if to.port else ""
        return f"this computer does not know the key of {to.host}, and none was accepted; `ssh{port} {to.text}` shows it once"
    if "Permission denied" in said:
        return (
            f"{to.host} does not let {to.text} in ({lines[-1]}); `ssh-copy-id {to.text}` gives it your key; a key with a "
            "passphrase belongs into an agent"
        )
    why = lines[-1].removeprefix("ssh: ") if lines else "ssh said nothing"
    return f"{to.host} cannot be reached: {printable_excerpt(why)}; is it on, and `ssh {to.text}` possible?"
