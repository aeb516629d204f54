"""The files of an evaluation report: JSON, Markdown and figures."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from convert.evaluate.evaluation_report import EvaluationReport
from convert.report import plots
from convert.report.evaluation_markdown import markdown
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError


def write(report: EvaluationReport, folder: Path) -> list[Path]:
    """The files of a report, written into a folder that may hold others: all are made first, then put in place."""
    made = files(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            for name, content in made.items():
                stack.enter_context(atomic_file(folder / name)).write_bytes(content)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return [folder / name for name in made]


def files(report: EvaluationReport) -> dict[str, bytes]:
    """The files by name: report.json, report.md, and a PNG for each figure that the report has values for."""
    kept = report.as_stored()  # drawn from what report.json holds, so that the same figures can be drawn from the file
    drawn = {}
    if kept.history:
        drawn["figure-2-training.png"] = plots.training(kept.history)
    drawn["figure-3-confusion.png"] = plots.confusion(kept.scores)
    drawn["figure-4-roc.png"] = plots.roc(kept.scores, kept.curves)
    text = markdown(kept) + "".join(f"\n![{name[9:-4]}]({name})\n" for name in drawn)
    return {
        "report.json": (json.dumps(report.to_json(), indent=1) + "\n").encode(),
        "report.md": text.encode(),
        **drawn,
    }
