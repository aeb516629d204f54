"""The evaluation report in Markdown: measured and published figures, the cost, and the conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convert.evaluate import paper_baseline
from convert.evaluate.metrics import AverageScores, Interval, Scores
from convert.evaluate.reported_labels import NOT_COUNTED
from convert.report.parity_table import doubt_lines
from convert.report.table_cells import cell

if TYPE_CHECKING:
    from convert.evaluate.evaluation_report import EvaluationReport
    from convert.evaluate.reported_labels import ClearMajority, ReportedClass


def markdown(report: EvaluationReport) -> str:
    """The report as Markdown; the published figures stand beside ours where the data are FER2013."""
    s, d, m, c = report.scores, report.data, report.subject, report.cost
    part = "all parts" if d.part == "all" else f"the {d.part} part"
    lines = [f"# {m.name} on {part} of {d.name}", ""]
    lines += [f"{s.n:,} images ({d.split_rule}); {m.kind}, {m.runtime}, SHA-256 {m.sha256[:16]}….", ""]
    lines += _headline(report)
    lines += doubt_lines(report.doubts)
    lines += ["", *_per_class(report), "", *_confusion(s), ""]
    if report.reported:
        lines += ["## What a device reports of each class, percent of its images", "", *_reported(report.reported), ""]
    if report.clear:
        lines += [*_clear(report.clear), ""]
    where = c.host if c.host_is_pi else f"this host ({c.host}), not a Raspberry Pi"
    lines += [
        "## Cost of one face",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {c.parameters:,} (as run, batch normalisation folded) |",
        f"| multiply-adds | {c.multiply_adds / 1e6:.1f} M |",
        f"| bytes | {c.tflite_bytes:,} of TFLite; {cell(m.file)} has {m.file_bytes:,} |",
        f"| milliseconds | {c.ms_median:.2f}, median of {c.images_timed};"
        f" 10th to 90th percentile {c.ms_low:.2f} to {c.ms_high:.2f} |",
        f"| timed on | {where}, one thread, load average {c.load:.1f} |",
        "",
        "## How it was measured",
        "",
        *(f"- {note}" for note in _notes(report)),
    ]
    return "\n".join(lines) + "\n"


def _headline(report: EvaluationReport) -> list[str]:
    s, u, theirs = report.scores, report.unseen, _has_published(report)
    heads = ["", f"all {s.n:,}", "95 % interval"]
    if u:
        heads += [f"the {u.n:,} not in Training", "95 % interval"]
    if theirs:
        heads.append(f"published, n {paper_baseline.N:,}")
    rows: list[tuple[str, Interval | None, Interval | None, float]] = [
        ("accuracy", s.accuracy, u.accuracy if u else None, paper_baseline.WEIGHTED[1]),
        ("balanced accuracy", s.balanced_accuracy, u.balanced_accuracy if u else None, paper_baseline.MACRO[1]),
        (
            "macro F1",
            Interval(s.macro.f1, None, None),
            Interval(u.macro.f1, None, None) if u else None,
            paper_baseline.MACRO[2],
        ),
        ("macro AUC", s.macro_auc, u.macro_auc if u else None, paper_baseline.MACRO_AUC),
    ]
    table = [
        [name, *_interval(ours), *(_interval(unseen) if u else ()), *([f"{printed:.2f}"] if theirs else ())]
        for name, ours, unseen, printed in rows
    ]
    return [*_table(heads, table), "", report.unseen_why]


def _per_class(report: EvaluationReport) -> list[str]:
    s, theirs = report.scores, _has_published(report)
    names = ("precision", "recall", "F1", "AUC", "images")
    heads = ["class", *(head for name in names for head in ([name, "published"] if theirs else [name]))]
    rows = []
    for row in s.classes:
        ours = [_number(v) for v in (row.precision, row.recall, row.f1, row.auc)] + [f"{row.support:,}"]
        printed = _published(row.label) if theirs else [""] * len(ours)
        rows.append([row.label, *_beside(ours, printed, theirs)])
    none = (None, None, None)
    averages: list[tuple[str, AverageScores, tuple[float | None, ...], float | None, float | None]] = [
        ("micro", s.micro, none, None, None),
        ("macro", s.macro, paper_baseline.MACRO, s.macro_auc.value if s.macro_auc else None, paper_baseline.MACRO_AUC),
        ("weighted", s.weighted, paper_baseline.WEIGHTED, None, None),
    ]
    for name, a, three, auc_, printed_auc in averages:
        ours = [_number(v) for v in (a.precision, a.recall, a.f1, auc_)] + [f"{s.n:,}"]
        printed = ["" if v is None else f"{v:.2f}" for v in (*three, printed_auc)] + [f"{paper_baseline.N:,}"]
        rows.append([name, *_beside(ours, printed, theirs)])
    return ["## Each class", "", *_table(heads, rows)]


def _has_published(report: EvaluationReport) -> bool:
    """Whether the published figures can stand beside these: the set is FER2013, with its own labels and its seven classes."""
    labels = {c.label for c in report.scores.classes}
    return report.data.is_fer2013 and not report.data.labels_from and labels == set(paper_baseline.CLASSES)


def _published(label: str) -> list[str]:
    p = paper_baseline.CLASSES[label]
    low, high = p.auc
    auc = f"{low:.2f}" if low == high else f"{low:.2f}–{high:.2f}"
    return [f"{p.precision:.2f}", f"{p.recall:.2f}", f"{p.f1:.2f}", auc, f"{p.support:,}"]


def _confusion(scores: Scores) -> list[str]:
    labels = [c.label for c in scores.classes]
    rows = [
        [label, *("" if v is None else f"{100 * v:.1f}" for v in row)]
        for label, row in zip(labels, scores.normalised(), strict=True)
    ]
    return ["## Confusion, percent of the true class (a row)", "", *_table(["true ↓ given →", *labels], rows)]


def _reported(rows: tuple[ReportedClass, ...]) -> list[str]:
    cells = [
        [row.label, f"{row.n:,}", *(_percent(v) for v in (row.right, row.unsure, row.wrong)), row.most_often or ""]
        for row in rows
    ]
    return _table(["class", "images", "its label", "`unsure`", "another label", "most often"], cells)


def _clear(clear: ClearMajority) -> list[str]:
    s = clear.scores
    recalls = [[row.label, f"{row.support:,}", _number(row.recall)] for row in s.classes]
    return [
        f"## Images whose label has at least {clear.share * 100:.0f} % of the votes that count",
        "",
        f"Of an image's votes, {NOT_COUNTED}.",
        "",
        *_table(
            ["", f"{s.n:,} images", "95 % interval"],
            [
                ["accuracy", *_interval(s.accuracy)],
                ["balanced accuracy", *_interval(s.balanced_accuracy)],
                ["macro AUC", *_interval(s.macro_auc)],
            ],
        ),
        "",
        *_table(["class", "images", "recall"], recalls),
        *(["", "What a device reports of them, percent:", "", *_reported(clear.reported)] if clear.reported else ()),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f}"


def _notes(report: EvaluationReport) -> list[str]:
    b, d, m = report.bootstrap, report.data, report.subject
    notes = [
        f"Every image went through the device's own crop ({m.preprocess}) and classifier"
        f" ({m.runtime}, {m.kernels} kernels).",
        "Accuracy has Wilson's interval; the other intervals are 2.5 to 97.5 % of a bootstrap over images,"
        f" {b['draws']:,} draws, seed {b['seed']}.",
        "Macro: the mean over classes with images. Micro precision, recall and F1 all equal accuracy.",
        "AUC is one class against the rest, ranked by its log-odds from the logits in float64: the order of its softmax"
        " probability at temperature 1, without the ties that a probability rounded to 1 would add.",
    ]
    if absent := report.scores.absent:
        notes.append(f"No image of {', '.join(absent)}: no figure is given there, and no average counts it.")
    if d.labels_from:
        notes.append(f"Labels: {d.labels_from}.")
    if report.reported:
        notes.append(
            "Reported: a label from the bundle's threshold for it on, `unsure` below; one frame, and the crop of the set"
            + (f"; with the prior {report.reported_prior}." if report.reported_prior else ".")
        )
    if d.left_out:
        gone = ", ".join(f"{name} {count:,}" for name, count in d.left_out.items())
        notes.append(f"Left out, for they are none of {', '.join(c.label for c in report.scores.classes)}: {gone}.")
    if d.skipped:
        notes.append(f"Skipped, for they cannot be read: {d.skipped:,}.")
    if _has_published(report):
        published = f"doi {paper_baseline.DOI}. {paper_baseline.NOTES[0]}"
        if m.name == paper_baseline.NETWORK:
            notes += [f"Published: {published}", *paper_baseline.NOTES[1:]]
        else:
            notes.append(f"Published, of another network (`{paper_baseline.NETWORK}`): {published}")
    else:
        notes.append(
            "No published figures stand beside these: the published ones are of FER2013's test part and its seven labels."
        )
    notes.append("Versions: " + ", ".join(f"{k} {v}" for k, v in report.versions.items()) + ".")
    return notes


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return ["| " + " | ".join(map(cell, cells)) + " |" for cells in lines]


def _beside(ours: list[str], printed: list[str], theirs: bool) -> list[str]:
    return [text for pair in zip(ours, printed, strict=True) for text in (pair if theirs else pair[:1])]


def _interval(i: Interval | None) -> list[str]:
    if i is None:
        return ["–", ""]
    return [_number(i.value), "" if i.low is None or i.high is None else f"{i.low:.3f} to {i.high:.3f}"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
