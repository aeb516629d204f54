"""A report on whole pictures as Markdown, and its files."""

from __future__ import annotations

import sys
from pathlib import Path

from convert.evaluate.pictures import PictureReport, PictureScores, Proportion
from convert.report.table_cells import cell
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError
from fer_edge.json_fields import json_text
from fer_edge.labels import NONE
from fer_edge.text_cleaning import clean_lines

_MOST_NAMES = 10  # of files that cannot be read


def pictures_markdown(report: PictureReport) -> str:
    """The report as Markdown, each share with its n and interval."""
    prior = f" The probabilities are weighted by the prior {report.prior}." if report.prior else ""
    persons = f" of {report.persons:,} persons" if report.persons else ""
    lines = [
        f"# {report.model} on whole pictures",
        "",
        f"{report.pictures:,} pictures{persons}; detector {report.detector}; the largest face of each counts."
        f" {report.several:,} show several faces. Shares are in %, with n and 95 % intervals ({report.intervals}).{prior}",
        "",
        "| class | face found | right, of found | reported, of found | right, of reported |",
        "|---|---|---|---|---|",
        *(_row(label, scores) for label, scores in report.classes.items() if label != NONE),
    ]
    if report.all_faces:
        lines.append(_row("**all**", report.all_faces))
    if NONE in report.classes:
        lines += [
            _row(NONE, report.classes[NONE]),
            "",
            f"`{NONE}` are pictures without a face: what is found and reported in them is wrong. They are not in **all**.",
        ]
    lines += ["", "| reported label | share right |", "|---|---|"]
    lines += [f"| {cell(label)} | {_share(share)} |" for label, share in report.right_by_label.items()]
    if report.unreadable:
        names = "; ".join(report.unreadable[:_MOST_NAMES]) + ("; …" if report.unreadable[_MOST_NAMES:] else "")
        lines += ["", f"{len(report.unreadable):,} files could not be read: {names}."]
    if report.left_out:
        counts = ", ".join(f"{name} {count:,}" for name, count in report.left_out.items())
        lines += ["", f"Pictures of other classes, left out: {counts}."]
    for remark in report.remarks():
        lines += ["", remark if remark.endswith("…") else f"{remark}."]
    return clean_lines("\n".join(lines), sys.maxsize) + "\n"  # names of files may be no text


def write_pictures_report(report: PictureReport, folder: Path) -> list[Path]:
    """The paths of pictures.json and pictures.md, written into `folder`. Raises UsageError when that fails."""
    contents = {
        "pictures.json": json_text(report.to_json(), indent=1) + "\n",
        "pictures.md": pictures_markdown(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_atomically(folder / name, text)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return [folder / name for name in contents]


def _row(name: str, scores: PictureScores) -> str:
    shares = (scores.found, scores.right_of_found, scores.reported_of_found, scores.right_of_reported)
    return f"| {cell(name)} | {' | '.join(map(_share, shares))} |"


def _share(proportion: Proportion | None) -> str:
    if proportion is None or proportion.share is None:
        return ""
    share = proportion.share
    span = " (–)"
    if share.low is not None and share.high is not None:
        span = f" ({share.low * 100:.1f}–{share.high * 100:.1f})"
    return f"{share.value * 100:.1f}{span}, n {proportion.n:,}"
