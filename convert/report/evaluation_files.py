"""The files of an evaluation report: JSON, Markdown and figures."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from convert.evaluate.evaluation_report import Report
from fer_edge.errors import UsageError


def write(report: Report, folder: Path) -> list[Path]:
    """The files of a report, written into a folder that may hold others: all are made first, then put in place."""
    made = report.files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (folder / f".{name}.partial").write_bytes(content)
        for name in made:
            (folder / f".{name}.partial").replace(folder / name)
    except OSError as error:
        for name in made:
            with suppress(OSError):
                (folder / f".{name}.partial").unlink()
        raise UsageError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return [folder / name for name in made]
