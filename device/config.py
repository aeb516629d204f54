"""The settings of a run: their types, defaults, limits and descriptions.

`device.config_sources` reads their values from a file and flags; `device.default_folders` holds the default folders.
"""

# ruff: noqa: RUF009 - _setting returns a field of the dataclass

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from device import broker_url
from device.address import Address
from device.prior_setting import TRAINING, prior_error
from fer_edge.detection.tiles import MIN_FAR_PX
from fer_edge.errors import UsageError
from fer_edge.instance_name import DEFAULT, PATTERN
from fer_edge.limits import FRAME_PIXELS, THREADS
from fer_edge.quality import MIN_QUALITY
from fer_edge.text_cleaning import clean

_LEAST = 1e-6  # of a number that must be more than 0; the loop divides by some
_MOST = 1e6  # of a number whose setting states no other
_MOST_S = 86_400.0  # of a time
_MOST_BYTES = 1 << 50
_MOST_CHARS = 4096  # of a text or a path
Region = tuple[float, float, float, float]  # x, y, width, height: shares (0–1) of the upright picture


def _setting(default: Any, says: str, **rules: Any) -> Any:
    """A field: its default, its description, and its rules (above, least, most, one_of; live: applied on SIGHUP)."""
    return field(default=default, metadata={"description": says, **rules})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run. Raises UsageError for an invalid value."""

    camera: str = _setting(
        "0", "0, usb:0, csi:0, a link in /dev/v4l/by-id, a video file, a folder, http://…, rtsp://… or synthetic"
    )
    camera_password_file: Path | None = _setting(
        None, "file with the password of the user in the camera's address (mode 600): rtsp://USER@HOST"
    )
    camera_redirects: bool = _setting(False, "follow an http camera that redirects to another host")
    name: str = _setting(DEFAULT, "name of this instance, for health, pause and resume; one for each camera")
    bundle: Path | None = _setting(
        None, "a bundle's folder, or edge-mixed, edge or nano; none: the bundle in use (`fer-edge bundle list`)"
    )
    log: Path | None = _setting(None, "the journal's folder")
    runtime: Path | None = _setting(None, "folder, in memory, for the status of the running instance")
    json: bool = _setting(False, "journal lines on stdout instead of readable ones")
    detail: str = _setting("states", "readable lines on stdout", one_of=("none", "states", "frames"))
    once: bool = _setting(False, "end after one reading")
    duration_s: float | None = _setting(
        None, "length of the run; none: until it is stopped or the recording ends", above=0, most=1e9
    )
    detector: str | None = _setting(
        None, "blazeface-zoomed, blazeface-short-range or haar; none: the best one installed"
    )
    width_px: int = _setting(640, "requested width; a camera may return a different one", above=0, most=16_384)
    height_px: int = _setting(480, "requested height, like the width", above=0, most=16_384)
    fps: float = _setting(
        10.0, "requested frame rate; also used for the synthetic camera and a folder of images", above=0, most=10_000
    )
    rotate_deg: int = _setting(0, "rotates the picture clockwise", one_of=(0, 90, 180, 270))
    flip: str = _setting("none", "mirrors the rotated picture", one_of=("none", "horizontal", "vertical", "both"))
    region: Region | None = _setting(
        None, "x, y, width, height in shares 0–1 of the rotated and mirrored picture; none: the whole picture"
    )
    raw_fps: float | None = _setting(
        None,
        "frame rate of a raw recording (.h264, .h265, .mjpeg), which has no times; none: 25 is assumed, and reported",
        above=0,
        most=10_000,
    )
    threads: int = _setting(1, "threads of the detector's interpreter", above=0, most=THREADS)
    open_s: float = _setting(5.0, "a camera without a frame after this time counts as not opened", least=0)
    stall_s: float = _setting(5.0, "a live camera without a frame for this time is lost", least=0)
    same_s: float = _setting(10.0, "a live camera that repeats one picture for this time is lost; 0: never", least=0)
    stuck_s: float = _setting(30.0, "a driver call beyond this, stall_s + 5 and 3 open_s restarts the process", above=0)
    reopen_s: float = _setting(
        60.0, "a lost camera is reopened repeatedly for this time; then the process restarts", least=0
    )
    wait_camera: bool = _setting(False, "wait without a limit for an absent camera, at the start and later")
    once_s: float = _setting(10.0, "how long `once` waits for a face", above=0)
    paused: bool = _setting(False, "start paused: the camera stays closed until `fer-edge resume`")
    per_frame: bool = _setting(False, "a journal line for each face of each frame, in addition to episodes", live=True)
    hold_s: float = _setting(1.0, "how long an expression must hold before an episode begins", live=True, least=0)
    min_score: float = _setting(0.0, "faces with a lower detection score are ignored", live=True, least=0, most=1)
    begin_score: float | None = _setting(
        None,
        "a new face counts from this score on, the mean of both networks' scores; a known one is kept down to min_score; "
        "none: the detector's, .59 for BlazeFace",
        live=True,
        least=0,
        most=1,
    )
    unsure_below: float | None = _setting(
        None,
        "a face whose highest probability is lower is unsure, whatever the label; none: the bundle's thresholds",
        live=True,
        least=0,
        most=1,
    )
    prior: str = _setting(
        TRAINING,
        "label frequencies: training (of the training set), LABEL=SHARE (stated by you) or estimate (by this device)",
        live=True,
    )
    min_quality: float = _setting(
        MIN_QUALITY,
        "a face of lower quality (contrast, sharpness, size, turn) is unsure; 0: none is",
        live=True,
        least=0,
        most=1,
    )
    smooth_s: float = _setting(
        0.12, "half-life of the average over frames that smooths a label; 0: no smoothing", live=True, least=0
    )
    min_dwell_s: float = _setting(0.2, "minimum time for which a label stays", live=True, least=0)
    far_px: int | None = _setting(
        None,
        "side in px of the smallest face that is also searched for in tiles of a large picture; none: no tiles",
        live=True,
        least=MIN_FAR_PX,
    )
    max_faces: int = _setting(
        4, "number of faces of a frame that are classified, largest first; others are only counted", live=True, above=0
    )
    search_s: float = _setting(
        0.3, "minimum time between two searches of the whole picture, made when it changed", live=True, least=0
    )
    sweep_s: float = _setting(
        10.0, "time between two searches of the whole picture while nothing changes", live=True, above=0
    )
    cpu_budget: float | None = _setting(
        None, "percent of one core that the process may use, as top shows it; none: no limit", live=True, above=0
    )
    sync_s: float = _setting(
        30.0,
        "interval at which lines are written to the card; ten times as long for a batch under 8 kB",
        live=True,
        least=0,
    )
    budget_bytes: int = _setting(
        256_000_000, "maximum size of the journal; beyond it the oldest segments are deleted", live=True, least=1 << 20
    )
    keep_days: float | None = _setting(
        None, "segments older than this are deleted; none: no limit of age", live=True, above=0
    )
    metrics: str | None = _setting(
        None, "HOST:PORT at which Prometheus fetches the run's metrics; without HOST, from this machine only"
    )
    metrics_file: Path | None = _setting(
        None, "a .prom file for node_exporter's textfile collector, in a folder in memory (/run/…)"
    )
    metrics_every_s: float = _setting(15.0, "interval between two writes of metrics_file", above=0)
    health_s: float = _setting(
        10.0, "interval between two measurements of temperature, power, disk and clock", live=True, above=0
    )
    hot_c: float = _setting(
        80.0,
        "above this temperature fewer frames are processed; a Pi slows down at 80 to 85 °C",
        live=True,
        above=0,
    )
    live: str | None = _setting(None, "HOST:PORT of the live page; none: no page and no open port")
    live_token_file: Path | None = _setting(
        None,
        "file with the live page's token, created if missing; none: a new token at each start, if not on loopback",
    )
    show_pixels_s: float | None = _setting(
        None, "how long after the start the live page shows pictures; none: never", above=0, most=3600
    )
    disk_low_bytes: int = _setting(200_000_000, "less free space than this is recorded as an event", live=True, least=0)
    mqtt: str | None = _setting(None, "mqtt://HOST or mqtts://HOST of a broker; user@ before the host")
    mqtt_password_file: Path | None = _setting(
        None, "file with the password of the broker's user, readable by its owner only"
    )
    mqtt_ca: Path | None = _setting(
        None, "file of certificate authorities for the broker's certificate (PEM); none: those of the system"
    )
    mqtt_cert: Path | None = _setting(None, "the device's certificate (PEM), if the broker requires one")
    mqtt_key: Path | None = _setting(None, "the key of that certificate, if it is in a separate file")
    mqtt_topic: str = _setting("fer-edge", "prefix of every topic, before the instance's id")
    mqtt_discovery: str = _setting("homeassistant", "Home Assistant's prefix for discovery; empty: no discovery")
    mqtt_readings: bool = _setting(False, "also send each face of each frame to the broker")

    def __post_init__(self) -> None:
        for name in SETTING_FIELDS:
            if error := validation_error(name, getattr(self, name)):
                raise UsageError(error)
        if self.width_px * self.height_px > FRAME_PIXELS:
            raise UsageError(
                f"width_px and height_px are {self.width_px} × {self.height_px}, more than {FRAME_PIXELS:,} pixels; give less"
            )


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
    """The kind of a setting, a key of `_SETTING_KINDS`."""
    return str(SETTING_FIELDS[name].type).removesuffix(" | None")


def validation_error(name: str, value: Any) -> str:
    """What is wrong with `value` for the setting `name`, a sentence without its full stop; empty when nothing is wrong."""
    rules = SETTING_FIELDS[name].metadata
    if value is None:
        return "" if str(SETTING_FIELDS[name].type).endswith("| None") else f"{name} has no value"
    types, type_text = _SETTING_KINDS[setting_kind(name)]
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        return f"{name} must be {type_text}, not {_quoted(value)}"
    if "one_of" in rules:
        named = value in rules["one_of"]
        return "" if named else f"{name} must be one of {', '.join(map(str, rules['one_of']))}, not {_quoted(value)}"
    if setting_kind(name) in ("int", "float") and (error := _number_error(name, value)):
        return error
    if isinstance(value, str | Path) and (error := _text_error(name, str(value))):
        return error
    if name == "prior":
        return prior_error(value)
    if name == "camera" and not value.strip():
        return "the camera has no name; give 0, usb:0, csi:0, a file, a folder, an address or synthetic"
    if name == "name" and not PATTERN.fullmatch(value):
        return f"name must be 1 to 32 letters, digits, - and _, not {_quoted(value)}: files are named after it"
    if name == "metrics_file" and value.suffix != ".prom":
        return f"metrics_file must end in .prom, because node_exporter reads no other, not {_quoted(value)}"
    if name in ("metrics", "live"):
        return Address.validation_error(name, value)
    if name == "mqtt":
        return broker_url.url_error(value)
    if name == "mqtt_topic" or (name == "mqtt_discovery" and value):
        return broker_url.topic_prefix_error(name, value)
    return _region_error(value) if setting_kind(name) == "Region" else ""


def _number_error(name: str, value: int | float) -> str:
    rules = SETTING_FIELDS[name].metadata
    least, above = rules.get("least", _LEAST), rules.get("above")
    most = rules.get("most", _MOST_S if name.endswith("_s") else _MOST_BYTES if name.endswith("_bytes") else _MOST)
    if value != value or value in (math.inf, -math.inf) or (above is not None and value <= above):
        return f"{name} must be more than {rules.get('above', rules.get('least', 0))}, not {_quoted(value)}"
    if value < least:
        return f"{name} must be {least} or more, not {_quoted(value)}"
    if value > most:
        return f"{name} must be {most:.16g} or less, not {_quoted(value)}"
    return ""


def _text_error(name: str, text: str) -> str:
    if len(text) > _MOST_CHARS:
        return f"{name} has {len(text):,} characters; it may have {_MOST_CHARS:,}"
    return f"{name} has a NUL character, which no file or host can have; remove it" if "\0" in text else ""


def _region_error(value: tuple[Any, ...]) -> str:
    if len(value) != 4 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return f"region must be four numbers: x, y, width and height, not {_quoted(value)}"
    x, y, width, height = value
    # The sum of 0.7 and 0.3 may be a little over 1; comparisons with nan are false, so the conditions are positive.
    inside = all(0 <= v <= 1 for v in value) and x + width < 1.000001 and y + height < 1.000001
    if not (inside and width > 0 and height > 0):
        return f"region must lie in the picture, in shares of it from 0 to 1, not {_quoted(value)}"
    return ""


def _quoted(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    if isinstance(value, int | float):
        return "a number with more than 30 digits" if math.inf > abs(value) >= 10**30 else f"{value:.10g}"
    return f"“{clean(str(value))}”" if isinstance(value, str | Path) else clean(str(value))


def merge_reloaded(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a running loop after its file was read again, and the names of changes that need a restart.

    Only live settings change: thresholds, and the journal's limits. The camera, the networks and the folders stay.
    """
    live = {name: getattr(new, name) for name, spec in SETTING_FIELDS.items() if spec.metadata.get("live")}
    others = [name for name in SETTING_FIELDS if name not in live]
    return replace(old, **live), tuple(name for name in others if getattr(old, name) != getattr(new, name))
