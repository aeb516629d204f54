"""The topics of a run's messages at a broker, and the id that distinguishes two devices."""

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

    def topic(self, kind: str) -> str:
        """The topic of availability, about, state, health, tally or reading."""
        return f"{self.prefix}/{self.id}/{kind}"

    @property
    def discovery_topic(self) -> str:
        """The topic on which Home Assistant discovers a device."""
        return f"{self.discovery}/device/{self.id}/config"


def instance_id(name: str, root: Path = Path("/")) -> str:
    """The instance's name and eight digits of this machine: the same after each start, different on another machine.

    The digits come from a hash of /etc/machine-id, which systemd asks not to be published; without one, of the host's name.
    """
    try:
        machine = (root / "etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    machine = machine or platform.node()
    return f"{name}-{hashlib.sha256(f'fer-edge {machine}'.encode()).hexdigest()[:_DIGITS]}"
