"""A bundle's card: what people should know of a model, every figure from a report and none typed by hand."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from convert import published
from convert.report import Report
from convert.scores import Interval
from fer_edge.errors import UsageError, guarded

BEGIN = "<!-- written by `python -m convert.card`; do not edit by hand -->"
END = "<!-- end -->"


def parity_table(report: dict[str, Any]) -> str:
    """A parity report's JSON values as Markdown, every figure with its n and interval."""
    e = report["logits"]
    clear = f" (on {e['clear_agreement']:.4f} of the {e['clear_n']} where float is clear)" if e["clear_n"] else ""
    lines = [
        f"Verdict: **{report['verdict']}** ({report['runtime']}; float.keras through the same interpreter as float TFLite)",
        "",
        f"Logits on {e['n']} images ({e['images']}): labels agree on {e['agreement']:.4f}"
        f"{clear}, slope {e['slope']:.4f}, "
        f"RMS error {e['rms']:.4f} of the logits' spread.",
    ]
    lines += [f"- outside its tolerance: {reason}" for reason in report["failures"]]
    if report["not_measured"]:
        lines += ["", f"Not measured, for want of data: {', '.join(report['not_measured'])}."]
    for name, part in report["parts"].items():
        lines += [
            "",
            f"| {name}, n = {part['n']} | float | int8 | int8 − float | 95 % interval |",
            "|---|---|---|---|---|",
        ]
        lines.append(_row("accuracy %", part["accuracy"], 100, 2))
        if part["macro_auc"]:
            lines.append(_row("macro AUC", part["macro_auc"], 1, 4))
        for label, row in part["classes"].items():
            if row["recall"]:
                lines.append(_row(f"{label} recall % (n {row['n']})", row["recall"], 100, 2))
                lines.append(_row(f"{label} AUC", row["auc"], 1, 4))
        lines += [
            "",
            f"Labels agree on {part['agreement']:.4f}; only float right {part['only_float_right']}, "
            f"only int8 right {part['only_int8_right']}.",
        ]
    if report["parts"]:
        b = report["bootstrap"]
        lines += [
            "",
            f"Intervals: paired bootstrap over images, {b['draws']} draws, seed {b['seed']}. Weights chosen on validation.",
        ]
    return "\n".join(lines) + "\n"


def _row(name: str, d: dict[str, Any], factor: float, digits: int) -> str:
    f, q, delta = (f"{d[k] * factor:.{digits}f}" for k in ("float", "int8", "difference"))
    low, high = (f"{d[k] * factor:+.{digits}f}" for k in ("low", "high"))
    return f"| {name} | {f} | {q} | {float(delta):+.{digits}f} | {low} to {high} |"


def card(spec: dict[str, Any], parity: dict[str, Any], history: dict[str, Any] | None) -> str:
    """CARD.md of a bundle from its bundle.json, its parity report and the history of its training, where there is one."""
    cost, q, made = spec["cost"], spec["quantization"], spec["provenance"]
    lines = [
        f"# {spec['name']}",
        "",
        "A displayed facial expression, one of "
        + ", ".join(spec["labels"])
        + f", from a gray face crop of {spec['input']['side']}×{spec['input']['side']} px."
        " A label says what a face shows, not what a person feels, and no figure below is about a person.",
        "",
        "| | |",
        "|---|---|",
        f"| file | model.tflite, {cost['bytes']:,} bytes, every operator int8 |",
        f"| cost of one face | {cost['multiply_adds'] / 1e6:.1f} M multiply-adds, {cost['parameters']:,} parameters |",
        f"| in | {q['input']['dtype']}, gray 0–255, scale {q['input']['scale']:.6g}, zero point {q['input']['zero_point']} |",
        f"| out | logits, {q['output']['dtype']}, scale {q['output']['scale']:.6g}, zero point {q['output']['zero_point']} |",
        f"| crop | {spec['input']['preprocess']} |",
        f"| float model | float.keras, SHA-256 {made['float_sha256'][:16]}… |",
        f"| calibrated on | {_calibrated_on(made['calibration'])} |",
        f"| made with | {', '.join(f'{k} {v}' for k, v in made['versions'].items() if v)} |",
    ]
    if history:
        best = history["epochs"][history["best_epoch"] - 1]
        counts = history["data"]
        recipe = _words(history["recipe"], but=("epochs", "seed", "early_stopping"))
        lines += [
            "",
            "## Training",
            "",
            f"{len(history['epochs'])} epochs on {counts['train']:,} training images, seed {history['recipe']['seed']}, "
            f"{history['policy']}; the weights of epoch {best['epoch']}, the best on {counts['validation']:,} validation"
            f" images (accuracy {best['val_accuracy']:.4f}). One seed. Recipe: {recipe}."
            f" Network: {_words(history['network'])}.",
        ]
    lines += [
        "",
        "## Float against int8",
        "",
        parity_table(parity),
        "## What was not evaluated",
        "",
        "Differences by age, skin, gender or culture; lighting and pose of a place of use; spontaneous rather than collected"
        " expressions; speed on any Raspberry Pi. FER2013's labels are of web images by few raters: about a quarter of them"
        " are contested by later raters (FER+).",
        "",
        "## Licence",
        "",
        "Code and weights: MIT. The weights were trained on FER2013 where the table above says so, whose images were gathered"
        " from the web for research; whether weights learnt from them may be used commercially is for the user to judge.",
        "",
    ]
    return "\n".join(lines)


def _words(values: dict[str, Any], but: tuple[str, ...] = ()) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items() if key not in but)


def _calibrated_on(origin: dict[str, Any]) -> str:
    if origin["kind"] == "training images":
        each = f"{origin['per_class']} of each class where it has them"
        return f"{origin['images']} training images, {each}, seed {origin['seed']}"
    made = f"{origin['steps']} steps, seed {origin['seed']}, loss {origin['loss']:.4f}"
    return f"{origin['images']} images made from the float model's own statistics ({made}), no one's face"


def readme_block(bundle: Path) -> str:
    """The README's table of measured figures, from the reports in a bundle's folder, each with its n and interval."""
    report = Report.load(bundle / "report" / "report.json")
    parity = json.loads((bundle / "parity.json").read_text())
    history = json.loads((bundle / "history.json").read_text())
    s, u, c = report.scores, report.unseen, report.cost
    assert u is not None and s.macro_auc is not None and u.macro_auc is not None
    together = parity["parts"]["together"]

    def cell(figure: Interval, factor: float, digits: int) -> str:
        low, high = figure.low or 0.0, figure.high or 0.0
        return f"{figure.value * factor:.{digits}f} ({low * factor:.{digits}f} to {high * factor:.{digits}f})"

    worst = min((k for k in s.classes if k.recall is not None), key=lambda k: k.recall or 0.0)
    theirs = published.CLASSES[worst.label].recall
    change, auc = together["accuracy"], together["macro_auc"]
    recalls = {label: row["recall"] for label, row in together["classes"].items() if row["recall"]}
    label, most = min(recalls.items(), key=lambda item: item[1]["difference"])
    seen = json.loads((bundle / "report" / "detection.json").read_text())
    found = seen["cost"]["in the bundle"]
    return "\n".join(
        [
            f"`models/paper`, int8, {report.subject.runtime}; FER2013's {report.data.part} part (PrivateTest), one view,"
            f" one seed ({history['recipe']['seed']}), weights of epoch {history['best_epoch']} of"
            f" {len(history['epochs'])} by PublicTest; 95 % intervals in brackets.",
            "",
            f"| | int8, n = {s.n:,} | without the {s.n - u.n:,} also in Training, n = {u.n:,} "
            f"| published, n = {published.N:,} |",
            "|---|---|---|---|",
            f"| accuracy % | {cell(s.accuracy, 100, 1)} | {cell(u.accuracy, 100, 1)} | {published.WEIGHTED[1] * 100:.0f} |",
            f"| balanced accuracy % | {cell(s.balanced_accuracy, 100, 1)} | {cell(u.balanced_accuracy, 100, 1)} "
            f"| {published.MACRO[1] * 100:.0f} |",
            f"| macro AUC | {cell(s.macro_auc, 1, 3)} | {cell(u.macro_auc, 1, 3)} | {published.MACRO_AUC:.2f} |",
            f"| weakest recall % | {worst.label} {(worst.recall or 0.0) * 100:.1f} | "
            f"| {worst.label} {theirs * 100:.0f} |",
            "",
            f"int8 − float on both test parts, n = {together['n']:,}: accuracy {change['difference'] * 100:+.2f} points"
            f" ({change['low'] * 100:+.2f} to {change['high'] * 100:+.2f}), macro AUC {auc['difference']:+.4f}"
            f" ({auc['low']:+.4f} to {auc['high']:+.4f}), the same label on {together['agreement'] * 100:.1f} %:"
            f" {parity['verdict']}. The class that loses most recall is {label}: {most['difference'] * 100:+.1f} points"
            f" ({most['low'] * 100:+.1f} to {most['high'] * 100:+.1f}).",
            f"Faces as the device finds them: of {found['n']:,} PublicTest faces pasted at {seen['size_px']} px into"
            " scenes"
            f" {seen['detector']} found {found['found']:,}; {found['same_label'] * 100:.1f} % of these kept the label of"
            f" the data set's own crop, {found['same_label_true_square'] * 100:.1f} % where the true square was cut from the"
            f" scene; accuracy {found['accuracy_detected'] * 100:.1f} %,"
            f" on their own crops {found['accuracy_crop'] * 100:.1f} %.",
            f"Cost: {c.tflite_bytes:,} bytes, {c.multiply_adds / 1e6:.0f} M multiply-adds,"
            f" {c.ms_median:.1f} ms a face on one thread of {c.host} (not a Pi).",
        ]
    )


def with_block(readme: str, block: str) -> str:
    """The README's text with its table of measured figures replaced. Raises UsageError when it has no place for one."""
    if BEGIN not in readme or END not in readme:
        raise UsageError(f"the README has no place for the figures: “{BEGIN}” and “{END}”")
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.split(END, 1)[1]}"


def main(argv: list[str] | None = None) -> int:
    """Writes the measured figures into the README."""
    parser = argparse.ArgumentParser(prog="python -m convert.card", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/paper"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    args = parser.parse_args(argv)

    def run() -> int:
        text = with_block(args.readme.read_text(), readme_block(args.bundle))
        beside = args.readme.with_name(f".{args.readme.name}.partial")
        beside.write_text(text)
        beside.replace(args.readme)
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
