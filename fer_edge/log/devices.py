"""Devices: the selected journals, each with a unique name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.segments import segment_lines, segments

_OF_THE_FILE_SYSTEM = "lost+found"  # in the top folder of a disk; only root may read it
_DEEPEST = 4  # below a named folder: collected/HOST/journal/INSTANCE


@dataclass(frozen=True, slots=True)
class Device:
    """A journal's folder. `name` is that in its header; where several have the same, the folder's, or the part of its path
    that differs. No other journal of the same command has it."""

    name: str
    folder: Path


def devices(folders: Sequence[Path], only: str | None = None, subfolders: bool = True) -> list[Device]:
    """The devices in those folders and, unless `subfolders` is false, below them.

    `only` selects the one of that name. Raises UsageError when there is no journal, or none of that name; OSError.
    """
    found = [journal for folder in folders for journal in (journals_below(folder) if subfolders else [folder])]
    once: dict[Path, Path] = {}
    for folder in found:
        once.setdefault(folder.resolve(), folder)
    found = list(once.values())
    if not found:
        raise UsageError(
            f"there is no journal in {', '.join(map(str, folders))}; name a folder with journal-*.jsonl in it"
        )
    named = [_header_name(folder) or folder.absolute().name for folder in found]
    twice = Counter(named)
    names = [name if twice[name] == 1 else folder.absolute().name for name, folder in zip(named, found, strict=True)]
    names = _told_apart(names, found)
    every = [Device(name, folder) for name, folder in zip(names, found, strict=True)]
    if only is not None and not (every := [device for device in every if device.name == only]):
        raise UsageError(f"there is no journal of “{only}” here; there are {', '.join(sorted(names))}")
    return every


def _told_apart(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The names, each once; of folders with the same one the first part of their resolved paths that differs.

    Where that is a name too, everything from that part on, and where that is one, the whole path. The path as typed would be
    another name for each way of typing it.
    """
    paths = [folder.resolve() for folder in folders]
    apart, from_there = list(names), list(names)
    for name in {name for name, times in Counter(names).items() if times > 1}:
        places = [place for place, other in enumerate(names) if other == name]
        common = len(Path(os.path.commonpath([paths[place] for place in places])).parts)
        if any(len(paths[place].parts) == common for place in places):  # one is within another
            common -= 1
        parts = {place: paths[place].parts[common:] for place in places}
        firsts = [parts[place][0] for place in places]
        unique = len(set(firsts)) == len(firsts) and not set(firsts) & (set(names) - {name})
        for place in places:
            from_there[place] = "/".join(parts[place])
            apart[place] = parts[place][0] if unique else from_there[place]
    apart = _wider_where_twice(apart, from_there)
    whole = list(map(str, paths))
    while (wider := _wider_where_twice(apart, whole)) != apart:
        apart = wider
    return apart


def _wider_where_twice(names: Sequence[str], wider: Sequence[str]) -> list[str]:
    times = Counter(names)
    return [more if times[name] > 1 else name for name, more in zip(names, wider, strict=True)]


def journals_below(folder: Path) -> list[Path]:
    """The folder, if it has segments, and the folders with segments below it, down to the fourth level, each followed by those
    below it. Raises OSError. A subfolder that may not be read is a message.

    A Pi writes the journal of the instance `camera` into one folder, and those of others into subfolders of it. `fetch` copies
    that tree; the folder of a host that has no `camera` has no segments itself. A folder of such folders is read too.
    """
    found = [folder] if segments(folder) else []
    return found + _journals_within(folder, _DEEPEST)


def _journals_within(folder: Path, levels: int) -> list[Path]:
    found = []
    for inner in _subfolders(folder):
        try:
            found += [inner] if segments(inner) else []
            found += _journals_within(inner, levels - 1) if levels > 1 else []
        except PermissionError:
            message(f"{inner} may not be read by this user, and is left out")
        except FileNotFoundError:  # removed meanwhile
            continue
    return found


def _subfolders(folder: Path) -> list[Path]:
    hidden = (".", _OF_THE_FILE_SYSTEM)  # the first: of a fetch that was interrupted
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(hidden))


def _header_name(folder: Path) -> str | None:
    """The name in the newest readable header."""
    for segment in reversed(segments(folder)):
        for _, item in segment_lines(segment):
            if isinstance(item, Event) and item.kind == "header":
                return item.body.get("name")
            break
    return None
