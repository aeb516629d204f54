"""A bundle's parity report as one self-contained HTML page: the verdict first, then what stands behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from convert.parity.paired_tests import Difference
from convert.parity.verdict import FAIL, LOGITS_ONLY, OPEN, PASS
from convert.quantize import layer_report
from convert.report import plots
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.errors import BundleRefused, NotEnoughData, UsageError
from fer_edge.json_fields import to_json

_MOODS = {PASS: "pass", FAIL: "fail", OPEN: "open", LOGITS_ONLY: "open"}
_SENTENCES = {
    PASS: "On every runtime and kernel path below, int8 is shown to do what the float model does.",
    FAIL: "On at least one runtime or kernel path int8 does not do what the float model does.",
    OPEN: "Nothing failed, and there are too few images to show that nothing was lost.",
    LOGITS_ONLY: "Labels and logits agree on images of no one; there were no labelled images to judge accuracy on.",
}


def page(bundle: Bundle) -> str:
    """The page of a bundle, from the files in it alone; its layers are run anew.

    Raises BundleRefused when its parity report cannot be read.
    """
    parity = json.loads((bundle.path / "parity.json").read_text())
    if parity["verdict"] not in _MOODS:
        raise UsageError(
            f"{bundle.name} was not compared with a float model, and a page tells of nothing else; see CARD.md"
        )
    if "columns" not in parity:
        raise BundleRefused(f"{bundle.path / 'parity.json'} is of an older version; make the bundle again")
    return _template().render(
        spec=bundle.spec,
        parity=parity,
        mood=_MOODS[parity["verdict"]],
        mood_of=lambda verdict: _MOODS[verdict],
        sentence=_SENTENCES[parity["verdict"]],
        rows=_rows,
        figures=_figures(parity, bundle),
        layers=_layers(bundle),
        provenance=_provenance(bundle, parity),
    )


def _rows(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A part's figures for the table, accuracy and macro AUC first."""
    told: list[tuple[str, dict[str, Any]]] = [("accuracy %", part["accuracy"])]
    if part["macro_auc"]:
        told.append(("macro AUC", part["macro_auc"]))
    for label, row in part["classes"].items():
        if row["recall"]:
            told += [(f"{label}, recall %", row["recall"]), (f"{label}, AUC", row["auc"])]
    return [_row(name, Difference(**values), row_n(part, name)) for name, values in told]


def row_n(part: dict[str, Any], name: str) -> int:
    """How many images a row's figure is of: its class's, or all."""
    label = name.rpartition(", ")[0]
    return int(part["classes"][label]["n"] if label in part["classes"] else part["n"])


def _row(name: str, d: Difference, n: int) -> dict[str, Any]:
    factor, digits = (100, 2) if name.endswith("%") else (1, 4)
    overall = ", " not in name
    lost = d.worse if overall else d.low is not None and d.high is not None and d.high < -d.margin
    within = d.within if overall else d.worse_p is not None and d.worse_p > 0.95
    mood, word = ("fail", "lost") if lost else ("pass", "within") if within else ("open", "open")
    interval = "too few images"
    if d.low is not None and d.high is not None:
        interval = f"{d.low * factor:+.{digits}f} to {d.high * factor:+.{digits}f}"
    return {
        "name": name,
        "n": n,
        "float": f"{d.float * factor:.{digits}f}",
        "int8": f"{d.int8 * factor:.{digits}f}",
        "difference": f"{d.difference * factor:+.{digits}f}",
        "interval": interval,
        "margin": f"{d.margin * factor:.{digits}f}",
        "mood": mood,
        "word": word,
    }


def _figures(parity: dict[str, Any], bundle: Bundle) -> list[tuple[str, str, str]]:
    """Title, caption and SVG of each figure there are values for."""
    drawn = parity.get("drawn")
    if not drawn:
        return []
    n = parity["parts"]["together"]["n"]
    return [
        (
            "ROC curves, float and int8 over each other",
            f"One class against the rest, {n:,} images.",
            _inline(plots.roc_pair(drawn), "roc"),
        ),
        (
            "What changed its label",
            "Images of each true class that int8 gives each label more often (+) or less often (−) than float.",
            _inline(plots.confusion_change(drawn, list(bundle.labels)), "confusion"),
        ),
    ]


def _layers(bundle: Bundle) -> dict[str, Any] | None:
    """The layers on the bundle's own stand-in images: heads, rows and SVG; None where they cannot be told apart."""
    try:
        told = layer_report.of_bundle(bundle)
    except (UsageError, NotEnoughData):  # no float model, no images, or a file that was not made from it
        return None
    rows = [layer_report.cells(row) for row in told]
    return {"heads": layer_report.HEADS, "rows": rows, "svg": _inline(plots.by_layer(told, "svg"), "layers")}


def _inline(svg: bytes, name: str) -> str:
    """An SVG without its XML head, its inner names made unlike those of the page's other figures."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _provenance(bundle: Bundle, parity: dict[str, Any]) -> list[tuple[str, str]]:
    made = bundle.spec.provenance
    told = [
        ("bundle", f"{bundle.name}, SHA-256 of bundle.json {bundle.sha256}"),
        ("model.tflite", f"{bundle.spec.files['model.tflite'].sha256}"),
        ("float model", str(made.float_sha256)),
        ("calibrated on", json.dumps(to_json(made.calibration))),
    ]
    if data := made.data:
        counts = f"train {data.train:,}, validation {data.validation:,}, test {data.test:,}"
        told.append(("data", f"{counts}; SHA-256 of pixels, labels and parts {data.sha256}"))
    history = bundle.path / "history.json"
    if history.is_file():
        run = TrainingHistory.read(history)
        told.append(("trained", f"epoch {run.best_epoch} of {len(run.epochs)}, seed {run.seed}"))
    told += [
        ("versions", ", ".join(f"{name} {version}" for name, version in made.versions.items() if version)),
        ("margins", ", ".join(f"{name} {value:g}" for name, value in parity["margins"].items())),
        ("again", f"python -m convert.parity {bundle.name} --data DATA; python -m convert.report {bundle.name}"),
    ]
    return told


def _template() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise UsageError(f"the page needs Jinja ({error}); `pip install 'fer-edge[host]'` installs it") from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("parity_page.html")
