"""The index of an archive: a table with a row for each video, and beside it a file that a program reads.

`index.csv` or `index.parquet`, `index-2-of-8.csv` of a part; with `.json` after it, what made the rows and the same entries.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from device.recorded.files import FORMATS, LabelOptions, Recording
from device.recorded.remote import is_name_below
from device.recorded.results import LabelResult
from device.recorded.shards import Shard
from device.recorded.summary import Provenance
from fer_edge.atomic_file import atomic_file, write_atomically
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import UsageError
from fer_edge.json_fields import json_text, parse_json
from fer_edge.limits import LABEL_INDEX_BYTES
from fer_edge.text_cleaning import CELL_CHARS, clean, spreadsheet_text

STEM = "index"
_FILE_NAME = re.compile(rf"{STEM}(?P<part>-[0-9]+-of-[0-9]+)?\.({'|'.join(FORMATS)})\.json")
_OWNER_ONLY = 0o600  # as the tables


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A row of the index. `number`: its place among all videos of the archive, from 0; `sha256`: that of its table.

    `status` is `labelled`, `incomplete` (the video ended early; `error` says where) or `failed` (no table).
    """

    number: int
    path: str
    table: str | None  # below the folder of results
    rows: int | None
    frames: int | None
    seconds: float | None
    status: str
    error: str | None
    sha256: str | None


_KINDS: dict[str, type] = {
    "path": str,
    "table": str,
    "rows": int,
    "frames": int,
    "seconds": float,
    "status": str,
    "error": str,
    "sha256": str,
}


@dataclass(frozen=True, slots=True)
class Index:
    """What one call found: `videos` in all parts, `shard` the part it did, `form` of the tables, None for one without any."""

    form: str
    made_by: Provenance
    shard: Shard | None
    videos: int
    entries: tuple[IndexEntry, ...]
    names_sha256: str = ""  # of the names of all videos, in order; empty in older files

    def path(self, out: Path) -> Path:
        """The path of its table in a folder of results."""
        part = f"-{self.shard.index}-of-{self.shard.count}" if self.shard else ""
        return out / f"{STEM}{part}.{self.form}"

    def write(self, out: Path) -> Path:
        """Writes the table and the file beside it, and returns the path of the table. Raises OSError."""
        path = self.path(out)
        rows = [[getattr(entry, name) for name in _KINDS] for entry in self.entries]
        with atomic_file(path, _OWNER_ONLY, durable=True) as fresh:
            (_write_parquet if self.form == "parquet" else _write_csv)(fresh, rows, self._facts())
        text = json_text({**self._facts(), "entries": [asdict(entry) for entry in self.entries]}, indent=1)
        write_atomically(path.with_name(f"{path.name}.json"), text + "\n", _OWNER_ONLY, durable=True)
        return path

    def _facts(self) -> dict[str, Any]:
        return {
            "made_by": self.made_by.to_json(),
            "form": self.form,
            "shard": str(self.shard) if self.shard else None,
            "videos": self.videos,
            **({"names_sha256": self.names_sha256} if self.names_sha256 else {}),
        }

    @staticmethod
    def read(path: Path) -> Index:
        """The index of a file beside its table. Raises UsageError when it is none."""
        try:
            if path.stat().st_size > LABEL_INDEX_BYTES:
                raise UsageError(f"{path} is larger than {LABEL_INDEX_BYTES:,} bytes, the most that an index may have")
            fields: Mapping[str, Any] = parse_json(path.read_bytes())
            entries = tuple(IndexEntry(**entry) for entry in fields["entries"])
            if any(entry.table is not None and not is_name_below(entry.table) for entry in entries):
                raise ValueError("a table is outside of its folder")
            shard = None if fields["shard"] is None else Shard.parse(fields["shard"])
            made_by = Provenance.from_json(fields["made_by"])
            names_sha256 = str(fields.get("names_sha256", ""))
            return Index(fields["form"], made_by, shard, int(fields["videos"]), entries, names_sha256)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is not an index of `fer-edge label`: {error}; label that part again") from error


def indexes_in(out: Path) -> list[Index]:
    """The indexes of the parts in a folder of results; without any, the index of the whole. Raises UsageError for none."""
    named = [(path, match) for path in sorted(out.glob(f"{STEM}*.json")) if (match := _FILE_NAME.fullmatch(path.name))]
    found = [path for path, match in named if match["part"]] or [path for path, _ in named]
    if not found:
        raise UsageError(f"{out} has no index; name folders that `fer-edge label --shard` or `--engine` wrote")
    return [Index.read(path) for path in found]


def require_free_names(recordings: Sequence[Recording]) -> None:
    """Raises UsageError for a recording whose table would have the name of the index."""
    for recording in recordings:
        if _FILE_NAME.fullmatch(f"{recording.name}.csv.json"):
            raise UsageError(f"the table of {recording.shown} would have the name of the index; rename the video")


def index_of(
    results: Sequence[LabelResult],
    numbers: Sequence[int],
    every: Sequence[Recording],
    made_by: Provenance,
    out: Path,
    options: LabelOptions,
    shard: Shard | None,
) -> Index:
    """The index of the results of a call; `numbers` are their places among `every` recording. Raises OSError."""
    entries = tuple(_entry(result, number, out) for result, number in zip(results, numbers, strict=True))
    names = json_text([recording.name for recording in every])
    return Index(options.form, made_by, shard, len(every), entries, sha256(names.encode(errors="replace")).hexdigest())


def _entry(result: LabelResult, number: int, out: Path) -> IndexEntry:
    summary = result.summary
    if summary is None:
        return IndexEntry(number, str(result.source), None, None, None, None, "failed", result.problem, None)
    return IndexEntry(
        number,
        str(result.source),
        result.rows.relative_to(out).as_posix(),
        summary.rows.rows,
        summary.frames,
        summary.seconds,
        "incomplete" if result.problem else "labelled",
        result.problem or None,
        sha256_of(result.rows),
    )


def _write_csv(path: Path, rows: list[list[Any]], _: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_KINDS)
        writer.writerows([spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def _write_parquet(path: Path, rows: list[list[Any]], facts: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in _KINDS.items()], {"fer-edge": json_text(facts)})
    cells = [list(_cleaned(row[column] for row in rows)) for column in range(len(_KINDS))]
    with path.open("wb") as file:
        pq.write_table(
            pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(cells, schema, strict=True)], schema=schema), file
        )


def _cleaned(cells: Iterator[Any]) -> Iterator[Any]:
    """Texts need not be UTF-8: names of files are not."""
    return (clean(cell, CELL_CHARS) if isinstance(cell, str) else cell for cell in cells)
