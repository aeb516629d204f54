"""Where each setting comes from: this program's defaults, the environment, one TOML file, and the command line over it.

The file is flat: `fps = 5.0`, one setting a line, named as in `device.config.Settings`.
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
from device.default_folders import default_config_file, journal_folder_and_origin, runtime_folder_and_origin
from fer_edge.errors import UsageError

_UNITS = re.compile(r"_(s|px|deg|bytes|c)$")
_NOT_DIGESTED = {"camera", "name", "bundle", "log", "runtime", "json", "once", "duration_s"}
_NOT_DIGESTED |= {"metrics", "metrics_file", "metrics_every_s"}
_NOT_DIGESTED |= {name for name in SETTING_FIELDS if name.startswith("mqtt")}
_NOT_DIGESTED |= {"live", "live_token_file", "show_pixels_s"}  # what is logged does not depend on them


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and for each of them its origin: `default`, `FILE:LINE`, a flag, or `environment: VARIABLE`."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load_settings(
    flags: Mapping[str, Any], file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> LoadedSettings:
    """The settings of a run: flags over the file over the defaults.

    `flags` may hold anything that a parser gives (`vars(args)`): None and names of no setting are passed over. `file`:
    what --config named; without it $CONFIGURATION_DIRECTORY/fer-edge.toml, else ~/.config/fer-edge/config.toml, where
    there is one. Raises UsageError, with file and line, for what is no setting or makes no sense.
    """
    path = file or default_config_file(environ)
    values, origins = read_settings_file(path) if path else ({}, {})
    for name, value in flags.items():
        if name in SETTING_FIELDS and value is not None:
            if said := validation_error(name, value):
                raise UsageError(f"{flag_name(name)}: {said}")
            values[name], origins[name] = value, f"flag {flag_name(name)}"
    settings = Settings(**values)
    from_environ = {
        "log": journal_folder_and_origin(environ, settings.name)[1],
        "runtime": runtime_folder_and_origin(environ)[1],
    }
    return LoadedSettings(
        settings, {name: origins.get(name) or from_environ.get(name, "default") for name in SETTING_FIELDS}, path
    )


def read_settings_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values in a file, as Settings wants them, and the `FILE:LINE` of each. Raises UsageError as `load` does."""
    import tomllib

    try:
        text = path.read_bytes().decode()
        given = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"the settings in {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        raise UsageError(
            f"{path}{f':{at[1]}' if at else ''}: {error}; a line is `name = value`, text in quotes"
        ) from error
    lines, values, origins = _line_numbers(text), {}, {}
    for name, raw in given.items():
        where = f"{path}:{lines.get(name, 1)}"
        if name not in SETTING_FIELDS:
            raise UsageError(f"{where}: there is no setting {_unknown_setting(name, raw)}")
        value = _setting_value(name, raw)
        if said := validation_error(name, value):
            raise UsageError(f"{where}: {said}")
        values[name], origins[name] = value, where
    return values, origins


def _line_numbers(text: str) -> dict[str, int]:
    """The number of the line on which each name of the top level first stands, in text that is TOML.

    tomllib does not tell. Statements are parsed one by one instead: what does not parse yet goes on in the next line (an
    array or a text of several lines), so that a name within a text or a comment is never taken for a setting.
    """
    import tomllib

    found: dict[str, int] = {}
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            names = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        for name in names:
            found.setdefault(name, start)
        statement, start = "", number + 1
    return found


def _unknown_setting(name: str, raw: Any) -> str:
    from difflib import SequenceMatcher, get_close_matches

    asked = name.lower().replace("-", "_")
    known = {_UNITS.sub("", spec): spec for spec in SETTING_FIELDS} | {spec: spec for spec in SETTING_FIELDS}
    if near := get_close_matches(asked, known, n=5):
        # A name is remembered by its beginning: rotation is nearer to rotate than to duration.
        best = max(near, key=lambda one: SequenceMatcher(None, asked, one).ratio() + 0.2 * (asked[:3] == one[:3]))
        return f"“{name}”; did you mean {known[best]}?"
    tables = "; the file has no tables, each setting is a line of its own" if isinstance(raw, dict) else ""
    return f"“{name}”{tables}; `fer-edge config show` lists them all"


def _setting_value(name: str, raw: Any) -> Any:
    """What TOML gave, as the kind that the setting is; as it is where it is none, for `complaint` to say so."""
    wanted = setting_kind(name)
    if wanted == "Path" and isinstance(raw, str):
        try:
            return Path(raw).expanduser()
        except RuntimeError:  # ~ of a user that there is not
            return Path(raw)
    if wanted == "Region" and isinstance(raw, list):
        return tuple(raw)
    return float(raw) if wanted == "float" and type(raw) is int else raw


def flag_name(name: str) -> str:
    """The flag of a setting: without its unit, `rotate_deg` is --rotate; with it where that is a setting too."""
    short = _UNITS.sub("", name)
    return f"--{(name if short in SETTING_FIELDS else short).replace('_', '-')}"


def parse_region(text: str) -> tuple[float, ...]:
    """The region in `X,Y,W,H`, for a command line. Raises ValueError when these are no numbers."""
    return tuple(float(part) for part in text.split(","))


def settings_report(configured: LoadedSettings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What `fer-edge config show --json` prints: the file and, for each setting, value, origin, whether SIGHUP changes it."""
    from device.camera.source import redact_url

    settings = configured.settings
    resolved = {
        "log": settings.log or journal_folder_and_origin(environ, settings.name)[0],
        "runtime": settings.runtime or runtime_folder_and_origin(environ)[0],
        "camera": redact_url(settings.camera) if "://" in settings.camera else settings.camera,
    }
    rows = {}
    for name, spec in SETTING_FIELDS.items():
        value = resolved.get(name, getattr(settings, name))
        rows[name] = {
            "value": str(value) if isinstance(value, Path) else value,
            "from": configured.origins[name],
            "live": bool(spec.metadata.get("live")),
            "says": spec.metadata["says"],
        }
    return {"file": str(configured.file) if configured.file else None, "settings": rows}


def settings_text(configured: LoadedSettings, commented: bool = False, environ: Mapping[str, str] = os.environ) -> str:
    """What `fer-edge config show` prints: TOML that is a file of settings, the origin of each behind it.

    What has no value stands as a comment, and so does a password that an address had: it is never printed. `commented`
    adds what each setting means.
    """
    told = settings_report(configured, environ)
    lines = [f"# settings from {told['file'] or 'no file'}; * can change on SIGHUP, the others at the next start"]
    for name, row in told["settings"].items():
        value = row["value"]
        left = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        if name == "camera" and value != configured.settings.camera:
            left = f"# {left}"
        if commented:
            lines += ["", f"# {row['says']}"]
        lines.append(f"{left:<40} # {'* ' if row['live'] else ''}{row['from']}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one sign in which they differ
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_digest(settings: Settings) -> str:
    """Twelve hexadecimal digits that are the same for two runs with the same settings, places and camera left out."""
    import hashlib

    values = {name: getattr(settings, name) for name in SETTING_FIELDS if name not in _NOT_DIGESTED}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
