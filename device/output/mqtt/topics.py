"""Topics: under which names a run's messages are found at a broker, and the id that keeps two devices apart."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of the instance `id`, below `prefix`; `discovery` is Home Assistant's own prefix, empty for none."""

    prefix: str
    id: str
    discovery: str = ""

    def of(self, what: str) -> str:
        """The topic of availability, about, state, health, tally or reading."""
        return f"{self.prefix}/{self.id}/{what}"

    @property
    def config(self) -> str:
        """The topic by which Home Assistant discovers a device."""
        return f"{self.discovery}/device/{self.id}/config"


def instance_id(name: str, root: Path = Path("/")) -> str:
    """The instance's name and eight digits of this machine's own: the same after each start, another on another machine.

    The digits come from /etc/machine-id, which systemd asks not to be shown as it is; from the host's name without one.
    """
    try:
        machine = (root / "etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    machine = machine or platform.node()
    return f"{name}-{hashlib.sha256(f'fer-edge {machine}'.encode()).hexdigest()[:_DIGITS]}"
