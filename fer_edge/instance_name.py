"""The name of an instance, by which `health`, `pause` and a systemd unit select one of several runs of a machine."""

from __future__ import annotations

import re

DEFAULT = "camera"
PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")  # files are named after it


def unit_name(name: str) -> str:
    """The name of the systemd unit of the instance `name`."""
    return "fer-edge.service" if name == DEFAULT else f"fer-edge@{name}.service"


def name_option(name: str) -> str:
    """What selects the instance `name` in a command line: “ --name NAME”, or nothing for the default one."""
    return "" if name == DEFAULT else f" --name {name}"
