"""The address at which a run listens: a host and a port."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK = "127.0.0.1"


def is_host(name: str) -> bool:
    """Whether a name of this form can be looked up: each part of a host's name has 1 to 63 letters, all have 253."""
    try:
        return len(name.encode("idna")) <= 253
    except UnicodeError:
        return False


@dataclass(frozen=True, slots=True)
class Address:
    """A host, by name or IP address, and a port; port 0 is any free one."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """The address in `HOST:PORT`, `[::1]:PORT`, `:PORT` or `PORT`; without a host it is the loopback address.

        Raises ValueError for anything else.
        """
        host, _, port = text.strip().rpartition(":")
        bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") and host.endswith("]") else host
        if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ValueError(f"{port!r} is not a port")
        is_form_wrong = (":" in bare) != (bare != host) or any(sign.isspace() or sign in "/[]@" for sign in bare)
        if is_form_wrong or not is_host(bare or LOOPBACK):
            raise ValueError(f"{host!r} is not a host")
        return Address(bare or LOOPBACK, int(port))

    @staticmethod
    def validation_error(name: str, text: str) -> str:
        """What is wrong with `text` for the setting `name`, a sentence without its full stop; empty when nothing is wrong."""
        try:
            Address.parse(text)
        except ValueError:
            return f"{name} must be HOST:PORT, [::1]:PORT, or :PORT for this machine alone, not “{text}”"
        return ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
