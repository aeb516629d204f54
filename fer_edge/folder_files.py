"""The files below a folder, with those behind links, and what is left out, so that nothing in it vanishes uncounted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.limits import ARCHIVE_MEMBERS

COLLECTED_MARKER = "fer-edge-faces.json"  # marks the folder of `fer-edge collect`
COLLECTED_LABELLED = "labelled"  # its folder of class folders
_MOST_NAMES = 5  # in a sentence


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files and folders below `path`: names relative to it, with `/`, sorted.

    `left_out` names what is neither, each with the reason: broken links, links to a folder that was read already, pipes and
    devices, hidden files.
    """

    path: Path
    names: tuple[str, ...]
    folders: tuple[str, ...]
    left_out: tuple[str, ...]


def files_below(path: Path, error: type[FerEdgeError] = UsageError) -> FolderFiles:
    """The files below a folder. Links to files and folders are followed; each folder is read once, by its real path.

    Folders that are no links are read before those behind links. Files that operating systems leave behind are ignored
    (`is_system_file`). Raises `error` when a folder cannot be listed, or holds more than ARCHIVE_MEMBERS files.
    """
    names: list[str] = []
    folders: list[str] = []
    left_out: list[str] = []
    seen: dict[str, str] = {}  # the real path of each folder that was read: its name here

    def unreadable(found: OSError) -> NoReturn:
        raise error(f"{found.filename} cannot be read: {found.strerror}") from found

    waiting = [("", False)]
    while waiting:
        folder, is_link = waiting.pop(0)
        real = os.path.realpath(path / folder)
        if (other := seen.setdefault(real, folder)) != folder:
            left_out.append(f"{folder}: a link to {other or 'the folder itself'}")
            continue
        links = []
        for root, subfolders, files in os.walk(path / folder, onerror=unreadable):
            parent = Path(root).relative_to(path)
            seen.setdefault(os.path.realpath(root), "" if parent == Path() else parent.as_posix())
            kept = []
            for name in sorted(subfolders):
                below = (parent / name).as_posix()
                if is_hidden(name):
                    left_out += [] if is_system_file(name) else [f"{below}: a hidden folder"]
                elif (Path(root) / name).is_symlink():
                    links.append((below, True))
                else:
                    folders.append(below)
                    kept.append(name)
            subfolders[:] = kept  # os.walk then skips the others
            for name in files:
                _sort_file(Path(root) / name, (parent / name).as_posix(), names, left_out)
            if len(names) > ARCHIVE_MEMBERS:
                raise error(f"{path} holds more than {ARCHIVE_MEMBERS:,} files; name a part of it")
        folders += [folder] if is_link else []
        waiting += sorted(links)
    return FolderFiles(path, tuple(sorted(names)), tuple(sorted(folders)), tuple(sorted(left_out)))


def _sort_file(file: Path, name: str, names: list[str], left_out: list[str]) -> None:
    if is_hidden(file.name):
        left_out += [] if is_system_file(file.name) else [f"{name}: a hidden file"]
    elif file.is_file():
        names.append(name)
    else:
        left_out.append(f"{name}: {'a broken link' if file.is_symlink() else 'not a regular file'}")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden by its name, or left behind by an operating system."""
    return any(part.startswith(".") or is_system_file(part) for part in PurePosixPath(name.removeprefix("./")).parts)


def is_system_file(name: str) -> bool:
    """Whether an operating system leaves files of this name behind; they are left out without a message."""
    return name in ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini") or name.startswith("._")


def in_sentence(names: tuple[str, ...] | list[str]) -> str:
    """The first names of many, for a message: “a, b, …”."""
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
