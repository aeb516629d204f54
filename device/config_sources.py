"""Loads settings from the defaults, the environment, one TOML file and the command line, and records the origin of each.

The file is flat: `fps = 5.0`, one setting per line, named as in `device.config.Settings`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.config import SETTING_FIELDS, Settings, setting_kind, validation_error
from device.default_folders import (
    default_config_file,
    expand_user,
    journal_folder_and_origin,
    runtime_folder_and_origin,
)
from device.prior_setting import one_spelling
from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean
from fer_edge.toml_file import read_toml

_VALUE_FLAGS = {"prior": "--prior or --estimate-prior", "detail": "--verbose or --quiet"}
_SIZES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_UNITS = re.compile(r"_(s|px|deg|bytes|c)$")
_STATEMENT_LINES = 100  # beyond which the lines of settings are not looked for
# The journal's lines do not depend on these settings: the camera, every path, and the other outputs.
_NOT_DIGESTED = {"camera", "name", "json", "detail", "once", "duration_s", "metrics", "metrics_every_s"}
_NOT_DIGESTED |= {"live", "show_pixels_s"}
_NOT_DIGESTED |= {name for name in SETTING_FIELDS if setting_kind(name) == "Path" or name.startswith("mqtt")}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings and the origin of each: `default`, `FILE:LINE`, a flag, or `environment: VARIABLE`. `file`: the file, if any."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load_settings(
    flags: Mapping[str, Any], file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> LoadedSettings:
    """The settings of a run: flags override the file, the file overrides the defaults.

    `flags` may be all results of a parser (`vars(args)`): None and names that are not settings are ignored. `file` is that
    of --config; without it $CONFIGURATION_DIRECTORY/fer-edge.toml, else ~/.config/fer-edge/config.toml, if it exists.
    Raises UsageError, with file and line, for an unknown setting or an invalid value.
    """
    path = file or default_config_file(environ)
    values, origins = read_settings_file(path) if path else ({}, {})
    for name, value in flags.items():
        if name in SETTING_FIELDS and value is not None:
            if problem := validation_error(name, value):
                raise UsageError(f"{flag_name(name)}: {problem}")
            values[name], origins[name] = one_spelling(value) if name == "prior" else value, f"flag {flag_name(name)}"
    settings = Settings(**values)
    from_environ = {
        "log": journal_folder_and_origin(environ, settings.name)[1],
        "runtime": runtime_folder_and_origin(environ)[1],
    }
    return LoadedSettings(
        settings, {name: origins.get(name) or from_environ.get(name, "default") for name in SETTING_FIELDS}, path
    )


def read_settings_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values in a file, in the types of Settings, and the `FILE:LINE` of each. Raises UsageError like `load_settings`."""
    fields, text = read_toml(path)
    lines, values, origins = _line_numbers(text), {}, {}
    for name, raw in fields.items():
        where = f"{path}:{lines.get(name, 1)}"
        if name not in SETTING_FIELDS:
            raise UsageError(f"{where}: there is no setting {_unknown_setting(name, raw)}")
        value = _setting_value(name, raw)
        if problem := validation_error(name, value):
            raise UsageError(f"{where}: {problem}")
        values[name], origins[name] = one_spelling(value) if name == "prior" else value, where
    return values, origins


def _line_numbers(text: str) -> dict[str, int]:
    """The number of the line on which each top-level name of a TOML text first occurs.

    tomllib does not report it. Statements are parsed one by one instead: a statement that does not parse yet continues on
    the next line (an array or a string of several lines), so that a name within a string or a comment is not a setting.
    """
    import tomllib

    line_numbers: dict[str, int] = {}
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        if number - start > _STATEMENT_LINES:
            break  # no setting is that long
        try:
            names = tomllib.loads(statement)
        except (ValueError, RecursionError):
            continue
        for name in names:
            line_numbers.setdefault(name, start)
        statement, start = "", number + 1
    return line_numbers


def _unknown_setting(name: str, raw: Any) -> str:
    from difflib import SequenceMatcher, get_close_matches

    normalized = name.lower().replace("-", "_")
    known = {_UNITS.sub("", spec): spec for spec in SETTING_FIELDS} | {spec: spec for spec in SETTING_FIELDS}
    if near := get_close_matches(normalized, known, n=5):
        # The beginning counts more: rotation is closer to rotate than to duration.
        best = max(
            near, key=lambda one: SequenceMatcher(None, normalized, one).ratio() + 0.2 * (normalized[:3] == one[:3])
        )
        return f"“{clean(name, 60)}”; did you mean {known[best]}?"
    tables = "; the file has no tables, each setting is on its own line" if isinstance(raw, dict) else ""
    return f"“{clean(name, 60)}”{tables}; `fer-edge config show` lists them all"


def _setting_value(name: str, raw: Any) -> Any:
    """A TOML value in the setting's type; unchanged if it cannot be converted, for `validation_error` to report."""
    wanted = setting_kind(name)
    if wanted == "Path" and isinstance(raw, str) and raw:
        return expand_user(Path(raw))
    if name == "camera" and type(raw) is int:
        return str(raw)
    if name.endswith("_bytes") and isinstance(raw, str):
        try:
            return parse_size(raw)
        except ValueError:
            return raw
    if wanted == "Region" and isinstance(raw, list):
        return tuple(raw)
    return float(raw) if wanted == "float" and type(raw) is int and abs(raw) < 1 << 62 else raw


def flag_name(name: str) -> str:
    """The flag of a setting: without the unit, `rotate_deg` is --rotate; with it if the short name is another setting.

    The flags of `prior` and `detail` name their values.
    """
    if name in _VALUE_FLAGS:
        return _VALUE_FLAGS[name]
    short = _UNITS.sub("", name)
    return f"--{(name if short in SETTING_FIELDS else short).replace('_', '-')}"


def parse_region(text: str) -> tuple[float, ...]:
    """The region `X,Y,W,H` of a command line. Raises ValueError for anything but numbers."""
    return tuple(float(part) for part in text.split(","))


def parse_size(text: str) -> int:
    """The bytes in 256000000, 500MB, 1.5 GB or 1GiB. Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*([kmgt]?i?b?)\s*", text, re.IGNORECASE | re.ASCII)
    unit = "" if found is None else found[2].lower().removesuffix("b")
    if found is None or (name := f"{unit}b" if unit else "") not in _SIZES:
        raise ValueError(f"“{clean(text, 60)}” is not a size, such as 256000000, 500MB, 1GB or 1GiB")
    return round(float(found[1]) * _SIZES[name])


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting as `config show` prints it. `reloadable`: SIGHUP can change it in a running instance."""

    value: Any
    origin: str
    reloadable: bool
    description: str

    def to_json(self) -> dict[str, Any]:
        """The setting in `config show --json`."""
        value = str(self.value) if isinstance(self.value, Path) else self.value
        return {"value": value, "from": self.origin, "live": self.reloadable, "description": self.description}


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """All settings by name, with passwords removed, and the file that they came from."""

    file: Path | None
    settings: Mapping[str, SettingView]

    def to_json(self) -> dict[str, Any]:
        """What `fer-edge config show --json` prints."""
        settings = {name: view.to_json() for name, view in self.settings.items()}
        return {"file": str(self.file) if self.file else None, "settings": settings}


def settings_report(loaded: LoadedSettings, environ: Mapping[str, str] = os.environ) -> SettingsReport:
    """The settings of a run with default folders filled in, their origins and descriptions."""
    from device.camera.camera_url import shown_camera

    settings = loaded.settings
    resolved = {
        "log": settings.log or journal_folder_and_origin(environ, settings.name)[0],
        "runtime": settings.runtime or runtime_folder_and_origin(environ)[0],
        "camera": shown_camera(settings.camera),
    }
    views = {
        name: SettingView(
            value=resolved.get(name, getattr(settings, name)),
            origin=loaded.origins[name],
            reloadable=bool(spec.metadata.get("live")),
            description=spec.metadata["description"],
        )
        for name, spec in SETTING_FIELDS.items()
    }
    return SettingsReport(loaded.file, views)


def settings_text(loaded: LoadedSettings, commented: bool = False, environ: Mapping[str, str] = os.environ) -> str:
    """What `fer-edge config show` prints: a settings file in TOML, with the origin of each setting as a comment.

    Settings without a value are comments. An address with a password is a comment too, and the password is not printed.
    `commented` adds the meaning of each setting, and makes comments of the defaults and of this machine's folders from the
    environment: a file that is started from it follows the defaults of later versions, and can be used on another machine.
    """
    report = settings_report(loaded, environ)
    lines = [f"# settings from {report.file or 'no file'}; * can change on SIGHUP, the others at the next start"]
    for name, view in report.settings.items():
        value = str(view.value) if isinstance(view.value, Path) else view.value
        assignment = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        redacted = name == "camera" and value != loaded.settings.camera
        if redacted or (commented and value is not None and not _is_given(view.origin)):
            assignment = f"# {assignment}"
        if commented:
            lines += ["", f"# {view.description}"]
        lines.append(f"{assignment:<40} # {'* ' if view.reloadable else ''}{view.origin}")
    return "\n".join(lines)


def _is_given(origin: str) -> bool:
    """Whether a file or a flag gave the value, and not a default or the environment of this machine."""
    return origin != "default" and not origin.startswith("environment: ")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        # DEL is the only character that TOML and JSON escape differently
        return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_digest(settings: Settings) -> str:
    """Twelve hexadecimal digits, equal for two runs with equal settings; paths and camera are ignored."""
    import hashlib

    values = {name: getattr(settings, name) for name in SETTING_FIELDS if name not in _NOT_DIGESTED}
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()[:12]
