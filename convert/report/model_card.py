"""A bundle's card: what people should know of a model, every figure from a report and none typed by hand."""

from __future__ import annotations

from typing import Any

from convert.train.history import TrainingHistory
from fer_edge.bundle_provenance import CalibrationRecord, RangeSearchRecord
from fer_edge.bundle_spec import BundleSpec
from fer_edge.labels import LABELS


def parity_table(report: dict[str, Any]) -> str:
    """A parity report's JSON values as Markdown, every figure with its n and interval."""
    e = report["logits"]
    clear = f" (on {e['clear_agreement']:.4f} of the {e['clear_n']} where float is clear)" if e["clear_n"] else ""
    lines = [
        f"Verdict: **{report['verdict']}** (the worst of {len(report['columns'])} columns, {report['runtime']}; float.keras"
        " through LiteRT as float TFLite)",
        "",
        f"Logits on {e['n']} images ({e['images']}): labels agree on {e['agreement']:.4f}"
        f"{clear}, slope {e['slope']:.4f}, "
        f"RMS error {e['rms']:.4f} of the logits' spread.",
    ]
    lines += [f"- outside its margin: {reason}" for reason in report["failures"]]
    if report["undecided"]:
        lines += ["", f"Too few images to decide: {', '.join(report['undecided'])}."]
    if report["not_measured"]:
        lines += ["", f"Not measured: {', '.join(report['not_measured'])}."]
    lines += ["", *_columns(report["columns"])]
    for name, part in report["parts"].items():
        lines += [
            "",
            f"| {name}, n = {part['n']} | float | int8 | int8 − float | 95 % interval | margin |",
            "|---|---|---|---|---|---|",
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
            f"only int8 right {part['only_int8_right']} (exact McNemar, p {part['accuracy']['changed_p']:.3g}).",
        ]
    if sure := report.get("confidence"):
        told = "; ".join(
            f"{part} {e['before'] * 100:.1f} % before, {e['after'] * 100:.1f} % after (n {e['n']})"
            for part, e in sure["errors"].items()
        )
        lines += [
            "",
            f"Temperature of the probabilities: {sure['temperature']:.3f}, fitted on {sure['fitted_on']}. Expected"
            f" calibration error, 15 bins: {told}.",
        ]
        if "said" in sure:  # not in reports of before 0.2
            lines += [
                "",
                f"A device says `unsure` below {sure['unsure_below']:.2f}. Images on which something is said, and what of it is"
                " right:",
                "",
                *_said(sure["said"], sure["unsure_below"]),
            ]
    if report["parts"]:
        b = report["bootstrap"]
        lines += [
            "",
            f"Intervals: of shares, paired bootstrap over images, {b['draws']} draws, seed {b['seed']}; of areas, DeLong."
            " Accuracy and macro AUC pass when TOST at 5 % shows them within ± the margin; a class fails when Holm-corrected"
            " evidence shows it to have lost more than its own. Weights chosen on validation.",
        ]
    return "\n".join(lines) + "\n"


def _said(parts: dict[str, list[dict[str, Any]]], chosen: float) -> list[str]:
    """Accuracy against coverage, a row a threshold."""
    lines = [
        f"| below | {' | '.join(f'{part}: said % | right %' for part in parts)} |",
        "|---" * (1 + 2 * len(parts)) + "|",
    ]
    for rows in zip(*parts.values(), strict=True):
        cells = [
            f"{row['share'] * 100:.1f} | " + ("" if row["accuracy"] is None else f"{row['accuracy'] * 100:.1f}")
            for row in rows
        ]
        below = f"{rows[0]['below']:.2f}"
        lines.append(f"| {f'**{below}**' if rows[0]['below'] == chosen else below} | {' | '.join(cells)} |")
    return lines


def _columns(columns: dict[str, Any]) -> list[str]:
    """One row a runtime, kernel path and processor."""
    lines = [
        "| column | verdict | same label | slope | RMS | accuracy, points | macro AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, told in columns.items():
        e, both = told["logits"], told["together"]
        accuracy = f"{both['accuracy']['difference'] * 100:+.2f}" if both else ""
        auc = f"{both['macro_auc']['difference']:+.4f}" if both and both["macro_auc"] else ""
        lines.append(
            f"| {name} | {told['verdict']} | {e['agreement'] * 100:.2f} % | {e['slope']:.4f} | {e['rms']:.4f}"
            f" | {accuracy} | {auc} |"
        )
    return lines


def _row(name: str, d: dict[str, Any], factor: float, digits: int) -> str:
    f, q, delta = (f"{d[k] * factor:.{digits}f}" for k in ("float", "int8", "difference"))
    low, high = ("" if d[k] is None else f"{d[k] * factor:+.{digits}f}" for k in ("low", "high"))
    between = f"{low} to {high}" if low else "too few images"
    return f"| {name} | {f} | {q} | {float(delta):+.{digits}f} | {between} | {d['margin'] * factor:.{digits}f} |"


def card(spec: BundleSpec, parity: dict[str, Any], history: TrainingHistory | None) -> str:
    """CARD.md of a bundle from its bundle.json, its parity report and the history of its training, where there is one."""
    cost, q, made = spec.cost, spec.quantization, spec.provenance
    lines = [
        f"# {spec.name}",
        "",
        ("A displayed facial expression, one of " if set(spec.labels) == set(LABELS) else "A face's class, one of ")
        + ", ".join(spec.labels)
        + f", from a gray face crop of {spec.input.side}×{spec.input.side} px."
        " A label says what a face shows, not what a person feels, and no figure below is about a person.",
        "",
        "| | |",
        "|---|---|",
        f"| file | model.tflite, {cost.bytes:,} bytes, {_calculates(spec)} |",
        f"| cost of one face | {cost.multiply_adds / 1e6:.1f} M multiply-adds, {cost.parameters:,} parameters |",
        f"| in | {q.input.dtype}, gray 0–255, scale {q.input.scale:.6g}, zero point {q.input.zero_point} |",
        f"| out | logits, {q.output.dtype}, scale {q.output.scale:.6g}, zero point {q.output.zero_point} |",
        f"| crop | {spec.input.preprocess} |",
        f"| float model | float.keras, SHA-256 {(made.float_sha256 or '')[:16]}… |",
        f"| calibrated on | {_calibrated_on(made.calibration)} |",
        f"| ranges | {_ranges(made.calibration.ranges)} |",
        f"| made with | {', '.join(f'{k} {v}' for k, v in made.versions.items() if v)} |",
    ]
    if history:
        best, data = history.best, history.data
        recipe = _words(history.recipe, but=("epochs", "seed", "early_stopping"))
        lines += [
            "",
            "## Training",
            "",
            f"{len(history.epochs)} epochs on {data.train:,} training images, seed {history.seed}, "
            f"{history.policy}; the weights of epoch {best.epoch}, the best on {data.validation:,} validation"
            f" images (accuracy {best.val_accuracy:.4f}). One seed. Recipe: {recipe}."
            f" Network: {_words(history.network)}.",
        ]
        if offsets := history.offsets:
            values = ", ".join(f"{label} {value:+.2f}" for label, value in offsets.values.items())
            (a, b), (c, d) = offsets.val_accuracy, offsets.val_weakest_recall
            lines.append(
                f"Then the last biases were shifted ({values}; chosen on validation, where accuracy went from {a:.4f} to"
                f" {b:.4f} and the weakest recall from {c:.3f} to {d:.3f})."
            )
        if history.teachers:
            taught = ", ".join(f"{sha[:16]}…" for sha in history.teachers)
            lines.append(f"Taught by float models of SHA-256 {taught} too, on training images alone.")
        if history.init:
            lines.append(f"Begun from the float model of SHA-256 {history.init.sha256[:16]}….")
            if first := history.init.history:
                words = _words(first.recipe, but=("epochs", "seed", "early_stopping"))
                lines.append(
                    f"That was trained for {len(first.epochs)} epochs, seed {first.seed}, and is of epoch"
                    f" {first.best_epoch}. Recipe: {words}."
                )
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
    """A recipe's or a network's fields in words, those that are off left out."""
    told = []
    for key, value in values.items():
        if key in but or not value:
            continue
        inner = f"({_words(value)})" if isinstance(value, dict) else value
        told.append(f"{key.replace('_', ' ')} {inner}")
    return ", ".join(told)


def _calculates(spec: BundleSpec) -> str:
    kept = spec.provenance.calibration.mixed_precision
    return f"int8 but for {', '.join(kept.layers)} in float" if kept else "every operator int8"


def _ranges(choices: RangeSearchRecord | None) -> str:
    """The settings of the range search in words."""
    if choices is None:
        return "not known"
    told = [f"of least squared error, a clipped value {choices.clip:g} times as dear as a rounded one"]
    if not choices.clip:
        told = ["from the least to the most seen"]
    if choices.widen != 1:
        told.append(f"{choices.widen:g} times as wide")
    if choices.equalize:
        told.append(f"channels equalized by {choices.equalize:g}")
    if choices.correct:
        told.append("biases corrected for rounded weights")
    return ", ".join(told)


def _calibrated_on(origin: CalibrationRecord) -> str:
    if origin.kind == "training images":
        each = f"{origin.per_class} of each class where it has them"
        return f"{origin.images} training images, {each}, seed {origin.seed}"
    made = f"{origin.steps} steps, seed {origin.seed}, loss {origin.loss or 0:.4f}"
    return f"{origin.images} images made from the float model's own statistics ({made}), no one's face"
