"""The figures of the page on the proof, drawn from a bundle's committed parity report when the site is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.parity.parity_report import ParityReport, read_parity

BUNDLE = "edge-mixed"
BLUE, RED, GRAY = "#4477aa", "#ee6677", "#dddddd"


def figures(models: Path) -> dict[str, str]:
    """SVG texts by name, of the default bundle in the folder of the models."""
    report = read_parity(models / BUNDLE)
    drawings: dict[str, tuple[Callable[[Any, ParityReport], None], float]] = {
        "proof-equivalence": (_equivalence, 1.6),
        "proof-discordant": (_discordant, 1.4),
        "proof-classes": (_classes, 2.6),
        "proof-logits": (_logits, 2.0),
        "proof-coverage": (_coverage, 2.6),
    }
    return {name: _svg(draw, height, report) for name, (draw, height) in drawings.items()}


def _svg(draw: Callable[[Any, ParityReport], None], height_in: float, report: ParityReport) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "fer-edge"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, height_in), layout="constrained")
        draw(figure, report)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _intervals(axes: Any, names: list[str], differences: list[Any], factor: float, title: str) -> None:
    """A row for each paired difference: its margin as a gray band, its 95 % interval as a line, its estimate as a dot."""
    for row, d in enumerate(differences):
        axes.barh(row, 2 * d.margin * factor, left=-d.margin * factor, height=0.7, color=GRAY)
        axes.plot([d.low * factor, d.high * factor], [row, row], color=BLUE, lw=2)
        axes.plot(d.difference * factor, row, "o", color=BLUE, ms=4)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9)


def _equivalence(figure: Any, report: ParityReport) -> None:
    both = report.parts["together"]
    left, right = figure.subplots(1, 2)
    _intervals(left, [""], [both.accuracy], 100, "accuracy, int8 − float, points")
    _intervals(right, [""], [both.macro_auc], 1, "macro AUC, int8 − float")


def _discordant(figure: Any, report: ParityReport) -> None:
    both = report.parts["together"]
    axes = figure.subplots()
    counts = [both.only_float_right, both.only_int8_right]
    bars = axes.barh(["right with float only", "right with int8 only"], counts, color=[RED, BLUE])
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"images of {both.n:,}")


def _classes(figure: Any, report: ParityReport) -> None:
    rows = report.parts["together"].classes
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(rows)
    _intervals(left, names, [row.recall for row in rows.values()], 100, "recall, int8 − float, points")
    _intervals(right, names, [row.auc for row in rows.values()], 1, "AUC, int8 − float")
    left.invert_yaxis()  # the axes share it, and each call has inverted it


def _logits(figure: Any, report: ParityReport) -> None:
    logits, margins = report.logits, report.margins
    used = {
        "slope: distance from 1": abs(logits.slope - 1) / margins.logits_slope,
        "RMS error": logits.rms / margins.logits_rms,
        "other labels": (1 - logits.agreement) / (1 - margins.labels_agreement),
        "other labels, where float's is clear": (1 - (logits.clear_agreement or 1))
        / (1 - margins.labels_clear_agreement),
    }
    axes = figure.subplots()
    bars = axes.barh(list(used), [share * 100 for share in used.values()], color=BLUE)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.axvline(100, color=RED, lw=1.5)
    axes.set_xlim(0, 110)
    axes.invert_yaxis()
    axes.set_xlabel("of the margin used, %")


def _coverage(figure: Any, report: ParityReport) -> None:
    confidence = report.confidence
    assert confidence is not None, "the default bundle was calibrated"
    left, right = figure.subplots(1, 2)
    for part, colour in (("validation", GRAY), ("test", BLUE)):
        rows = [row for row in confidence.coverage[part] if row.accuracy is not None]
        shares, accuracies = [row.share * 100 for row in rows], [(row.accuracy or 0.0) * 100 for row in rows]
        left.plot(shares, accuracies, "o-", color=colour, ms=3, label=part)
    left.set_xlabel("faces that get a label, %")
    left.set_ylabel("of them right, %")
    left.set_title("one threshold for all labels", fontsize=9)
    left.legend(frameon=False, fontsize=8)
    assert confidence.labels is not None, "the default bundle has a threshold for each label"
    below = confidence.labels.below
    right.barh(list(below), [1.0 if value is None else value for value in below.values()], color=BLUE)
    for row, value in enumerate(below.values()):
        right.text(0.02, row, "never" if value is None else f"{value:g}", va="center", color="black", fontsize=8)
    right.set_xlim(0, 1)
    right.invert_yaxis()
    right.set_title("reported from this probability on", fontsize=9)
