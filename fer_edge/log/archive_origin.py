"""Whose rows a device's folder of an archive holds, so that no journal gets two names there and no name two journals.

The schema of each file has it, under the key `fer-edge`: a journal is known by the headers of its segments (boot, time, name),
of which its first and last at the time of an export are kept, and by the place from which it was exported, as a hash. Journals
lose segments for their age, for space and by purges; the place then tells that it is the same one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.segments import segment_lines, segments
from fer_edge.json_fields import json_text
from fer_edge.log.archive import device_folder
from fer_edge.log.devices import Device
from fer_edge.log.tables import pyarrow_modules

_KEY = b"fer-edge"
Header = tuple[str, float, str]  # boot, seconds since it, name of the instance


@dataclass(frozen=True, slots=True)
class Origin:
    """The journal of a device's rows: the headers of its first and last segment, and a hash of its computer and folder."""

    first: Header
    last: Header
    place: str

    def metadata(self) -> dict[bytes, bytes]:
        """For the schema of the files."""
        return {_KEY: json_text({"first": self.first, "last": self.last, "place": self.place}).encode()}

    @staticmethod
    def of_metadata(metadata: dict[bytes, bytes] | None) -> Origin | None:
        """The origin in a schema; None where it has none."""
        try:
            fields = json.loads((metadata or {})[_KEY])
            first, last = (_header(fields[name]) for name in ("first", "last"))
            return Origin(first, last, str(fields["place"]))
        except (KeyError, TypeError, ValueError):
            return None

    def since(self, archived: Origin | None) -> Origin:
        """This one, with the first segment of the archived one."""
        return self if archived is None else replace(self, first=archived.first)


def origins_for(archive: Path, devices: Sequence[Device], every: Sequence[Device]) -> list[Origin | None]:
    """The origin of the rows of each device's journal, to be written under its name; None where it has no header.

    `every` are those devices and what is beside them. A new journal in the place of another is taken for the same device,
    unless that other one is among them: so all are asked for before one is written. Raises UsageError when the archive has a
    journal under another name, or another one under this name, when two of the devices have the same journal, or without the
    extra `parquet`; OSError.
    """
    headers = {device: list(_headers(device.folder)) for device in every}
    owners: dict[Header, list[Device]] = {}
    for device, several in headers.items():
        for header in dict.fromkeys(several):  # that of a run may stand in each of its segments
            owners.setdefault(header, []).append(device)
    for header, several_devices in owners.items():
        if len(several_devices) > 1 and len(same := [device for device in several_devices if device in devices]) > 1:
            raise UsageError(
                f"{same[0].folder} and {same[1].folder} have the same journal (boot {header[0]}); its rows would be counted "
                "twice. Remove one of them, or name the folders to export without it"
            )
    known = ((folder.name, archived_origin(folder)) for folder in sorted(archive.glob("*/device=*")))
    stored = [(name, origin) for name, origin in known if origin is not None]
    return [_origin_for(archive, stored, device, headers[device], owners) for device in devices]


def _origin_for(
    archive: Path,
    stored: Sequence[tuple[str, Origin]],
    device: Device,
    headers: Sequence[Header],
    owners: Mapping[Header, Sequence[Device]],
) -> Origin | None:
    """That of one device; `stored` are the folders of devices in the archive by their names, with their origins."""
    name, folder = device.name, device.folder
    if not headers:
        return None
    place = sha256(os.fsencode(f"{os.uname().nodename}:{folder.resolve()}")).hexdigest()[:16]
    mine, known = device_folder(archive, "events", name).name, set(headers)
    of_name: list[Origin] = []
    for found, archived in stored:
        if found == mine:
            of_name.append(archived)
        elif archived.first in known or archived.last in known:
            raise _archived_already(archive, found, archived, device)
    if any(origin.first in known or origin.last in known for origin in of_name):
        return Origin(headers[0], headers[-1], place)
    for origin in of_name:
        if others := owners.get(origin.first) or owners.get(origin.last):  # this device is none of them
            raise _archived_already(archive, mine, origin, others[0])
    if of_name and not any(origin.place == place for origin in of_name):
        raise UsageError(
            f"{archive} has another journal as device={name} (its boot {of_name[0].last[0]} is not in {folder}). Give each "
            "device a name of its own (`fer-edge deploy --name`, after `sudo systemctl stop fer-edge` and `sudo systemctl "
            "disable fer-edge` there; without a deploy `fer-edge run --name`), or export it with --device from the folder of "
            f"all devices; where it is the same device, rename the folders {archive}/*/{mine}"
        )
    return Origin(headers[0], headers[-1], place)


def _archived_already(archive: Path, found: str, archived: Origin, device: Device) -> UsageError:
    """The refusal of a device whose journal the archive has as the folders `found`."""
    return UsageError(
        f"{archive} has the journal in {device.folder} as {unquote(found)} already (boot {archived.last[0]}); as {device.name} "
        f"its rows would be counted twice. Rename the folders {archive}/*/{found} to "
        f"{device_folder(archive, 'events', device.name).name}, or remove them"
    )


def archived_origin(folder: Path) -> Origin | None:
    """The origin of the rows in a device's folder of one kind; None for none.

    A file that cannot be read has none: what reads its rows reports it.
    """
    file = next((file for day in sorted(folder.glob("day=*")) for file in sorted(day.glob("*.parquet"))), None)
    if file is None:
        return None
    pa, pq = pyarrow_modules()
    try:
        return Origin.of_metadata(pq.read_schema(file).metadata)
    except (OSError, pa.ArrowException):
        return None


def _headers(folder: Path) -> Iterator[Header]:
    for segment in segments(folder):
        try:
            for _, item in islice(segment_lines(segment), 1):
                if isinstance(item, Event) and item.kind == "header":
                    yield item.boot, item.mono_s, str(item.body.get("name", ""))
        except FileNotFoundError:  # the running instance deleted it meanwhile
            continue


def _header(values: Any) -> Header:
    boot, mono_s, name = values
    return str(boot), float(mono_s), str(name)
