"""A parity report, or one without a reference, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from convert.evaluate.confidence_calibration import ConfidenceCalibration, Coverage
from convert.evaluate.label_thresholds import CONFIDENCE, LabelCalibration
from convert.evaluate.metrics import Interval
from convert.parity.differences import PartDifference
from convert.parity.paired_tests import PairedDifference
from convert.parity.parity_report import ParityReport, RuntimeParity
from convert.parity.reference_free_report import ReferenceFreeReport
from convert.report.table_cells import cell


def report_table(report: ParityReport | ReferenceFreeReport) -> str:
    """A report as Markdown, every figure with its n and interval."""
    return parity_table(report) if isinstance(report, ParityReport) else reference_free_table(report)


def parity_table(report: ParityReport) -> str:
    """A parity report as Markdown, every figure with its n and interval."""
    e = report.logits
    clear = (
        f" ({e.clear_agreement:.4f} of the {e.clear_n} on which float's first label leads clearly)" if e.clear_n else ""
    )
    lines = [
        f"Verdict: **{report.verdict}**, that of the worst of {len(report.runtimes)} runtimes ({report.runtime}). The float"
        " model ran on LiteRT as float TFLite.",
        "",
        f"On {e.n} images ({e.images}), int8 and float give the same label on a share of {e.agreement:.4f}{clear}. The slope"
        f" of int8's logits on float's is {e.slope:.4f}, the RMS error {e.rms:.4f} standard deviations of float's logits.",
    ]
    lines += [f"- outside its margin: {reason}" for reason in report.failures]
    lines += doubt_lines(report.doubts)
    if report.undecided:
        lines += ["", f"Too few images to decide: {', '.join(report.undecided)}."]
    if report.not_measured:
        lines += ["", f"Not measured: {', '.join(report.not_measured)}."]
    lines += ["", *_runtime_rows(report.runtimes)]
    for name, part in report.parts.items():
        lines += _part_rows(name, part)
    if report.confidence:
        lines += _confidence_rows(report.confidence)
    if report.parts:
        b = report.bootstrap
        lines += [
            "",
            f"Intervals of accuracy and recall: paired bootstrap over images, {b.draws} draws, seed {b.seed}. Intervals of AUC:"
            " DeLong's method. Accuracy and macro AUC pass when an equivalence test (TOST) at the 5 % level shows that their"
            " difference is within ± the margin. A class fails when its loss exceeds its margin at the 5 % level after Holm's"
            " correction.",
        ]
    return "\n".join(lines) + "\n"


def reference_free_table(report: ReferenceFreeReport) -> str:
    """A report without a reference as Markdown."""
    lines = [
        f"Verdict: **{report.verdict}**. Judged: {', '.join(report.judged)}.",
        f"Not measured: {'; '.join(report.not_measured)}.",
        *doubt_lines(report.doubts),
        "",
        "| runtime | same label as the first |",
        "|---|---|",
    ]
    lines += [f"| {cell(name)} | {row.same_label * 100:.2f} % |" for name, row in report.runtimes.items()]
    for name, part in report.parts.items():
        lines += ["", f"| {name}, n = {part.n} | | 95 % interval |", "|---|---|---|"]
        lines.append(_interval_row("accuracy %", part.accuracy, 100, 2))
        if part.macro_auc:
            lines.append(_interval_row("macro AUC", part.macro_auc, 1, 4))
        lines += [
            f"| recall of {cell(label)} % (n {row.n}) | {row.recall * 100:.2f} | |"
            for label, row in part.classes.items()
            if row.n and row.recall is not None
        ]
    if report.confidence and report.confidence.labels:
        lines += ["", *label_rows(report.confidence.labels, report.confidence.labels_from)[:-1]]
    return "\n".join(lines) + "\n"


def doubt_lines(doubts: Sequence[str] | None) -> list[str]:
    """The signs that labels or pixels are not those stated, one a line."""
    return ["", *(f"**Doubtful**: {doubt}.  " for doubt in doubts)] if doubts else []


def _part_rows(name: str, part: PartDifference) -> list[str]:
    lines = [
        "",
        f"| {name}, n = {part.n} | float | int8 | int8 − float | 95 % interval | margin |",
        "|---|---|---|---|---|---|",
        _difference_row("accuracy %", part.accuracy, 100, 2),
    ]
    if part.macro_auc:
        lines.append(_difference_row("macro AUC", part.macro_auc, 1, 4))
    for label, row in part.classes.items():
        if row.recall and row.auc:
            lines.append(_difference_row(f"{label} recall % (n {row.n})", row.recall, 100, 2))
            lines.append(_difference_row(f"{label} AUC", row.auc, 1, 4))
    return [
        *lines,
        "",
        f"The same label on a share of {part.agreement:.4f}; {part.only_float_right} images right with float only,"
        f" {part.only_int8_right} with int8 only (exact McNemar test, p {part.accuracy.difference_p:.3g}).",
    ]


def _confidence_rows(confidence: ConfidenceCalibration) -> list[str]:
    errors = "; ".join(
        f"{part} {e.before * 100:.1f} % before, {e.after * 100:.1f} % after (n {e.n})"
        for part, e in confidence.errors.items()
    )
    single = confidence.labels is None
    by_label = [] if confidence.labels is None else label_rows(confidence.labels, confidence.labels_from)
    fitted_to = (
        f"the validation part, to the {confidence.labels_from}" if confidence.labels_from else confidence.fitted_on
    )
    return [
        "",
        f"Temperature of the probabilities: {confidence.temperature:.3f}, fitted on {fitted_to}. Expected"
        f" calibration error, 15 bins: {errors}.",
        "",
        *by_label,
        f"{'The device reports' if single else 'With one threshold for all labels, it would report'} `unsure` below a"
        f" probability of {confidence.unsure_below:.2f}. For each threshold, the share of images with a label and the accuracy"
        " on them:",
        "",
        *_coverage_rows(confidence.coverage, confidence.unsure_below),
    ]


def label_rows(found: LabelCalibration, labels_from: str | None = None) -> list[str]:
    """The threshold of each label, and what it does to each part under the stated prior.

    `labels_from` is the rule of the labels that decide what is right, where they are not the data set's own.
    """
    assumed = (
        f"{found.prior.share * 100:g}% of the faces are {found.prior.label}"
        if found.prior
        else "classes occur as in the data"
    )
    by = f" by the {labels_from}" if labels_from else ""
    reported = ", ".join(f"{share * 100:.1f} % of {part}" for part, share in found.reported.items())
    columns = [f"{part}: n | right % | of its own %" for part in found.coverage]
    lines = [
        f"The device reports a label from the probability at which, with {CONFIDENCE:.0%} confidence, at least "
        f"{found.right * 100:g} % of the validation images that get it are right{by}, if {assumed}, and `unsure` below it. "
        "A label that does not reach this is never reported. Under"
        f" this prior {reported} get a label. n images get the label, “right” is weighted by the prior, and “of its own” is the"
        " share of the label's own images that get it:",
        "",
        f"| label | reported from | {' | '.join(columns)} |",
        "|---" * (2 + 3 * len(columns)) + "|",
    ]
    for label, below in found.below.items():
        rows = [found.coverage[part][label] for part in found.coverage]
        cells = [f"{row.n} | {_percent(row.right)} | {_percent(row.recall)}" for row in rows]
        lines.append(f"| {cell(label)} | {'never' if below is None else f'{below:.2f}'} | {' | '.join(cells)} |")
    return [*lines, ""]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"


def _coverage_rows(parts: dict[str, list[Coverage]], threshold: float) -> list[str]:
    """Accuracy against coverage, a row for each threshold."""
    lines = [
        f"| below | {' | '.join(f'{part}: labelled % | right %' for part in parts)} |",
        "|---" * (1 + 2 * len(parts)) + "|",
    ]
    for rows in zip(*parts.values(), strict=True):
        cells = [
            f"{row.share * 100:.1f} | " + ("" if row.accuracy is None else f"{row.accuracy * 100:.1f}") for row in rows
        ]
        below = f"{rows[0].below:.2f}"
        lines.append(f"| {f'**{below}**' if rows[0].below == threshold else below} | {' | '.join(cells)} |")
    return lines


def _runtime_rows(runtimes: dict[str, RuntimeParity]) -> list[str]:
    """One row for each runtime, with its kernel path and processor."""
    lines = [
        "| runtime | verdict | same label | slope | RMS | accuracy, points | macro AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in runtimes.items():
        e, both = row.logits, row.together
        accuracy = f"{both.accuracy.difference * 100:+.2f}" if both else ""
        auc = f"{both.macro_auc.difference:+.4f}" if both and both.macro_auc else ""
        lines.append(
            f"| {cell(name)} | {row.verdict} | {e.agreement * 100:.2f} % | {e.slope:.4f} | {e.rms:.4f} | {accuracy} | {auc} |"
        )
    return lines


def _difference_row(name: str, d: PairedDifference, factor: float, digits: int) -> str:
    interval = "too few images"
    if d.low is not None and d.high is not None:
        interval = f"{d.low * factor:+.{digits}f} to {d.high * factor:+.{digits}f}"
    return (
        f"| {cell(name)} | {d.float * factor:.{digits}f} | {d.int8 * factor:.{digits}f} | {d.difference * factor:+.{digits}f}"
        f" | {interval} | {d.margin * factor:.{digits}f} |"
    )


def _interval_row(name: str, value: Interval, factor: float, digits: int) -> str:
    interval = ""
    if value.low is not None and value.high is not None:
        interval = f"{value.low * factor:.{digits}f} to {value.high * factor:.{digits}f}"
    return f"| {name} | {value.value * factor:.{digits}f} | {interval} |"
