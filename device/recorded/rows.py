"""Tables of readings, one row per face and frame, written as CSV or Parquet while rows arrive."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from device.recorded.summary import LabelSummary
from fer_edge.errors import UsageError
from fer_edge.json_fields import json_text
from fer_edge.text_cleaning import spreadsheet_text

_ROWS_PER_GROUP = 16_384  # rows that Parquet buffers and writes together
Row = list[Any]


def columns(labels: Sequence[str]) -> dict[str, type]:
    """The columns of a table and their types, for a bundle's labels in their order."""
    return {
        "frame": int,
        "time_s": float,
        "track": int,
        **dict.fromkeys(("x", "y", "width", "height"), int),
        "score": float,
        "label": str,
        **dict.fromkeys((f"p_{label}" for label in labels), float),
        "steady": str,
        "steady_p": float,
        "why": str,
        "quality": float,
    }


def reading_row(body: Mapping[str, Any], time_s: float) -> Row:
    """The cells of a reading in the form of the journal (`output.event_bodies.reading_body`), `time_s` into the video."""
    return [
        body["frame"],
        round(time_s, 6),
        body["track"],
        *body["xywh"],
        body["score"],
        body["label"],
        *body["p"],
        body["steady"],
        max(body["steady_p"]),
        body.get("why"),
        body["quality"],
    ]


class Table(Protocol):
    """A table that is being written, as a context manager; rows are added in order."""

    def __enter__(self) -> Table: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, row: Row) -> None:
        """Appends a row."""
        ...

    def add_summary(self, summary: LabelSummary) -> None:
        """Adds the summary of all rows, if the format has a place for it."""
        ...


def open_table(form: str, path: Path, labels: Sequence[str]) -> Table:
    """A table in that format in a new file at `path`."""
    return ParquetTable(path, labels) if form == "parquet" else CsvTable(path, labels)


def require_format(form: str) -> None:
    """Raises UsageError when the package for that format is not installed."""
    if form == "parquet" and find_spec("pyarrow") is None:
        raise UsageError("Parquet needs the extra `parquet`: pip install 'fer-edge[parquet]'; or use --format csv")


class CsvTable:
    """CSV with a header line; an empty cell is a missing value."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(map(spreadsheet_text, columns(labels)))

    def __enter__(self) -> CsvTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        self._writer.writerow([spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in row])

    def add_summary(self, summary: LabelSummary) -> None:
        """Does nothing: CSV has no place for it; the file beside the table has it."""


class ParquetTable:
    """Parquet with typed columns; the summary is in the metadata, under the key `fer-edge`."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns(labels).items()])
        self._file = path.open("wb")  # its name need not be UTF-8
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        self._file.close()

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._flush()

    def add_summary(self, summary: LabelSummary) -> None:
        self._writer.add_key_value_metadata({"fer-edge": json_text(summary.to_json())})

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            cells = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(cells, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []
