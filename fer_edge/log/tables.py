"""Tables: rows as text for people, and as JSON lines, CSV or Parquet for programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError
from fer_edge.json_fields import json_text
from fer_edge.log.rows import TIMES, Row, body_text
from fer_edge.log.time_window import TimeZone
from fer_edge.text_cleaning import clean, spreadsheet_text

FORMATS = (".csv", ".parquet", ".jsonl")
_AT_ONCE = 5_000  # rows that a Parquet row group holds
_LONGEST_WORD = 10_000  # characters of a cell
_WIDE = 200  # rows that determine the width of the columns of a text table


def write_json(rows: Iterable[Row], columns: Sequence[str], zone: TimeZone, stream: TextIO) -> None:
    """Writes a JSON object a line, its fields in the order of the columns; fields that a row lacks are left out."""
    for row in rows:
        values = {name: zone.iso(row[name]) if name in TIMES else row[name] for name in columns if name in row}
        stream.write(json_text(values) + "\n")


def write_csv(rows: Iterable[Row], columns: Sequence[str], zone: TimeZone, stream: TextIO) -> None:
    """Writes CSV with a line of names; times in ISO 8601, an empty cell for a field that a row lacks.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    sheet = csv.writer(stream, lineterminator="\n")
    sheet.writerow(map(spreadsheet_text, columns))
    for row in rows:
        sheet.writerow([_cell(name, row.get(name), zone) for name in columns])


def write_text(rows: Iterable[Row], columns: Sequence[str], zone: TimeZone, stream: TextIO) -> None:
    """Writes columns under their names, as wide as the first rows need; numbers are right-aligned."""
    several = iter(rows)
    first = list(islice(several, _WIDE))
    shown = [[_word(name, row.get(name), zone) for name in columns] for row in first]
    heads = [clean(name, _LONGEST_WORD) for name in columns]
    widths = [max(map(len, cells)) for cells in zip(heads, *shown, strict=True)]
    right = [any(isinstance(row.get(name), int | float) and name not in TIMES for row in first) for name in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(cells, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    stream.write(line(heads))
    for cells in shown:
        stream.write(line(cells))
    for row in several:
        stream.write(line([_word(name, row.get(name), zone) for name in columns]))


def write_rows_file(rows: Iterable[Row], columns: Sequence[str], zone: TimeZone, path: Path) -> None:
    """Writes the rows as a file of the format that its suffix names, whole or not at all.

    Raises UsageError for another suffix, or where the extra `parquet` is missing; OSError.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} ends with none of {', '.join(FORMATS)}; rename it")
    with private_file(path) as fresh:
        if path.suffix == ".parquet":
            _write_parquet(rows, columns, fresh)
            return
        with fresh.open("w", encoding="utf-8", newline="") as stream:
            (write_csv if path.suffix == ".csv" else write_json)(rows, columns, zone, stream)


@contextmanager
def private_file(path: Path) -> Iterator[Path]:
    """A fresh file, put in the place of `path` when the block ends without an error; only its owner may read it.

    Raises UsageError when there is no such folder.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder; create it, or name another")
    with atomic_file(path, mode=0o600, durable=True) as fresh:
        yield fresh


def pyarrow_modules() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises UsageError without the extra `parquet`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(
            "Parquet needs the extra `parquet`: pip install 'fer-edge[parquet]'; or name a .csv"
        ) from error
    return pa, pq


def _write_parquet(rows: Iterable[Row], columns: Sequence[str], path: Path) -> None:
    pa, pq = pyarrow_modules()
    schema = pa.schema([(name, parquet_type(name, pa, "ms")) for name in columns])
    several = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(islice(several, _AT_ONCE)):
            columns_of = {name: [_value(name, row.get(name)) for row in some] for name in columns}
            writer.write_table(pa.table(columns_of, schema))


_TEXT = (
    "device",
    "label",
    "ended",
    "why",
    "frame_label",
    "kind",
    "what",
    "boot",
    "clock",
    "state",
    "unsure_by",
    "drops",
    "body",
    "day",
)
_WHOLE = ("run", "row", "track", "frames", "frame", "seq", "faces_max", "faces_skipped", "frames_read", "frames_processed",
          "frames_idle", "x", "y", "width", "height")  # fmt: skip


def parquet_type(name: str, pa: Any, time_unit: str) -> Any:
    """The type of a column, of the module pyarrow; times are UTC in `time_unit`."""
    if name in TIMES:
        return pa.timestamp(time_unit, tz="UTC")
    if name == "time_known":
        return pa.bool_()
    return pa.string() if name in _TEXT else pa.int64() if name in _WHOLE else pa.float64()


def _value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return body_text(value)
    return round(value * 1000) if name in TIMES and value is not None else value


def _cell(name: str, value: Any, zone: TimeZone) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in TIMES:
        return zone.iso(value)
    text = body_text(value) if isinstance(value, dict) else value
    return spreadsheet_text(text) if isinstance(text, str) else text


def _word(name: str, value: Any, zone: TimeZone) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in TIMES:
        return zone.short(value)
    if isinstance(value, dict):
        return clean(", ".join(f"{key} {one}" for key, one in value.items()), _LONGEST_WORD)
    if isinstance(value, float):
        return f"{value:.2f}" if name == "p" or name.startswith("p_") or name == "quality" else f"{value:.1f}"
    return clean(str(value), _LONGEST_WORD)
