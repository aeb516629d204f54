"""The content of a status file as typed values: written by the loop, and read by commands, maybe of another user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from device.clock import CLOCK_STATES
from device.system.health import BITS, Health
from fer_edge.errors import UsageError
from fer_edge.json_fields import JsonFields

SCHEMA = 1
STATES = ("starting", "waiting", "running", "lost", "paused", "stopping")
_MAX_PID = 1 << 22


class StatusDamaged(UsageError):
    """A status file is not one that this program wrote."""


class StatusOfLaterVersion(UsageError):
    """A status file that a later version wrote, with the process that wrote it.

    `pid`, `pid_started` and `boot` keep their place and meaning in every version of the file; None where they are not there.
    """

    def __init__(self, message: str, pid: int | None, pid_started: int | None, boot: str | None) -> None:
        super().__init__(message)
        self.pid, self.pid_started, self.boot = pid, pid_started, boot


@dataclass(frozen=True, slots=True)
class Status:
    """What the loop knows of itself. Times are seconds since boot, on the run's own clock."""

    state: str  # one of STATES
    camera: str  # its name, without passwords
    journal: str  # its folder
    frame_mono_s: float | None = None  # when the last frame was taken, processed or dropped
    frames: Mapping[str, int] = field(default_factory=dict)  # read, processed, with_face
    drops: Mapping[str, int] = field(default_factory=dict)  # by reason
    journal_trouble: str | None = None  # why the journal cannot be written at present
    lines_lost: int = 0  # journal lines that were dropped
    prior: Mapping[str, float] | None = None  # the prior in use by label, where it is not that of training
    health: Health | None = None
    problems: tuple[str, ...] = ()  # of the machine
    outputs: Mapping[str, str | None] = field(
        default_factory=dict
    )  # beside the journal: by name, why one fails at present
    since_mono_s: float | None = None  # since when the run is in this state

    @staticmethod
    def read(fields: JsonFields) -> Status:
        """The status in the content of a file. Raises the fields' error."""
        return Status(
            state=fields.text("state", STATES),
            camera=fields.any_text("camera"),
            journal=fields.any_text("journal"),
            frame_mono_s=fields.number("frame_mono_s") if fields.has("frame_mono_s") else None,
            frames=_counts(fields.object("frames")),
            drops=_counts(fields.object("drops")),
            journal_trouble=fields.any_text("journal_trouble") if fields.has("journal_trouble") else None,
            lines_lost=fields.integer("lines_lost"),
            prior=_shares(fields.object("prior")) if fields.has("prior") else None,
            health=_health(fields) if fields.has("health") else None,
            problems=fields.any_texts("problems"),
            outputs=_troubles(fields.object("outputs")),
            since_mono_s=fields.number("since_mono_s") if fields.has("since_mono_s") else None,
        )


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """The content of one status file: the process that wrote it, when, and the status of its loop."""

    name: str
    pid: int
    pid_started: int | None  # in the kernel's ticks
    boot: str  # id of the boot
    every_s: float  # the loop promises to write that often
    stall_s: float  # without a frame for so long the instance is unhealthy
    mono_s: float  # when it was written, seconds since boot
    clock: str  # one of CLOCK_STATES
    status: Status

    def to_json(self) -> dict[str, Any]:
        """The file's content: one flat object."""
        process = {name: getattr(self, name) for name in _PROCESS_FIELDS}
        health = None if self.status.health is None else self.status.health.to_json()
        return {"status": SCHEMA, **process, **asdict(self.status), "health": health}

    @staticmethod
    def read(value: object, source: str) -> StatusRecord:
        """The record in the parsed content of a file that `source` names.

        Raises StatusDamaged when a field is missing or wrong, StatusOfLaterVersion when a later version wrote the file.
        """
        fields = JsonFields.of(value, source, StatusDamaged, "`fer-edge run` writes it again")
        if fields.integer("status", 1) > SCHEMA:
            raise StatusOfLaterVersion(
                f"{source} is of a later version of fer-edge than this one; update this one",
                pid=fields.integer("pid", 1, high=_MAX_PID) if fields.has("pid") else None,
                pid_started=fields.integer("pid_started") if fields.has("pid_started") else None,
                boot=fields.text("boot") if fields.has("boot") else None,
            )
        return StatusRecord(
            name=fields.text("name"),
            pid=fields.integer("pid", 1, high=_MAX_PID),
            pid_started=fields.integer("pid_started") if fields.has("pid_started") else None,
            boot=fields.text("boot"),
            every_s=fields.number("every_s", above=0),
            stall_s=fields.number("stall_s", 0),
            mono_s=fields.number("mono_s", 0),
            clock=fields.text("clock", CLOCK_STATES),
            status=Status.read(fields),
        )


_PROCESS_FIELDS = tuple(name for name in StatusRecord.__dataclass_fields__ if name != "status")


def _counts(fields: JsonFields) -> dict[str, int]:
    return {name: fields.integer(name) for name in fields.values}


def _troubles(fields: JsonFields) -> dict[str, str | None]:
    return {name: fields.any_text(name) if fields.has(name) else None for name in fields.values}


def _shares(fields: JsonFields) -> dict[str, float]:
    return {name: fields.number(name, 0, 1) for name in fields.values}


def _health(fields: JsonFields) -> Health:
    """The machine's health in the object `health`; its time and clock are those of the file."""
    held = fields.object("health")
    bits = {name: held.texts(name) if held.has(name) else None for name in ("throttled_now", "throttled_since_boot")}
    for name, names in bits.items():
        if set(names or ()) - set(BITS):
            held.refuse(name, f"a list of {', '.join(BITS)}")
    return Health(
        mono_s=fields.number("mono_s", 0),
        undervoltage=held.flag("undervoltage") if held.has("undervoltage") else None,
        **bits,
        temperature_c=held.number("temperature_c", -273, 1000) if held.has("temperature_c") else None,
        disk_free_bytes=held.integer("disk_free_bytes", high=1 << 60) if held.has("disk_free_bytes") else None,
        clock=fields.text("clock", CLOCK_STATES),
        power_source=held.text("power_source"),
    )
