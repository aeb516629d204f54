"""Writing an archive (fer_edge.log.archive) from journals, with pyarrow (extra `parquet`)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.events import LATEST_S
from fer_edge.journal.segments import lock_folder
from fer_edge.log.archive import device_folder, labels_in, stored_columns
from fer_edge.log.archive_kept import JournalStart, PresentRows, archived_rows, kept_rows, without_kept_time
from fer_edge.log.archive_origin import Origin, archived_origin
from fer_edge.log.rows import LASTING, OBJECTS, TIMES, Row, body_text
from fer_edge.log.tables import parquet_type, pyarrow_modules

_AT_ONCE = 5_000  # rows of a batch
_ROWS_OF_A_GROUP = 50_000
_OPEN_FILES = 256


def write_device(
    archive: Path,
    what: str,
    name: str,
    rows: Iterable[Row],
    labels: list[str],
    start: JournalStart,
    origin: Origin | None,
) -> int:
    """Replaces a device's rows of one kind by those of its journal, which begins at `start`; the number of stored rows.

    `origin` is that which `origins_for` gives for the journal and this name.

    Rows whose lines the journal no longer has, because it deleted or purged them, stay; of a period without observation that
    stays, the journal's rows have only what is later. Each file is written beside the archive
    and put into its place whole; the same rows give the same files. Raises UsageError without the extra `parquet`, or while
    another process writes this device's rows; OSError.
    """
    pa, _ = pyarrow_modules()
    import pyarrow.dataset as ds

    folder = device_folder(archive, what, name)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = lock_folder(folder)
    except BlockingIOError as error:
        raise UsageError(f"another process exports to {folder}; wait for its end") from error
    fresh = Path(tempfile.mkdtemp(prefix=".export-", dir=archive))
    try:
        archived = archived_rows(folder)
        if archived is not None:
            labels = list(dict.fromkeys([*labels, *labels_in(archived.schema.names)]))
        present = PresentRows(start)
        if what == "blind":
            blind = kept_rows(archived, start)
            rows = without_kept_time(rows, blind, start)
        columns = [*stored_columns(what, labels), "day"]
        before = archived_origin(folder)
        origin = before if origin is None else origin.since(before)
        schema = pa.schema(
            [(column, parquet_type(column, pa, "us")) for column in columns], origin and origin.metadata()
        )
        batches = _Batches(pa, schema, what in LASTING)
        kept = (lambda: blind) if what == "blind" else (lambda: kept_rows(archived, start, present))
        reader = pa.RecordBatchReader.from_batches(schema, batches.of(present.of(rows), kept))
        form = ds.ParquetFileFormat()
        ds.write_dataset(
            reader,
            fresh,
            format=form,
            file_options=form.make_write_options(compression="zstd"),
            partitioning=ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive"),
            basename_template="rows-{i}.parquet",
            use_threads=False,  # the order of the rows, and so the bytes, are the same each time
            max_partitions=1_000_000,
            max_open_files=_OPEN_FILES,
            max_rows_per_group=_ROWS_OF_A_GROUP,
            min_rows_per_group=_AT_ONCE,
        )
        _replace_files(fresh, folder)
        return batches.count
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # it holds files
                path.rmdir()
        os.close(lock)


class _Batches:
    """Record batches of rows. `count` is the number of rows so far."""

    def __init__(self, pa: Any, schema: Any, by_start: bool) -> None:
        self.count = 0
        self._pa, self._schema = pa, schema
        self._time = "from" if by_start else "at"
        self._run, self._row = -1, 0

    def of(self, rows: Iterable[Row], kept: Callable[[], Any]) -> Iterator[Any]:
        """The batches of the rows, then those of a table, which `kept` returns once the rows are read; None: of no table."""
        pa, schema = self._pa, self._schema
        several = iter(rows)
        while some := [self._numbered(row) for row in islice(several, _AT_ONCE)]:
            self.count += len(some)
            columns = [_column(name, some, self._time) for name in schema.names]
            arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if (table := kept()) is not None:
            table = pa.concat_tables([schema.empty_table(), table], promote_options="default")
            self.count += table.num_rows
            yield from table.select(schema.names).cast(schema).to_batches(_AT_ONCE)

    def _numbered(self, row: Row) -> Row:
        if row["run"] != self._run:
            self._run, self._row = row["run"], 0
        row["row"] = self._row
        self._row += 1
        return row


def _column(name: str, rows: list[Row], time: str) -> list[Any]:
    if name == "day":
        return [_day(int(_limited(row[time]) // 86_400)) for row in rows]
    if name in TIMES:
        return [_microseconds(_limited(row[name])) for row in rows]
    if name in OBJECTS:
        return [body_text(row[name]) for row in rows]
    return [row.get(name) for row in rows]


def _limited(posix_s: float) -> float:
    """The moment as it is shown (TimeZone.at): those of boots without a clock may be estimated to any."""
    return min(max(posix_s, 0.0), 2 * LATEST_S)


def _microseconds(posix_s: float) -> int:
    """The moment in whole microseconds, rounded as `datetime.fromtimestamp` does."""
    whole_s = int(posix_s)
    return whole_s * 1_000_000 + round((posix_s - whole_s) * 1e6)


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def _replace_files(fresh: Path, folder: Path) -> None:
    """Moves the new files of each day to their places, and removes the files that have no successor."""
    written = set()
    for file in sorted(fresh.glob("day=*/*.parquet")):
        place = folder / file.relative_to(fresh)
        place.parent.mkdir(exist_ok=True)
        file.chmod(0o600)
        with file.open("rb") as content:
            os.fsync(content.fileno())
        file.replace(place)
        written.add(place)
    for place in sorted(folder.glob("day=*/*.parquet")):
        if place not in written:
            place.unlink()
            if not any(place.parent.iterdir()):
                place.parent.rmdir()
