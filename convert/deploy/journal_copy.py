"""The copy of a target's journals: what a fetch takes over, so that no line of the copy is ever lost.

New and changed segments first come into a folder beside the copy's own, are all compared with those of the same name, and then
take their places. A segment that grew replaces the copy's. Of one whose lines were purged on the target the copy keeps its
lines and gets the new ones. Where the target has another journal under the same numbers, nothing is taken over: its numbers
began again, on a new card or in a folder that was deleted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.segments import last_event, read_lines, segment_number, segments
from fer_edge.limits import JOURNAL_SEGMENT_BYTES
from fer_edge.text_cleaning import clean

_LARGEST_COUNT = 1 << 53  # that every reader of JSON keeps exactly
_BLOCK_BYTES = 1 << 16
_ADVICE = (
    "A journal begins again at 1 on a new card, and after its folder was deleted. Nothing was copied; fetch it into a folder "
    "of its own: --out DIR"
)

NewestSegments = Callable[[], Mapping[str, int]]  # the highest number in each folder below the target's, “.” for itself


class JournalCopy:
    """A copy, in `folder`, of the journals in the folder `source` (HOST:PATH) of a target.

    `incoming` is where a fetch puts segments; what an interrupted one left there is taken over by the next.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        self.incoming = folder / ".fetch"
        self._source = source

    def take_over(self, newest: NewestSegments) -> None:
        """Moves the segments in `incoming` to their places. `newest` is called only where it decides.

        Raises UsageError, with the copy as before and `incoming` removed, when the target has another journal; OSError.
        """
        names = sorted(self._incoming_names(), key=lambda name: (len(name.parts), name))
        try:
            changes = [(name, self._merged(name)) for name in names]
            self._check_numbers(names, newest)
        except UsageError:
            shutil.rmtree(self.incoming)
            raise
        for name, content in changes:
            arrived, place = self.incoming / name, self.folder / name
            if content is None:
                arrived.unlink()
                continue
            if content:
                times = arrived.stat()
                arrived.write_bytes(content)
                os.utime(arrived, ns=(times.st_atime_ns, times.st_mtime_ns))
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            arrived.replace(place)

    def _incoming_names(self) -> Iterator[Path]:
        for path, folders, files in os.walk(self.incoming):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]  # of partial files
            yield from (Path(path, file).relative_to(self.incoming) for file in files if not file.startswith("."))

    def _merged(self, name: Path) -> bytes | None:
        """What takes the segment's place: empty for the one that arrived, None for nothing."""
        place, arrived = self.folder / name, self.incoming / name
        if not place.is_file() or place.is_symlink():
            return b""
        try:
            return merged_segment(place, arrived)
        except AnotherJournal:
            firsts = [next((line for line in _lines(path) if line.key), None) for path in (arrived, place)]
            there, here = ("no line" if line is None else line.moment for line in firsts)
            raise UsageError(
                f"{self._source}/{name} ({there}) is of another journal than {place} ({here}). {_ADVICE}"
            ) from None

    def _check_numbers(self, names: list[Path], newest: NewestSegments) -> None:
        """Raises UsageError where new segments have lower numbers than the copy's, and the target has no higher ones.

        A copy that was purged gets its segments again, but the target then has those that the copy has, too.
        """
        numbers: Mapping[str, int] | None = None
        for folder in sorted({name.parent for name in names}):
            if not (self.folder / folder).is_dir():
                continue
            own = reversed(segments(self.folder / folder))
            last = next(
                (path for path in own if last_event(path) is not None), None
            )  # an empty one may get its number again
            new = [name for name in names if name.parent == folder and not (self.folder / name).exists()]
            if last is None or not any(0 < segment_number(name) < segment_number(last) for name in new):
                continue
            numbers = newest() if numbers is None else numbers
            highest = numbers.get(str(folder))
            if highest is not None and highest < segment_number(last):
                raise UsageError(
                    f"the newest segment in {Path(self._source, folder)} has the number {highest}, below that of {last}: it is "
                    f"of another journal. {_ADVICE}"
                )


class AnotherJournal(Exception):
    """Two segments of the same name are of two journals."""


def merged_segment(copy: Path, arrived: Path) -> bytes | None:
    """The content of a segment, of which the target has another state than the copy: no line of either is left out.

    Empty for the one that arrived, None for the copy's. Raises AnotherJournal where they have no line in common, or are larger
    than any of a run; OSError.
    """
    same_bytes = _common_bytes(copy, arrived)
    if not _has_line_after(copy, same_bytes):
        return b""  # it grew; of a line that was copied without its end there is the whole one now
    if not _has_line_after(arrived, same_bytes):
        return None  # the target lost its last lines in a power cut
    if max(copy.stat().st_size, arrived.stat().st_size) > JOURNAL_SEGMENT_BYTES:
        raise AnotherJournal
    own, new = list(_lines(copy)), list(_lines(arrived))
    own_keys, new_keys = ({line.key for line in lines if line.key} for lines in (own, new))
    if not own_keys or own_keys <= new_keys:
        return b""  # the copy was purged, or lines were purged after the last that it has
    if not new_keys:
        return None
    if not own_keys & new_keys:
        raise AnotherJournal
    last_seq = max((line.seq for line in own if line.counts), default=0)
    begin = next((place for place, line in enumerate(new) if line.counts and line.seq > last_seq), len(new))
    kept = [line.raw for line in own if line.raw.endswith(b"\n")]
    kept[-1] = _with_purged(kept[-1], _purged_after(last_seq, new, begin))
    return b"".join([*kept, *(line.raw for line in new[begin:])])


@dataclass(frozen=True, slots=True)
class _Line:
    """A line; `fields` are those of its JSON, empty where it is none. Lines of later schemas are lines too."""

    raw: bytes
    fields: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, int, float] | None:
        if not self.fields:
            return None
        return self.fields["kind"], self.fields["boot"], self.fields["seq"], self.fields["mono_s"]

    @property
    def seq(self) -> int:
        seq: int = self.fields["seq"]
        return seq

    @property
    def counts(self) -> bool:
        """Whether its number is that of a line: a header repeats that of its run."""
        return bool(self.fields) and self.fields["kind"] != "header"

    @property
    def moment(self) -> str:
        return f"boot {clean(self.fields['boot'], 40)}, {self.fields['mono_s']:g} s"


def _lines(segment: Path) -> Iterator[_Line]:
    with segment.open("rb") as file:
        for _, raw, begins in read_lines(file):
            yield _Line(raw, _fields(raw) if begins and raw.endswith(b"\n") else {})


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(raw)
        types = {"kind": str, "boot": str, "seq": int, "mono_s": (int, float)}
        typed = all(isinstance(fields[name], kind) for name, kind in types.items())  # type: ignore[arg-type]
        return fields if typed and _is_count(fields["seq"]) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _purged_after(last_seq: int, new: list[_Line], begin: int) -> int:
    """How many numbers after the copy's last line the target purged before they were copied."""
    before = next((line for line in reversed(new[:begin]) if line.fields), None)
    purged = before.fields.get("purged", 0) if before is not None else 0
    if not _is_count(purged) or before is None or not purged:
        return 0
    if begin == len(new):
        return max(0, before.seq + purged - last_seq) if before.counts else 0
    lost = new[begin].fields.get("lost")
    own = sum(lost.values()) if isinstance(lost, dict) and all(map(_is_count, lost.values())) else 1
    return max(0, new[begin].seq - own - last_seq)


def _with_purged(raw: bytes, count: int) -> bytes:
    if not count:
        return raw
    try:
        event = Event.parse(raw.decode())
    except (UsageError, UnicodeDecodeError):
        return raw
    changed = replace(event, body=event.body | {"purged": count}).line()
    try:
        Event.parse(changed)
    except UsageError:  # no line of the copy becomes unreadable by what the target says
        return raw
    return f"{changed}\n".encode()


def _is_count(value: object) -> bool:
    """Whether it is a whole number that a journal may hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT


def _common_bytes(one: Path, other: Path) -> int:
    """How many bytes at the beginning of two files are the same."""
    count = 0
    with one.open("rb") as first, other.open("rb") as second:
        while (block := first.read(_BLOCK_BYTES)) == (block_of_other := second.read(_BLOCK_BYTES)):
            if not block:
                return count
            count += len(block)
    pairs = enumerate(zip(block, block_of_other, strict=False))
    return count + next((place for place, (a, b) in pairs if a != b), min(len(block), len(block_of_other)))


def _has_line_after(path: Path, place: int) -> bool:
    """Whether a line ends behind that place."""
    with path.open("rb") as file:
        file.seek(place)
        return any(b"\n" in block for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
