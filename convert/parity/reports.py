"""The two kinds of report in a bundle's parity.json: compared with a float model, or without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from convert.parity.parity_report import ParityReport, read_stored
from convert.parity.reference_free_report import VERDICT as NOT_COMPARED
from convert.parity.reference_free_report import ReferenceFreeReport

Report = ParityReport | ReferenceFreeReport
R = TypeVar("R", ParityReport, ReferenceFreeReport)


def read_report(folder: Path) -> Report:
    """The report in a bundle's folder, of the kind that its verdict tells. Raises BundleRefused when it cannot be read."""

    def kind_of(verdict: object) -> type[ParityReport] | type[ReferenceFreeReport]:
        return ReferenceFreeReport if verdict == NOT_COMPARED else ParityReport

    return read_stored(folder, kind_of)


def with_doubt(report: R, doubt: str | None) -> R:
    """The report with one more sentence among its doubts, where there is one."""
    return replace(report, doubts=(*(report.doubts or ()), doubt)) if doubt else report
