"""The hosts of an Ansible inventory, as `ansible-inventory` reads it: with groups, ranges and variables of groups."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from convert.deploy.bounded_output import OutputTooLong, run_bounded
from convert.deploy.releases import Instance
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import UsageError
from fer_edge.json_fields import JsonFields, parse_json
from fer_edge.limits import INVENTORY_BYTES
from fer_edge.text_cleaning import clean

_LIMIT_S = 300.0
# The file is parsed as YAML only: Ansible would run one that is executable, and would take a missing one for an empty one.
_ENVIRON = {
    "ANSIBLE_INVENTORY_ENABLED": "yaml",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_NOCOLOR": "true",
}
_REMEDY = "correct the inventory"


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """A host of the inventory: its name there, its address for ssh, and the instance on it."""

    name: str
    address: SshAddress
    instance: Instance


def read_inventory(file: Path, limit: str, instance: Instance) -> tuple[InventoryHost, ...]:
    """The hosts of the inventory, each once, by name; those of the pattern `limit` where there is one.

    Raises UsageError without ansible-core, for a file that is no inventory, and the errors of `listed_hosts`.
    """
    if find_spec("ansible") is None:
        raise UsageError("reading an inventory needs the extra `fleet`: pip install 'fer-edge[fleet]'")
    hosts = listed_hosts(_parsed(file, limit), str(file), instance)
    if not hosts:
        raise UsageError(f"{file} has no host{f' of the pattern “{limit}”' * bool(limit)}; {_REMEDY}")
    return hosts


def listed_hosts(listed: object, source: str, instance: Instance) -> tuple[InventoryHost, ...]:
    """The hosts of what `ansible-inventory --list` prints. `source` names the inventory in messages.

    ansible_host, ansible_user and ansible_port make the address; fer_edge_name names the instance, else it is `instance`.
    Raises UsageError for a host that is no address.
    """
    fields = JsonFields.of(listed, source, UsageError, _REMEDY)
    variables = fields.object("_meta").named_objects("hostvars")
    groups = [fields.object(name) for name in fields.values if name != "_meta"]
    names = {name for group in groups if group.has("hosts") for name in group.any_texts("hosts")}
    return tuple(_host(source, name, variables.get(name), instance) for name in sorted(names))


def _host(source: str, name: str, variables: JsonFields | None, instance: Instance) -> InventoryHost:
    try:
        SshAddress(name)
        if variables is None:
            return InventoryHost(name, SshAddress(name), instance)
        host = variables.text("ansible_host") if variables.has("ansible_host") else name
        user = variables.text("ansible_user") if variables.has("ansible_user") else ""
        port = _port(variables) if variables.has("ansible_port") else None
        if variables.has("fer_edge_name"):
            instance = Instance(variables.text("fer_edge_name"))
        return InventoryHost(name, SshAddress(f"{user}@{host}" if user else host, port), instance)
    except UsageError as error:
        raise UsageError(f"{source}: host “{clean(name, 60)}”: {error}") from error


def _port(variables: JsonFields) -> int:
    """The port, a number or its digits in a text."""
    value = variables.values["ansible_port"]
    if not re.fullmatch(r"\d{1,5}", str(value), re.ASCII):
        variables.refuse("ansible_port", "a port")
    return int(value)


def _parsed(file: Path, limit: str) -> object:
    """The inventory as JSON values."""
    if not file.is_file():
        raise UsageError(f"{file} is not a file; name an Ansible inventory in YAML")
    command = [sys.executable, "-m", "ansible", "inventory", "--inventory", str(file.absolute()), "--list"]
    command += [f"--limit={limit}"] if limit else []
    try:
        ran = run_bounded(command, b"", _LIMIT_S, INVENTORY_BYTES, {**os.environ, **_ENVIRON})
        if ran.code == 0:
            return parse_json(ran.stdout)
        lines = [line.strip() for line in ran.stderr.splitlines() if line.strip() and not line.startswith("<<<")]
        reason = clean(" ".join(lines) or f"exit code {ran.code}", 500)
    except OutputTooLong:
        reason = f"it has more than {INVENTORY_BYTES:,} bytes"
    except subprocess.TimeoutExpired:
        reason = f"reading it took more than {_LIMIT_S:g} s"
    except ValueError as error:
        reason = f"ansible-inventory printed no JSON: {error}"
    raise UsageError(f"{file} cannot be read as an Ansible inventory in YAML: {reason}")
