"""The table of measured figures in models/README.md, from the reports that are committed with the models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.evaluate import paper_baseline
from convert.evaluate.evaluation_report import EvaluationReport
from convert.evaluate.metrics import Interval, Scores
from convert.evaluate.reported_labels import CLEAR_SHARE, NOT_COUNTED
from convert.json_dataclass import read_json
from convert.parity.parity_report import ParityReport, read_parity
from convert.train.history import TrainingHistory
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED

BEGIN = "<!-- figures, written by `python -m convert.readme`; do not edit by hand -->"
END = "<!-- end -->"
OURS = ("edge", "nano", "large", "paper")
OPTIONAL = ("large", "edge-votes", "edge-mixed")  # in the figures once they are released
BASELINE = "paper"
BY_VOTES = "edge-votes"  # of other classes, so it has a line of its own and is not among the peers
BY_BOTH = "edge-mixed"  # judged by both kinds of labels, beside `edge`; not among the peers
VOTES_REPORT = Path("votes") / "report.json"  # in a report's folder: the evaluation by the majority of FER+'s votes
DEFAULT = "blazeface-zoomed"  # the detector whose rows are shown; the others are in the reports


@dataclass(frozen=True)
class Released:
    """The committed reports of one model: evaluation, parity, training history, and crop table where there is one."""

    name: str
    report: EvaluationReport
    parity: ParityReport
    history: TrainingHistory
    crops: dict[str, Any] | None

    @staticmethod
    def load(folder: Path) -> Released:
        """The reports in a bundle's folder. Raises UsageError for one that is missing."""
        try:
            crops = folder / "report" / "crops.json"
            crop_table = json.loads(crops.read_text()) if crops.is_file() else None
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be read; `make release-models` writes it") from error
        return Released(
            name=folder.name,
            report=EvaluationReport.load(folder / "report" / "report.json"),
            parity=read_parity(folder),
            history=TrainingHistory.read(folder / "history.json"),
            crops=crop_table,
        )


def block(models: Path) -> str:
    """The table and the lines below it, every figure from a report in `models`, with n and interval."""
    released = [
        name for name in (*OURS, BY_VOTES, BY_BOTH) if name not in OPTIONAL or (models / name / "report").is_dir()
    ]
    ours = [Released.load(models / name) for name in released if name in OURS]
    by_votes = [Released.load(models / BY_VOTES)] if BY_VOTES in released else []
    by_both = [Released.load(models / BY_BOTH)] if BY_BOTH in released else []
    peers = json.loads((models / "peers" / "peers.json").read_text())
    first = ours[0].report
    n, unseen = first.scores.n, first.unseen
    assert unseen is not None
    entries = {entry["name"]: entry for entry in peers["entries"]}
    others = [entry for entry in peers["entries"] if not entry["ours"]]
    if missing := [r.name for r in ours if r.name not in entries]:
        raise UsageError(f"{models / 'peers' / 'peers.json'} has no {', '.join(missing)}; `make peers` measures it")
    return "\n".join(
        [
            f"FER2013's test part (PrivateTest), n = {n:,}, one view per image (no test-time augmentation); choices made on"
            f" PublicTest, with one exception for `nano` (below); our models are int8, one seed each; 95 % intervals in"
            f" brackets. “Without duplicates” leaves out the"
            f" {n - unseen.n:,} images that are also in Training. {_measured(peers)}, {peers['runtime']}, not a Pi."
            f" Time: one thread, over that of {peers['reference']}. Published for `paper`:"
            f" accuracy {paper_baseline.WEIGHTED[1] * 100:.0f}, macro AUC {paper_baseline.MACRO_AUC:.2f},"
            f" on {paper_baseline.N:,} images.{_origins([*ours, *by_votes])}",
            "",
            "| | " + " | ".join([*(f"**{r.name}**" for r in ours), *(e["name"] for e in others)]) + " |",
            "|---" * (1 + len(ours) + len(others)) + "|",
            *_rows(ours, [entries[r.name] for r in ours], others),
            "",
            *(_by_both(r, ours[0], models) for r in by_both),
            *(_by_votes(r) for r in by_votes),
            *(f"- `{r.name}`, {_parity(r)}" for r in ours if r.name != BASELINE),
            *(_crops(r) for r in (*by_both, *ours) if r.crops and r.name in SHIPPED),
            *(_close_ups(models / r.name) for r in by_both),
        ]
    )


def _rows(ours: list[Released], own: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[str]:
    every = [*own, *others]

    def figures(name: str, key: str, factor: float, digits: int) -> str:
        return _row(name, [_cell(e["standings"]["test"][key], factor, digits) for e in every])

    blank = [""] * len(others)
    unseen = [r.report.unseen.accuracy.value * 100 if r.report.unseen else None for r in ours]
    times = [e["latency"] for e in every]
    return [
        figures("accuracy %", "accuracy", 100, 1),
        _row("without duplicates", [*("" if value is None else f"{value:.1f}" for value in unseen), *blank]),
        figures("macro AUC", "macro_auc", 1, 3),
        figures("balanced accuracy %", "balanced_accuracy", 100, 1),
        _row(
            "weakest recall %",
            [
                f"{s['weakest']} {s['weakest_recall']['value'] * 100:.1f}"
                for s in (e["standings"]["test"] for e in every)
            ],
        ),
        _row("bytes", [f"{e['bytes']:,}" for e in every]),
        _row("multiply-adds, M", [f"{e['multiply_adds'] / 1e6:.0f}" if e["multiply_adds"] else "" for e in every]),
        _row("time", ["" if t is None else f"{t['ratio']:.2f}×" for t in times]),
    ]


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _cell(value: dict[str, Any], factor: float, digits: int) -> str:
    figure, low, high = (value[key] * factor for key in ("value", "low", "high"))
    return f"{figure:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _by_both(r: Released, other: Released, models: Path) -> str:
    """The accuracies of two models on both kinds of labels."""
    by_votes = [EvaluationReport.load(models / each.name / "report" / VOTES_REPORT) for each in (r, other)]

    def against(name: str, values: list[Interval]) -> str:
        first, second = (_interval(value, 100, 1) for value in values)
        return f"{name} {first} against {second} %"

    def neutral(scores: list[Scores]) -> str:
        recalls = [{row.label: row.recall or 0.0 for row in each.classes} for each in scores]
        return " against ".join(f"{recall['neutral'] * 100:.1f}" for recall in recalls)

    def unseen(reports: list[EvaluationReport]) -> str:
        found = [report.unseen.accuracy for report in reports if report.unseen]
        return f" ({against('without duplicates', found)})" if len(found) == len(reports) else ""

    clear = [report.clear.scores for report in by_votes if report.clear]
    where_clear = (
        f" Of these, the {clear[0].n:,} whose majority has at least {CLEAR_SHARE * 100:.0f} % of the votes that count"
        f" ({NOT_COUNTED}):"
        f" {against('accuracy', [each.accuracy for each in clear])},"
        f" {against('balanced accuracy', [each.balanced_accuracy for each in clear])}, recall of neutral {neutral(clear)} %."
        if len(clear) == len(by_votes)
        else ""
    )
    return (
        f"- `{r.name}`, the default, against `{other.name}`, PrivateTest: on FER2013's labels, n = {r.report.scores.n:,}:"
        f" {against('accuracy', [each.report.scores.accuracy for each in (r, other)])}"
        f"{unseen([each.report for each in (r, other)])}; on the {by_votes[0].data.labels_from}, n = {by_votes[0].scores.n:,}:"
        f" {against('accuracy', [report.scores.accuracy for report in by_votes])}{unseen(by_votes)},"
        f" {against('balanced accuracy', [report.scores.balanced_accuracy for report in by_votes])}, recall of neutral"
        f" {neutral([report.scores for report in by_votes])} %.{where_clear}"
        f" {r.report.subject.file_bytes:,} bytes. Its {_parity(r)}"
    )


def _by_votes(r: Released) -> str:
    scores, report = r.report.scores, r.report
    assert scores.macro_auc is not None, "there are images of each class"
    weakest = min((row for row in scores.classes if row.recall is not None), key=lambda row: row.recall or 0.0)
    figures = [
        f"accuracy {_interval(scores.accuracy, 100, 1)} %",
        f"macro AUC {_interval(scores.macro_auc, 1, 3)}",
        f"balanced accuracy {_interval(scores.balanced_accuracy, 100, 1)} %",
        f"weakest recall {weakest.label} {(weakest.recall or 0.0) * 100:.1f} %",
    ]
    return (
        f"- `{r.name}` is judged by other labels and so not in the table: {report.data.labels_from}, {len(scores.classes)}"
        f" classes ({', '.join(row.label for row in scores.classes)}), n = {scores.n:,} of PrivateTest: {', '.join(figures)};"
        f" {report.subject.file_bytes:,} bytes. Its {_parity(r)}"
    )


def _interval(value: Interval, factor: float, digits: int) -> str:
    figure = f"{value.value * factor:.{digits}f}"
    if value.low is None or value.high is None:
        return figure
    return f"{figure} ({value.low * factor:.{digits}f}–{value.high * factor:.{digits}f})"


def _measured(peers: dict[str, Any]) -> str:
    """Where the figures of a comparison were measured."""
    if peers["are_times_earlier"]:
        return f"Scores are of one run, times of an earlier one with the same networks, on {peers['host']}"
    return f"All measured in one run on {peers['host']}"


def _origins(ours: list[Released]) -> str:
    """Sentences on external runs and on outside labels, one for the models that share them; empty without any."""
    groups: dict[str, list[str]] = {}
    for r in ours:
        labels = f"outside labels: {r.history.known_outside_labels or 'none'}"
        if run := r.history.external:
            sentence = f"trained outside `python -m convert.train` ({run.framework}, {run.hardware}); {labels}"
        elif (initial := r.history.init) and initial.history and (run := initial.history.external):
            sentence = (
                f"trained further from a model that was trained outside `python -m convert.train` ({run.framework},"
                f" {run.hardware}); {labels}"
            )
        elif r.history.known_outside_labels:
            sentence = labels
        else:
            continue
        groups.setdefault(sentence, []).append(f"`{r.name}`")
    return "".join(f" {', '.join(names)}: {sentence}." for sentence, names in groups.items())


def _parity(r: Released) -> str:
    both, runtimes = r.parity.parts["together"], r.parity.runtimes.values()
    lowest = min(row.together.agreement for row in runtimes if row.together)
    change, auc = both.accuracy, both.macro_auc
    assert change.low is not None and change.high is not None and auc is not None, "of thousands of images"
    recalls = {label: row.recall for label, row in both.classes.items() if row.recall}
    label, worst = min(recalls.items(), key=lambda item: item[1].difference)
    return (
        f"int8 − float on both test parts, n = {both.n:,}: accuracy {change.difference * 100:+.2f} points"
        f" ({change.low * 100:+.2f} to {change.high * 100:+.2f}), macro AUC {auc.difference:+.4f}, the same label on"
        f" {both.agreement * 100:.2f} % in the runtime that decides ({r.parity.runtime}; lowest of {len(runtimes)} runtimes:"
        f" {lowest * 100:.2f} %), largest loss of recall: {label} ({worst.difference * 100:+.1f} points):"
        f" {r.parity.verdict}. Epoch {r.history.best_epoch} of {r.history.last_epoch}, seed"
        f" {r.history.seed}."
    )


def _crops(r: Released) -> str:
    assert r.crops is not None
    rows = [row for row in r.crops["rows"] if row["found"] >= 50 and row["detector"] == DEFAULT]
    return (
        f"- `{r.name}` on faces as the device detects them ({DEFAULT}; PublicTest, pasted into 640×480 scenes,"
        f" {r.crops['n']:,} a size; found: at any score of the detector): "
        + "; ".join(
            f"{row['size_px']} px {row['difference']['value'] * 100:+.1f} points"
            f" ({row['difference']['low'] * 100:+.1f} to {row['difference']['high'] * 100:+.1f},"
            f" {row['found_share'] * 100:.0f} % found)"
            for row in rows
        )
        + f", against the same faces' own crops ([all of it]({r.name}/report/crops.json))."
    )


def _close_ups(folder: Path) -> str:
    """How often a face is found that fills the frame, of faces that FER+'s raters call one."""
    path = folder / "report" / "crops-close-ups.json"
    try:
        table = read_json(path)
        rows = [
            f"{row['size_px']} px {row['some_face_share'] * 100:.1f} % ({row['found_share'] * 100:.1f} %)"
            for row in table["rows"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a table of `python -m convert.crops`: {error}; make it again") from error
    height, width = table["scene_px"]
    return (
        f"- Close-ups ({DEFAULT}; PublicTest's faces that FER+'s raters call one, pasted into {width}×{height} scenes,"
        f" {table['n']:,} a size): a face is found in the picture (and its box fits the pasted crop) at {'; '.join(rows)}"
        f" ([all of it]({folder.name}/report/{path.name}))."
    )


def with_block(readme: str, text: str, begin: str = BEGIN) -> str:
    """A page's text with its generated block replaced. Raises UsageError when it has no markers for them."""
    if begin not in readme or END not in readme:
        raise UsageError(f"the page has no place for the figures: “{begin}” and “{END}”")
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}\n{text}\n{END}{rest.split(END, 1)[1]}"
