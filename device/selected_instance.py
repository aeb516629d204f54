"""Which instance of this machine a command is about: its name, its journal, and the folders of running instances."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from device.config_sources import load_settings
from device.default_folders import default_journal_folder, runtime_folders
from fer_edge.errors import UsageError
from fer_edge.instance_name import DEFAULT


def selected_name(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The name of the instance: the one given, else the `name` of the default settings file, as of `run` there."""
    if given is not None:
        return given
    try:
        return load_settings({}, None, environ).settings.name
    except UsageError:  # an instance that runs has the settings from before
        return DEFAULT


def journal_folder_of(name: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The journal that `run` writes for that instance; None is that of the settings. Raises UsageError as `load_settings`.

    It is the setting `log` of the default settings file where the file's `name` is this one, else the default folder.
    """
    settings = load_settings({}, None, environ).settings
    own = settings.log if name in (None, settings.name) else None
    return own or default_journal_folder(environ, settings.name if name is None else name)


def searched_runtime_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The folders in which running instances are searched: that of the default settings file first, where it names one."""
    try:
        own = load_settings({}, None, environ).settings.runtime
    except UsageError:  # an instance that runs has the settings from before
        own = None
    return tuple(dict.fromkeys((*([own] if own else []), *runtime_folders(environ))))
