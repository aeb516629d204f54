"""The default folders of a run: the one place that reads the environment for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fer_edge import instance_name
from fer_edge.user_folders import home_folder


def default_journal_folder(environ: Mapping[str, str] = os.environ, name: str = instance_name.DEFAULT) -> Path:
    """The default folder of the journal: the first of $STATE_DIRECTORY, else a folder below $XDG_STATE_HOME or ~.

    An instance with a name of its own uses a subfolder of that name.
    """
    return journal_folder_and_origin(environ, name)[0]


def journal_folder_and_origin(environ: Mapping[str, str], name: str) -> tuple[Path, str]:
    """The result of `default_journal_folder`, and the variable that it comes from, or "default"."""
    if given := _first_listed(environ, "STATE_DIRECTORY"):
        folder, origin = given, "environment: STATE_DIRECTORY"
    elif home := _absolute_path(environ, "XDG_STATE_HOME"):
        folder, origin = home / "fer-edge", "environment: XDG_STATE_HOME"
    else:
        folder, origin = home_folder() / ".local" / "state" / "fer-edge", "default"
    return (folder if name == instance_name.DEFAULT else folder / name), origin


def default_runtime_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The default folder of a running instance's status.

    $RUNTIME_DIRECTORY (of systemd), else $FER_EDGE_RUNTIME, else fer-edge/ in $XDG_RUNTIME_DIR, else a folder in /dev/shm.
    """
    return runtime_folder_and_origin(environ)[0]


def runtime_folder_and_origin(environ: Mapping[str, str]) -> tuple[Path, str]:
    """The result of `default_runtime_folder`, and the variable that it comes from, or "default"."""
    if given := _first_listed(environ, "RUNTIME_DIRECTORY"):
        return given, "environment: RUNTIME_DIRECTORY"
    if given := _absolute_path(environ, "FER_EDGE_RUNTIME"):
        return given, "environment: FER_EDGE_RUNTIME"
    home = _absolute_path(environ, "XDG_RUNTIME_DIR")
    if home and home.is_dir() and home.stat().st_uid == os.geteuid():  # sudo may pass on that of another user
        return home / "fer-edge", "environment: XDG_RUNTIME_DIR"
    return _shared_memory_folder(), "default"


def runtime_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The folders in which running instances are searched: this user's own first, then that of the service.

    Where $FER_EDGE_RUNTIME is set, neither the service's folder nor that in /dev/shm is searched: commands then reach only
    the instances that were started with the same value.
    """
    if private := _absolute_path(environ, "FER_EDGE_RUNTIME"):
        return tuple(dict.fromkeys((default_runtime_folder(environ), private)))
    folders = [default_runtime_folder(environ), Path("/run/fer-edge"), _shared_memory_folder()]
    return tuple(dict.fromkeys(folders))


def default_config_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The default settings file: the service's, else this user's; None where there is neither."""
    folders = [(_first_listed(environ, "CONFIGURATION_DIRECTORY"), "fer-edge.toml")]
    folders.append((_absolute_path(environ, "XDG_CONFIG_HOME") or home_folder() / ".config", "fer-edge/config.toml"))
    return next((folder / name for folder, name in folders if folder and (folder / name).is_file()), None)


def _first_listed(environ: Mapping[str, str], variable: str) -> Path | None:
    given = environ.get(variable, "").split(":")[0]  # systemd separates several folders by colons
    return Path(given) if given else None


def _absolute_path(environ: Mapping[str, str], variable: str) -> Path | None:
    given = Path(environ.get(variable, ""))  # the specification of these variables says to ignore relative paths
    return given if given.is_absolute() else None


def expand_user(path: Path) -> Path:
    """The path with `~` and `~NAME` expanded; unchanged for a user without a home, or a file whose name begins so."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _shared_memory_folder() -> Path:
    """A folder in memory that any user may create: the status file is rewritten too often for a card."""
    return Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"fer-edge-{os.geteuid()}"
