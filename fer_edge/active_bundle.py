"""The bundle in use on this machine: `fer-edge bundle use` selects it, `run` reads it here.

    <bundles>/releases/NAME-HASH/    a bundle, never altered
    <bundles>/in-use                 names, a line each: the one in use, then the previous ones

One file holds the selection and its history, so that one rename changes both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fer_edge.errors import BundleRefused
from fer_edge.shipped_bundles import SHIPPED, default_path, shipped_path
from fer_edge.user_folders import data_folder

SYSTEM_BUNDLES = Path("/opt/fer-edge/bundles")  # read by the system service, written by root
IN_USE_FILE = "in-use"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}")


def bundles_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of installed bundles: $FER_EDGE_BUNDLES, else the system's for root, else in the user's data folder."""
    if given := environ.get("FER_EDGE_BUNDLES"):
        return Path(given)
    if os.geteuid() == 0:
        return SYSTEM_BUNDLES
    return data_folder(environ) / "bundles"


def selected_names(folder: Path) -> tuple[str, ...]:
    """The names in the in-use file of `folder`, the one in use first; empty where none was selected yet.

    Raises BundleRefused when the file is damaged.
    """
    try:
        names = (folder / IN_USE_FILE).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleRefused(
            f"{folder / IN_USE_FILE} cannot be read ({error}); `fer-edge bundle use NAME` writes it"
        ) from error
    *names, end = names
    if end or not all(_NAME.fullmatch(name) for name in names):
        raise BundleRefused(f"{folder / IN_USE_FILE} is damaged; `fer-edge bundle use NAME` writes it again")
    return tuple(names)


def bundle_path(folder: Path, name: str) -> Path:
    """The folder of the bundle called `name`: one that came with the package, or a release in `folder`."""
    return shipped_path(name) if name in SHIPPED else folder / "releases" / name


def active_bundle_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the bundle in use: the selected one, else the package's default.

    Raises BundleRefused when the selected one is missing: another model's labels would be wrong.
    """
    return selected_path(bundles_folder(environ)) or default_path()


def selected_path(folder: Path) -> Path | None:
    """The folder of the bundle that is selected in `folder`; None where none is. Raises BundleRefused when it is missing."""
    names = selected_names(folder)
    if not names:
        return None
    path = bundle_path(folder, names[0])
    if not (path / "bundle.json").is_file():
        raise BundleRefused(
            f"the bundle in use, {path}, is missing; `fer-edge bundle rollback` returns to the previous one"
        )
    return path
