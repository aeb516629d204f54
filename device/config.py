"""The settings of a run: what each one may be and means, and the one place that reads the environment.

Where values come from (a file, flags, these defaults) is read in `device.config_sources`.
"""

# ruff: noqa: RUF009 - what _is gives is a field of the dataclass

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from device import broker_url
from device.address import Address
from fer_edge.errors import UsageError

Region = tuple[float, float, float, float]  # x, y, width, height: shares (0–1) of the upright picture


def _setting(default: Any, says: str, **rules: Any) -> Any:
    """A field: its default, what it says, and its rules (above, least, most, one_of; live: taken over on SIGHUP)."""
    return field(default=default, metadata={"says": says, **rules})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run can be told. Raises UsageError for a value that makes no sense."""

    camera: str = _setting("0", "0, usb:0, csi:0, a video file, a folder, an http:// or rtsp:// address, or synthetic")
    name: str = _setting("camera", "of this instance, which health, pause and resume ask for; one for each camera")
    bundle: Path | None = _setting(
        None, "a bundle's folder, or edge or nano; none: the one in use (`fer-edge bundle list`)"
    )
    log: Path | None = _setting(None, "the journal's folder")
    runtime: Path | None = _setting(None, "the folder, in memory, of what others may ask of a running instance")
    json: bool = _setting(False, "journal lines to stdout instead of readable ones")
    once: bool = _setting(False, "one reading, then end")
    duration_s: float | None = _setting(None, "none: until it is stopped or the recording ends", above=0)
    detector: str | None = _setting(
        None, "blazeface-zoomed, blazeface-short-range or haar; none: the best that is installed"
    )
    width_px: int = _setting(640, "asked of a camera, which may give another size; drawn by the synthetic one", above=0)
    height_px: int = _setting(480, "asked of a camera, like the width", above=0)
    fps: float = _setting(10.0, "asked of a camera; the pace of the synthetic one and of a folder's images", above=0)
    rotate_deg: int = _setting(0, "turns the picture clockwise", one_of=(0, 90, 180, 270))
    flip: str = _setting("none", "mirrors the turned picture", one_of=("none", "horizontal", "vertical", "both"))
    region: Region | None = _setting(
        None, "x, y, width, height in shares 0–1 of the turned and mirrored picture; none: all of it"
    )
    threads: int = _setting(1, "of the detector's interpreter", above=0)
    open_s: float = _setting(5.0, "a camera that gave no frame by then never opened", least=0)
    stall_s: float = _setting(5.0, "a live camera that gave no frame for so long is lost", least=0)
    same_s: float = _setting(
        10.0, "a live camera that gave the very same picture for so long is lost; 0: never", least=0
    )
    stuck_s: float = _setting(30.0, "a driver that does not return for so long has the process restarted", above=0)
    reopen_s: float = _setting(
        60.0, "a lost camera is tried again for so long before the process is restarted", least=0
    )
    wait_camera: bool = _setting(False, "a camera that is not there is waited for, at the start and later, for ever")
    once_s: float = _setting(10.0, "for so long `once` waits for a face", above=0)
    paused: bool = _setting(False, "start paused: no picture is taken until `fer-edge resume`")
    per_frame: bool = _setting(False, "a line in the journal for each face of each frame, beside episodes", live=True)
    hold_s: float = _setting(1.0, "an expression must hold for so long before an episode begins", live=True, least=0)
    min_score: float = _setting(0.0, "a face that the detector is less sure of is left out", live=True, least=0, most=1)
    unsure_below: float | None = _setting(
        None,
        "a face whose likeliest label is less probable is unsure; none: as the bundle has it",
        live=True,
        least=0,
        most=1,
    )
    min_quality: float = _setting(
        0.5, "a face is unsure when light, sharpness, size or turn are worse; 0: never", live=True, least=0, most=1
    )
    smooth_s: float = _setting(
        0.12, "half-life of the average that steadies a label; 0: each frame alone", live=True, least=0
    )
    dwell_s: float = _setting(0.2, "a label stays for at least so long", live=True, least=0)
    max_faces: int = _setting(
        4, "the largest so many faces of a frame are read, the others counted", live=True, above=0
    )
    search_s: float = _setting(
        0.3, "least time between two searches of the whole picture, made where it changed", live=True, least=0
    )
    sweep_s: float = _setting(10.0, "the whole picture is searched so often where nothing changes", live=True, above=0)
    cpu_budget: float | None = _setting(
        None, "percent of one core that the process may take, as top shows it; none: what it needs", live=True, above=0
    )
    sync_s: float = _setting(
        30.0, "lines are forced to the card this often, a batch under 8 kB a tenth as often", live=True, least=0
    )
    budget_bytes: int = _setting(
        256_000_000, "the journal's oldest segments go when it is larger", live=True, least=1 << 20
    )
    keep_days: float | None = _setting(
        None, "segments older than that go; none: only the budget counts", live=True, above=0
    )
    metrics: str | None = _setting(
        None, "HOST:PORT at which Prometheus may fetch the run's metrics; :9100 is of this machine alone"
    )
    metrics_file: Path | None = _setting(
        None, "a .prom file for node_exporter's textfile collector, in memory, as /run/… is"
    )
    metrics_every_s: float = _setting(15.0, "metrics_file is written this often", above=0)
    health_s: float = _setting(10.0, "temperature, power, disk and clock are looked at this often", live=True, above=0)
    hot_c: float = _setting(
        80.0,
        "from here on the processor is hot, and fewer frames are processed; a Pi slows down at 80 to 85 °C",
        live=True,
        above=0,
    )
    live: str | None = _setting(None, "HOST:PORT of a page that shows what is seen now; none: no page, no port")
    live_token_file: Path | None = _setting(
        None,
        "holds the token of the live page, made where there is none; none: a new token each start, beyond loopback",
    )
    show_pixels_s: float | None = _setting(
        None, "small pictures on the live page, for so long after the start; none: none", above=0, most=3600
    )
    disk_low_bytes: int = _setting(200_000_000, "less free space than that is told as an event", live=True, least=0)
    mqtt: str | None = _setting(None, "mqtt://HOST or mqtts://HOST, of a broker that is told; user@ before the host")
    mqtt_password_file: Path | None = _setting(
        None, "holds the password of the broker's user, and is for its owner alone"
    )
    mqtt_ca: Path | None = _setting(
        None, "who may vouch for the broker's certificate (PEM); none: whom this system trusts"
    )
    mqtt_cert: Path | None = _setting(None, "a certificate of this device's own (PEM), where the broker asks for one")
    mqtt_key: Path | None = _setting(None, "the key of that certificate, where it is in a file of its own")
    mqtt_topic: str = _setting("fer-edge", "what every topic begins with, before the instance's id")
    mqtt_discovery: str = _setting(
        "homeassistant", "Home Assistant's prefix for discovery; empty: nothing is said to it"
    )
    mqtt_readings: bool = _setting(False, "the broker is told each face of each frame too, beside minutes and states")

    def __post_init__(self) -> None:
        for name in SETTING_FIELDS:
            if said := validation_error(name, getattr(self, name)):
                raise UsageError(said)


SETTING_FIELDS = {spec.name: spec for spec in fields(Settings)}
_SETTING_KINDS: dict[str, tuple[Any, str]] = {
    "str": (str, "text"),
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "Path": (Path, "a path"),
    "Region": (tuple, "four numbers: x, y, width and height"),
}


def setting_kind(name: str) -> str:
    """The kind of a setting, as `_KINDS` has it."""
    return str(SETTING_FIELDS[name].type).removesuffix(" | None")


def validation_error(name: str, value: Any) -> str:
    """What is wrong with `value` for the setting `name`, as a sentence without its full stop; empty when nothing is."""
    rules = SETTING_FIELDS[name].metadata
    if value is None:
        return "" if str(SETTING_FIELDS[name].type).endswith("| None") else f"{name} has no value"
    types, called = _SETTING_KINDS[setting_kind(name)]
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        return f"{name} must be {called}, not {_quoted(value)}"
    if setting_kind(name) in ("int", "float"):
        if not math.isfinite(value) or ("above" in rules and value <= rules["above"]):
            return f"{name} must be more than {rules.get('above', rules.get('least', 0))}, not {value:.10g}"
        if "least" in rules and value < rules["least"]:
            return f"{name} must be {rules['least']} or more, not {value:.10g}"
        if "most" in rules and value > rules["most"]:
            return f"{name} must be {rules['most']} or less, not {value:.10g}"
    if "one_of" in rules and value not in rules["one_of"]:
        return f"{name} must be one of {', '.join(map(str, rules['one_of']))}, not {_quoted(value)}"
    if name == "camera" and not value.strip():
        return "the camera has no name; give 0, usb:0, csi:0, a file, a folder, an address or synthetic"
    if name == "name" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value):
        return f"name must be 1 to 32 letters, digits, - and _, not {_quoted(value)}: files are named after it"
    if name == "metrics_file" and value.suffix != ".prom":
        return f"metrics_file must end in .prom, for node_exporter reads no other, not {_quoted(value)}"
    if name in ("metrics", "live"):
        return Address.validation_error(name, value)
    if name == "mqtt":
        return broker_url.url_error(value)
    if name == "mqtt_topic" or (name == "mqtt_discovery" and value):
        return broker_url.topic_prefix_error(name, value)
    return _region_error(value) if setting_kind(name) == "Region" else ""


def _region_error(value: tuple[Any, ...]) -> str:
    if len(value) != 4 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return f"region must be four numbers: x, y, width and height, not {_quoted(value)}"
    x, y, width, height = value
    # A little over 1 is what 0.7 + 0.3 may come to; comparisons with nan are false, so these ask for what is right.
    if not (x >= 0 and y >= 0 and width > 0 and height > 0 and x + width < 1.000001 and y + height < 1.000001):
        return f"region must lie in the picture, in shares of it from 0 to 1, not {_quoted(value)}"
    return ""


def _quoted(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return f"“{value}”" if isinstance(value, str | Path) else str(value)


def merge_reloaded(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings a running loop goes on with after its file was read again, and which changes need a restart.

    What may change in between are the live ones: thresholds, and what the journal keeps. The camera, the networks and
    the folders stay.
    """
    live = {name: getattr(new, name) for name, spec in SETTING_FIELDS.items() if spec.metadata.get("live")}
    others = [name for name in SETTING_FIELDS if name not in live]
    return replace(old, **live), tuple(name for name in others if getattr(old, name) != getattr(new, name))


def default_journal_folder(environ: Mapping[str, str] = os.environ, name: str = "camera") -> Path:
    """The folder of the journal when none is named: $STATE_DIRECTORY (the first), else below $XDG_STATE_HOME or ~.

    An instance with a name of its own has a folder of that name in there.
    """
    return journal_folder_and_origin(environ, name)[0]


def journal_folder_and_origin(environ: Mapping[str, str], name: str) -> tuple[Path, str]:
    """`default_log`, and the variable that it stands on, or "default"."""
    if given := _first_listed(environ, "STATE_DIRECTORY"):
        folder, origin = given, "environment: STATE_DIRECTORY"
    elif home := _absolute_path(environ, "XDG_STATE_HOME"):
        folder, origin = home / "fer-edge", "environment: XDG_STATE_HOME"
    else:
        folder, origin = _home_folder() / ".local" / "state" / "fer-edge", "default"
    return (folder if name == SETTING_FIELDS["name"].default else folder / name), origin


def default_runtime_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a running instance's status, when none is named.

    $RUNTIME_DIRECTORY (of systemd), else $FER_EDGE_RUNTIME, else fer-edge/ in $XDG_RUNTIME_DIR, else a folder in /dev/shm.
    """
    return runtime_folder_and_origin(environ)[0]


def runtime_folder_and_origin(environ: Mapping[str, str]) -> tuple[Path, str]:
    """`default_runtime`, and the variable that it stands on, or "default"."""
    if given := _first_listed(environ, "RUNTIME_DIRECTORY"):
        return given, "environment: RUNTIME_DIRECTORY"
    if given := _absolute_path(environ, "FER_EDGE_RUNTIME"):
        return given, "environment: FER_EDGE_RUNTIME"
    home = _absolute_path(environ, "XDG_RUNTIME_DIR")
    if home and home.is_dir() and home.stat().st_uid == os.geteuid():  # sudo may bring along that of another user
        return home / "fer-edge", "environment: XDG_RUNTIME_DIR"
    return _shared_memory_folder(), "default"


def runtime_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a running instance may be found, the likeliest first: this user's own, and that of the service.

    Where $FER_EDGE_RUNTIME is set, neither the service's folder nor that in /dev/shm is searched: commands then reach only
    the instances that were started with the same value.
    """
    if private := _absolute_path(environ, "FER_EDGE_RUNTIME"):
        return tuple(dict.fromkeys((default_runtime_folder(environ), private)))
    folders = [default_runtime_folder(environ), Path("/run/fer-edge"), _shared_memory_folder()]
    return tuple(dict.fromkeys(folders))


def default_config_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The settings' file when none is named: the service's, else this user's; None where there is neither."""
    folders = [(_first_listed(environ, "CONFIGURATION_DIRECTORY"), "fer-edge.toml")]
    folders.append((_absolute_path(environ, "XDG_CONFIG_HOME") or _home_folder() / ".config", "fer-edge/config.toml"))
    return next((folder / name for folder, name in folders if folder and (folder / name).is_file()), None)


def _first_listed(environ: Mapping[str, str], variable: str) -> Path | None:
    given = environ.get(variable, "").split(":")[0]  # systemd lists all that a unit has, with colons
    return Path(given) if given else None


def _absolute_path(environ: Mapping[str, str], variable: str) -> Path | None:
    given = Path(environ.get(variable, ""))  # the specification of these variables has relative values ignored
    return given if given.is_absolute() else None


def _home_folder() -> Path:
    try:
        return Path.home()
    except (
        RuntimeError
    ):  # a user without an entry or $HOME, as in a container: the folder will be refused in a sentence
        return Path("/")


def _shared_memory_folder() -> Path:
    """A folder in memory that any user may make: this file is rewritten too often for a card."""
    return Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"fer-edge-{os.geteuid()}"
