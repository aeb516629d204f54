"""A comparison as Markdown tables: the models, their metrics on each set of images, the paired differences."""

from __future__ import annotations

from convert.evaluate.metrics import Interval
from tests.bench.peer_comparison import Comparison, Entry


def markdown(c: Comparison) -> str:
    """The comparison as Markdown, its picture at the end."""
    lines = [f"# Ours and what a package registry offers, on {c.data}", "", *_cost(c), ""]
    for images, n in c.sets.items():
        lines += [f"## {images}, {n:,} images", "", *_figures(c, images), ""]
        if pairs := [pair for pair in c.pairs if pair.images == images]:
            heads = ["ours less theirs", "accuracy, points", "95 %", "macro AUC", "95 %", "balanced, points", "95 %"]
            heads += ["only ours right", "only theirs right", "McNemar's p"]
            rows = []
            for pair in pairs:
                d = pair.difference
                counts = [f"{d.only_ours_right:,}", f"{d.only_theirs_right:,}", _p(d.mcnemar_p)]
                cells = [
                    *_signed(d.accuracy, 100, 1),
                    *_signed(d.macro_auc, 1, 3),
                    *_signed(d.balanced_accuracy, 100, 1),
                ]
                rows.append([f"{pair.ours} – {pair.peer}", *cells, *counts])
            lines += ["Paired, on the same images:", "", *_table(heads, rows), ""]
    lines += ["## How it was measured", "", *(f"- {note}" for note in _notes(c)), "", "![ours and theirs](peers.png)"]
    return "\n".join(lines) + "\n"


def _cost(c: Comparison) -> list[str]:
    heads = ["", "from", "bytes", "input px", "parameters", "multiply-adds, M", "ms median", "ms p95"]
    heads += [f"ratio to {c.reference}", "lowest to highest round"]
    rows = []
    for e in c.entries:
        row = [_name(e), e.origin, f"{e.bytes:,}", f"{e.side}"]
        row += ["" if e.parameters is None else f"{e.parameters:,}"]
        row += ["" if e.multiply_adds is None else f"{e.multiply_adds / 1e6:.1f}"]
        if (t := e.latency) is None:
            row += ["–"] * 4
        else:
            row += [f"{t.ms_median:.3f}", f"{t.ms_p95:.3f}", f"{t.ratio:.2f}×"]
            row += [f"{t.ratio_low:.2f} to {t.ratio_high:.2f}"]
        rows.append(row)
    return _table(heads, rows)


def _figures(c: Comparison, images: str) -> list[str]:
    heads = ["", "accuracy %", "95 %", "macro AUC", "95 %", "balanced accuracy %", "95 %"]
    heads += ["weakest class", "its recall %", "95 %"]
    rows = []
    for e in c.entries:
        s = e.standings[images]
        row = [_name(e), *_interval(s.accuracy, 100, 1), *_interval(s.macro_auc, 1, 3)]
        row += [*_interval(s.balanced_accuracy, 100, 1), s.weakest, *_interval(s.weakest_recall, 100, 1)]
        rows.append(row)
    return _table(heads, rows)


def _notes(c: Comparison) -> list[str]:
    trained = [f"{e.name}: {e.trained_on}" for e in c.entries if not e.ours]
    outside = [f"{e.name}: {e.trained_on.partition('; ')[2]}" for e in c.entries if e.ours and "; " in e.trained_on]
    calls = next(e.latency.calls for e in c.entries if e.latency)
    return [
        "One run, the same images, one view of each. Ours by the device's own code; theirs by their own published"
        " preprocessing from the same 48×48 crop, which stands for the face their package would have cut out.",
        "What the peers were trained on, as far as it is known: " + "; ".join(trained) + ".",
        *(["Of ours, beside FER2013's Training: " + "; ".join(outside) + "."] if outside else []),
        "Accuracy and recall have Wilson's interval, the rest a bootstrap over images"
        f" ({c.draws:,} draws). McNemar's test is exact and two-sided. The weakest class is picked on these images.",
        f"Milliseconds on {c.host}, load average {c.load:.1f}: {c.runtime}, one thread, setting the input, running,"
        f" reading the output; {calls:,} calls of each model, in turns; a resize or normalisation before it is not counted."
        + (" The times are those of an earlier run of the same networks." if c.are_times_earlier else ""),
        "“–”: LiteRT does not run the file, so its time cannot be compared. Bytes are those of the network's own files.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in c.versions.items()) + ".",
    ]


def _name(entry: Entry) -> str:
    return f"**{entry.name}**" if entry.ours else entry.name


def _interval(i: Interval, scale: int, places: int) -> list[str]:
    if i.low is None or i.high is None:
        return [f"{scale * i.value:.{places}f}", ""]
    return [f"{scale * i.value:.{places}f}", f"{scale * i.low:.{places}f} to {scale * i.high:.{places}f}"]


def _signed(i: Interval, scale: int, places: int) -> list[str]:
    if i.low is None or i.high is None:
        return [f"{scale * i.value:+.{places}f}", ""]
    return [f"{scale * i.value:+.{places}f}", f"{scale * i.low:+.{places}f} to {scale * i.high:+.{places}f}"]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
