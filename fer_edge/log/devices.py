"""Devices: the selected journals, each with a unique name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.segments import segment_lines, segments

_OF_THE_FILE_SYSTEM = "lost+found"  # in the top folder of a disk; only root may read it


@dataclass(frozen=True, slots=True)
class Device:
    """A journal's folder. `name` is that in its header, or the folder's where several have the same."""

    name: str
    folder: Path


def devices(folders: Sequence[Path], only: str | None = None, subfolders: bool = True) -> list[Device]:
    """The devices in those folders and, unless `subfolders` is false, in their subfolders.

    `only` selects the one of that name. Raises UsageError when there is no journal, or none of that name; OSError.
    """
    found = [journal for folder in folders for journal in (journals_below(folder) if subfolders else [folder])]
    found = list(dict.fromkeys(found))
    if not found:
        raise UsageError(
            f"there is no journal in {', '.join(map(str, folders))}; name a folder with journal-*.jsonl in it"
        )
    named = [_header_name(folder) or folder.absolute().name for folder in found]
    twice = Counter(named)
    names = [name if twice[name] == 1 else folder.absolute().name for name, folder in zip(named, found, strict=True)]
    twice = Counter(names)
    names = [name if twice[name] == 1 else str(folder) for name, folder in zip(names, found, strict=True)]
    every = [Device(name, folder) for name, folder in zip(names, found, strict=True)]
    if only is not None and not (every := [device for device in every if device.name == only]):
        raise UsageError(f"there is no journal of “{only}” here; there are {', '.join(sorted(names))}")
    return every


def journals_below(folder: Path) -> list[Path]:
    """The folder, if it has segments, and its subfolders with segments, each followed by those of its own. Raises OSError.
    A subfolder that may not be read is a message.

    A Pi writes the journal of the instance `camera` into one folder, and those of others into subfolders of it. A folder of
    such folders is read too.
    """
    found = [folder] if segments(folder) else []
    for inner in _subfolders_with_segments(folder):
        found += [inner, *_subfolders_with_segments(inner)]
    return found


def _subfolders_with_segments(folder: Path) -> list[Path]:
    found = []
    for inner in sorted(each for each in folder.iterdir() if each.name != _OF_THE_FILE_SYSTEM):
        try:
            if inner.is_dir() and segments(inner):
                found.append(inner)
        except PermissionError:
            message(f"{inner} may not be read by this user, and is left out")
    return found


def _header_name(folder: Path) -> str | None:
    """The name in the newest readable header."""
    for segment in reversed(segments(folder)):
        for _, item in segment_lines(segment):
            if isinstance(item, Event) and item.kind == "header":
                return item.body.get("name")
            break
    return None
