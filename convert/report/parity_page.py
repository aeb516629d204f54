"""A bundle's parity report as one self-contained HTML page: the verdict, the figures, plots, layer errors and provenance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.parity.differences import PartDifference
from convert.parity.paired_tests import PairedDifference
from convert.parity.parity_report import ParityReport
from convert.parity.reports import read_report
from convert.parity.verdict import FAIL, LOGITS_ONLY, OPEN, PASS
from convert.quantize import layer_report
from convert.report import plots
from convert.report.external_training import external_run
from convert.report.model_card import calibration_text, range_search_text
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.errors import NotEnoughData, UsageError, host_extra_missing
from fer_edge.json_fields import to_json

_STYLES = {PASS: "pass", FAIL: "fail", OPEN: "open", LOGITS_ONLY: "open"}
_WORDS = {"pass": "within", "fail": "lost", "open": "undecided"}
_SENTENCES = {
    PASS: "On every runtime and kernel path below, int8 matches the float model within the margins.",
    FAIL: "On at least one runtime or kernel path int8 does not match the float model.",
    OPEN: "No check failed, but there are too few images to show that int8 matches the float model.",
    LOGITS_ONLY: "Labels and logits agree on the images below; accuracy was not judged: too few labelled images.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A figure's line of the table, formatted; `style` and `word` say whether it is within its margin."""

    name: str
    n: int
    float: str
    int8: str
    difference: str
    interval: str
    margin: str
    style: str  # pass, fail, open
    word: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page: its title, its caption and its SVG."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class LayerTable:
    """The layer errors on the bundle's synthetic images: the table's heads and rows, and their plot as SVG."""

    heads: tuple[str, ...]
    rows: list[list[str]]
    svg: str


def page(bundle: Bundle) -> str:
    """The page of a bundle, from the files in it alone; its layer errors are measured again.

    Raises UsageError when the bundle was not compared with a float model, BundleRefused when its report cannot be read.
    """
    parity = read_report(bundle.path)
    if not isinstance(parity, ParityReport):
        raise UsageError(f"{bundle.name} was not compared with a float model, so it has no page; see its CARD.md")
    return _template().render(
        spec=bundle.spec,
        parity=parity,
        style=_STYLES[parity.verdict],
        style_of=lambda verdict: _STYLES[verdict],
        sentence=_SENTENCES[parity.verdict],
        rows=part_rows,
        opening=_class_figure(parity),
        figures=_figures(parity),
        layers=_layers(bundle),
        margins=[(name.replace("_", " "), f"{value:g}") for name, value in to_json(parity.margins).items()],
        provenance=_provenance(bundle),
    )


def part_rows(part: PartDifference) -> list[Row]:
    """A part's figures for the table, accuracy and macro AUC first."""
    rows = [_row("accuracy %", part.accuracy, part.n, is_overall=True)]
    if part.macro_auc:
        rows.append(_row("macro AUC", part.macro_auc, part.n, is_overall=True))
    for label, figures in part.classes.items():
        if figures.recall and figures.auc:
            rows.append(_row(f"{label}, recall %", figures.recall, figures.n, is_overall=False))
            rows.append(_row(f"{label}, AUC", figures.auc, figures.n, is_overall=False))
    return rows


def _state(d: PairedDifference, *, is_overall: bool) -> str:
    """Whether a figure is outside its margin ("fail"), within it ("pass"), or neither was shown ("open")."""
    is_lost = d.is_worse if is_overall else d.low is not None and d.high is not None and d.high < -d.margin
    is_within = d.is_equivalent if is_overall else d.inferiority_p is not None and d.inferiority_p > 0.95
    return "fail" if is_lost else "pass" if is_within else "open"


def _row(name: str, d: PairedDifference, n: int, *, is_overall: bool) -> Row:
    factor, digits = (100, 2) if name.endswith("%") else (1, 4)
    style = _state(d, is_overall=is_overall)
    interval = "too few images"
    if d.low is not None and d.high is not None:
        interval = f"{d.low * factor:+.{digits}f} to {d.high * factor:+.{digits}f}"
    return Row(
        name=name,
        n=n,
        float=f"{d.float * factor:.{digits}f}",
        int8=f"{d.int8 * factor:.{digits}f}",
        difference=f"{d.difference * factor:+.{digits}f}",
        interval=interval,
        margin=f"{d.margin * factor:.{digits}f}",
        style=style,
        word=_WORDS[style],
    )


def _class_figure(parity: ParityReport) -> Figure | None:
    """The picture that the page opens with: accuracy and each class, int8 against float; None without labelled images."""
    part = parity.parts.get("together")
    if part is None:
        return None
    pairs = [("all", part.accuracy, True)]
    pairs += [(label, row.recall, False) for label, row in part.classes.items() if row.recall]
    rows = [
        plots.Difference(
            name=name,
            float=100 * d.float,
            int8=100 * d.int8,
            points=100 * d.difference,
            low=None if d.low is None else 100 * d.low,
            high=None if d.high is None else 100 * d.high,
            margin=100 * d.margin,
            state=_state(d, is_overall=is_overall),
        )
        for name, d, is_overall in pairs
    ]
    caption = (
        f"The share of each class's images that get its label (float → int8), and of all; {part.n:,} images. Bars: 95 %"
        " intervals. Gray band: the margin, declared harmless beforehand. Blue: shown to be within it, orange: lost, gray:"
        " undecided."
    )
    return Figure("int8 against float, class by class", caption, _inline(plots.class_differences(rows), "classes"))


def _figures(parity: ParityReport) -> list[Figure]:
    if parity.curves is None:
        return []
    n = parity.parts["together"].n
    return [
        Figure(
            "ROC curves of float and int8",
            f"One class against the rest, {n:,} images.",
            _inline(plots.roc_pair(parity.curves), "roc"),
        ),
        Figure(
            "Changes of label",
            "Images of each true class that int8 gives each label more often (+) or less often (−) than float. Blue: better,"
            " red: worse.",
            _inline(plots.confusion_change(parity.curves, parity.labels), "confusion"),
        ),
    ]


def _layers(bundle: Bundle) -> LayerTable | None:
    """The layer errors on the bundle's synthetic images; None where they cannot be measured."""
    try:
        errors = layer_report.layer_errors_of_bundle(bundle)
    except (UsageError, NotEnoughData):  # no float model, no images, or a file that was not made from it
        return None
    svg = _inline(plots.layer_error_plot(errors, "svg"), "layers")
    return LayerTable(layer_report.HEADS, [layer_report.cells(row) for row in errors], svg)


def _inline(svg: bytes, name: str) -> str:
    """An SVG without its XML head, with ids that no other figure of the page has."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _provenance(bundle: Bundle) -> list[tuple[str, str]]:
    made = bundle.spec.provenance
    rows = [
        ("bundle", f"{bundle.name}, SHA-256 of bundle.json {bundle.sha256}"),
        ("model.tflite", bundle.spec.files["model.tflite"].sha256),
        ("float model", str(made.float_sha256)),
        ("calibrated on", calibration_text(made.calibration)),
        ("ranges", range_search_text(made.calibration.ranges)),
    ]
    if data := made.data:
        counts = f"train {data.train:,}, validation {data.validation:,}, test {data.test:,}"
        rows.append(("data", f"{counts}; SHA-256 of pixels, labels and parts {data.sha256}"))
    if made.labels_from:
        rows.append(("labels", made.labels_from))
    history = bundle.path / "history.json"
    if history.is_file():
        run = TrainingHistory.read(history)
        rows.append(("trained", f"epoch {run.best_epoch} of {run.last_epoch}, seed {run.seed}"))
        if run.external:
            rows.append(("trained with", external_run(run.external)))
    return [
        *rows,
        ("versions", ", ".join(f"{name} {version}" for name, version in made.versions.items() if version)),
        ("repeat", f"python -m convert.parity {bundle.name} --data DATA; python -m convert.report {bundle.name}"),
    ]


def _template() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise UsageError(host_extra_missing(error)) from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("parity_page.html")
