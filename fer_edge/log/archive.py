"""Archives: the rows of many devices as a Hive-partitioned Parquet data set, read with DuckDB (extra `duckdb`).

    ARCHIVE/episodes/device=kitchen/day=2026-03-01/rows-0.parquet      and so tallies, readings, events, blind

`day` is the day in UTC on which a row begins. Files have the columns of the rows except `device`, which the folder names, and
`ORDER_COLUMNS`: with `run` they restore the order of the journal. `START_COLUMN`: when what a line tells of began, in seconds
since the boot. Times are UTC in microseconds; an object is a JSON text.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fer_edge.errors import UsageError
from fer_edge.events import UNSURE
from fer_edge.log.rows import FILTER_FIELDS, LASTING, OBJECTS, TIMES, Row, RowFilter, column_names

ORDER_COLUMNS = ("boot", "mono_s", "row")  # boot and time of a row's line; the row's number in its run
START_COLUMN = "start_mono_s"
_WITH_START = ("episodes", "tallies", "events")  # kinds of which a line may tell of a time before its own
_DEVICE, _DAY = "device=", "day="
_AT_ONCE = 5_000  # rows that are in memory
_MEMORY = "256MB"  # of DuckDB; what does not fit goes to a temporary folder
_SLACK_S = 1.0  # by which the database's selection is wider than the filter, which decides


def is_archive(folder: Path) -> bool:
    """Whether the folder holds an archive."""
    return any(folder.glob(f"*/{_DEVICE}*"))


def device_folder(archive: Path, what: str, name: str) -> Path:
    """The folder of a device's rows of one kind; characters that a folder's name should not have are written as %XX."""
    return archive / what / f"{_DEVICE}{quote(name, safe='')}"


def stored_columns(what: str, labels: Sequence[str]) -> list[str]:
    """The columns of a device's files, in order, for the labels of its journals."""
    names = [*column_names(what, labels)[1:], *(FILTER_FIELDS if what == "events" else ()), *ORDER_COLUMNS]
    return list(dict.fromkeys([*names, *((START_COLUMN,) if what in _WITH_START else ())]))


def labels_in(columns: Sequence[str]) -> list[str]:
    """The labels in the names of such columns."""
    found = [name[2:] for name in columns if name.startswith(("p_", "s_"))]
    return [label for label in dict.fromkeys(found) if label != UNSURE]


class Archive:
    """Reads an archive; a context manager. `names` are its devices in order, or the one device `only`.

    Raises UsageError without the extra `duckdb`, for a device that is not there, and for a file that is none of an archive.
    """

    def __init__(self, folder: Path, only: str | None = None) -> None:
        names = sorted({unquote(found.name[len(_DEVICE) :]) for found in folder.glob(f"*/{_DEVICE}*")})
        if only is not None and only not in names:
            raise UsageError(f"there is no device “{only}” in {folder}; there are {', '.join(names)}")
        self.names = names if only is None else [only]
        self._folder = folder
        try:
            import duckdb
        except ImportError as error:
            raise UsageError(
                "reading an archive needs the extra `duckdb`: pip install 'fer-edge[duckdb]'; or name journals"
            ) from error
        self._error = duckdb.Error
        self._overflow = tempfile.TemporaryDirectory()
        settings = {"memory_limit": _MEMORY, "temp_directory": self._overflow.name, "threads": "2"}
        no_downloads = {"autoinstall_known_extensions": "false"}
        self._database = duckdb.connect(config={**settings, **no_downloads})

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._overflow.cleanup()

    def labels(self, what: str) -> list[str]:
        """Every label of the devices, those of the first device first; where one has no rows of `what`, by its other rows."""
        found: list[str] = []
        for device in self.names:
            files = (self._files(device, kind) for kind in (what, "tallies", "episodes"))
            with self._readable():
                found += self._columns(next(filter(None, files), []))
        return labels_in(found)

    def rows(self, what: str, wanted: RowFilter) -> Iterator[Row]:
        """The selected rows, one device after the other, each in the order of its journal; blind ones by their start."""
        for device in self.names:
            files = self._files(device, what, wanted)
            with self._readable():
                for row in self._rows(files, what, wanted):
                    row["device"] = device
                    if wanted.takes(row):
                        yield row

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"the archive {self._folder} cannot be read ({reason}); export it again") from error

    def _files(self, device: str, what: str, wanted: RowFilter | None = None) -> list[str]:
        """The device's files, by day; with `wanted` those of days that may have selected rows."""
        first, last = "", "9999"
        if wanted is not None:
            last = _day(wanted.window.until_s, last)
            if what not in LASTING:
                first = _day(wanted.window.since_s, first)
        days = sorted(device_folder(self._folder, what, device).glob(f"{_DAY}*"))
        chosen = [day for day in days if first <= day.name[len(_DAY) :] <= last]
        return [str(file) for day in chosen for file in sorted(day.glob("*.parquet"))]

    def _columns(self, files: list[str]) -> list[str]:
        if not files:
            return []
        found = self._database.execute("SELECT name FROM parquet_schema(?)", [files[0]]).fetchall()
        return [str(name) for (name,) in found[1:]]  # the first one is the root

    def _rows(self, files: list[str], what: str, wanted: RowFilter) -> Iterator[Row]:
        names = self._columns(files)
        if not names:
            return
        selection, values = _selection(what, wanted)
        source = "read_parquet(?, hive_partitioning = false)"
        # by place: names that differ in upper and lower case alone are one to DuckDB, which gives the later ones other names
        given = [column[0] for column in self._database.execute(f"SELECT * FROM {source} LIMIT 0", [files]).description]
        pairs = zip(names, map(_quoted, given), strict=True)
        columns = ", ".join(f"epoch_us({quoted})" if name in TIMES else quoted for name, quoted in pairs)
        order = '"from", "to", run, row' if what == "blind" else "run, row"
        query = f"SELECT {columns} FROM {source} WHERE {selection} ORDER BY {order}"
        found = self._database.execute(query, [files, *values])
        times = [place for place, name in enumerate(names) if name in TIMES]
        objects = [place for place, name in enumerate(names) if name in OBJECTS]
        # a label that another bundle of this device has is no field of this row
        optional = [name for name in names if name.startswith(("p_", "s_"))]
        while some := found.fetchmany(_AT_ONCE):
            for values_of_row in some:
                fields = list(values_of_row)
                for place in times:
                    fields[place] /= 1e6
                for place in objects:
                    fields[place] = json.loads(fields[place])
                row = dict(zip(names, fields, strict=True))
                for name in optional:
                    if row[name] is None:
                        del row[name]
                yield row


def _selection(what: str, wanted: RowFilter) -> tuple[str, list[Any]]:
    """A condition of SQL, and its values, that holds for each selected row and for few others."""
    window = wanted.window
    starts, ends = ('"from"', '"to"') if what in LASTING else ('"at"', '"at"')
    conditions: list[tuple[str, Any]] = []
    if window.since_s > -inf:
        conditions.append((f"{ends} >= to_timestamp(?)", max(window.since_s - _SLACK_S, 0.0)))
    if window.until_s < inf:
        conditions.append((f"{starts} <= to_timestamp(?)", window.until_s + _SLACK_S))
    if wanted.expressions:
        conditions.append(("list_contains(?, label)", sorted(wanted.expressions)))
    if wanted.track is not None:
        conditions.append(("track = ?", wanted.track))
    if wanted.min_quality is not None:
        conditions.append(("quality >= ?", wanted.min_quality - 1e-9))
    if wanted.kinds:
        conditions.append(("list_contains(?, kind)", sorted(wanted.kinds)))
    return " AND ".join(["true", *(text for text, _ in conditions)]), [value for _, value in conditions]


def _day(posix_s: float, otherwise: str) -> str:
    """The day in UTC of that moment, widened by what the selection is; `otherwise` for a moment beyond all calendars."""
    try:
        return datetime.fromtimestamp(posix_s, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return otherwise


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
