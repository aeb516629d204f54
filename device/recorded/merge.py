"""`label merge`: joins the parts of an archive that `label --shard` made into what one call would have made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device.recorded.files import ANNOTATED, sidecar_path
from device.recorded.index import Index, IndexEntry, indexes_in
from fer_edge.atomic_file import atomic_file
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import UsageError
from fer_edge.folder_files import in_sentence

_FRESH = ".label-merge"  # name of a file that is being copied: that of its copy may be as long as names can be


@dataclass(frozen=True, slots=True)
class _Part:
    """An index and the folder that it is in."""

    folder: Path
    index: Index

    def __str__(self) -> str:
        return str(self.index.path(self.folder))


def merge(folders: Sequence[Path], out: Path) -> Index:
    """Copies the tables of all parts to `out`, writes their joined index there, and returns it. `out` may be one of them.

    Raises UsageError for parts of another bundle, settings, versions or format, for missing parts, for a video in two parts,
    and for a table that is not the one of the index; `out` has no index then.
    """
    parts = [_Part(folder, index) for folder in dict.fromkeys(folders) for index in indexes_in(folder)]
    first = parts[0]
    for part in parts[1:]:
        _require_same_making(first, part)
    _require_every_shard(parts)
    entries: list[IndexEntry] = []
    owners: dict[str, _Part] = {}
    for part in parts:
        for entry in part.index.entries:
            if (other := owners.setdefault(entry.table or entry.path, part)) is not part:
                raise UsageError(f"{entry.path} is in {other} and in {part}; name each part once")
            entries.append(entry)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for part in parts:
            for entry in part.index.entries:
                _require_table(part, entry)
        replaced = Index(first.index.form, first.index.made_by, None, len(entries), ()).path(out)
        if out not in [part.folder for part in parts if part.index.shard is None]:
            for old in (replaced, replaced.with_name(f"{replaced.name}.json")):  # of tables that are replaced now
                old.unlink(missing_ok=True)
        for part in parts:
            for entry in part.index.entries:
                _copy(part, entry, out)
        if first.index.shard:
            entries.sort(key=lambda entry: entry.number)
        else:
            entries = [replace(entry, number=number) for number, entry in enumerate(entries)]
        names_sha256 = first.index.names_sha256 if first.index.shard else ""
        joined = Index(first.index.form, first.index.made_by, None, len(entries), tuple(entries), names_sha256)
        joined.write(out)
    except OSError as error:
        raise UsageError(
            f"{error.filename or out} cannot be copied: {error.strerror}; free some space, or label it again"
        ) from error
    return joined


def _require_same_making(first: _Part, part: _Part) -> None:
    one, other = first.index, part.index
    if one.form != other.form:
        raise UsageError(f"{first} is of {one.form} tables and {part} of {other.form}; label both in one format")
    before, now = one.made_by.to_json(), other.made_by.to_json()
    for name in before:
        if before[name] == now[name]:
            continue
        if name == "bundle":
            values = " and ".join(f"{made['name']} ({made['sha256'][:12]}…)" for made in (before[name], now[name]))
        elif isinstance(before[name], dict):
            keys = [key for key in {**before[name], **now[name]} if before[name].get(key) != now[name].get(key)]
            values = ", ".join(f"{key} {before[name].get(key)} and {now[name].get(key)}" for key in keys)
        else:
            values = f"{before[name]} and {now[name]}"
        raise UsageError(f"{first} and {part} differ in {name}: {values}; label both with the same")


def _require_every_shard(parts: Sequence[_Part]) -> None:
    shards = [part.index.shard for part in parts]
    if not any(shards):
        return
    counts = {shard.count if shard else 1 for shard in shards}
    totals = {part.index.videos for part in parts}
    if len(counts) > 1:
        named = in_sentence([f"{part} ({part.index.shard or 'the whole'})" for part in parts])
        raise UsageError(
            f"the parts are of different divisions: {named}; delete the indexes of all but one division, or label all with "
            "the same n"
        )
    if len(totals) > 1:
        named = in_sentence([f"{part} ({part.index.videos})" for part in parts])
        raise UsageError(
            f"the parts are of different numbers of videos: {named}; run all parts again over the same videos"
        )
    if len({part.index.names_sha256 for part in parts}) > 1:
        raise UsageError(
            f"{in_sentence(list(map(str, parts)))} are of other videos; run all parts again over the same ones"
        )
    (count,) = counts
    found = [shard.index for shard in shards if shard]
    if missing := [f"{index}/{count}" for index in range(1, count + 1) if index not in found]:
        raise UsageError(
            f"{len(missing)} parts are missing: {in_sentence(missing)}; name their folders too, or label them"
        )
    if twice := sorted({f"{index}/{count}" for index in found if found.count(index) > 1}):
        raise UsageError(f"{in_sentence(twice)} is in two folders; name each part once")


def _require_table(part: _Part, entry: IndexEntry) -> None:
    """Raises UsageError unless the table of a row and its summary are there, and the table is the one of the index."""
    if entry.table is None:
        return
    table = part.folder / entry.table
    if sha256_of(table) != entry.sha256:
        raise UsageError(f"{table} is not the table of {part}: its hash differs; label that part again")
    if not sidecar_path(table).is_file():
        raise UsageError(f"{sidecar_path(table)} is missing; label that part again")


def _copy(part: _Part, entry: IndexEntry, out: Path) -> None:
    """Copies the table of a row, its summary last, as `label` writes them."""
    if entry.table is None:
        return
    table, copy = part.folder / entry.table, out / entry.table
    if copy.exists() and copy.samefile(table):
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    sidecar_path(copy).unlink(missing_ok=True)
    annotated = table.with_name(f"{table.name.removesuffix(f'.{part.index.form}')}{ANNOTATED}")
    for source in (annotated, table, sidecar_path(table)):
        if source is annotated and not source.exists():
            copy.with_name(annotated.name).unlink(missing_ok=True)  # of the video that had this name before
            continue
        with atomic_file(copy.with_name(source.name), 0o600, durable=True, fresh_name=_FRESH) as fresh:
            shutil.copyfile(source, fresh)
