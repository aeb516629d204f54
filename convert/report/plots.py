"""Figures as bytes: the published ones, 2 to 4, as PNG; float against int8 as SVG. The same values give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.evaluate.metrics import RocCurves, Scores
from convert.train.history import TrainingSummary
from fer_edge.errors import UsageError, host_extra_missing
from fer_edge.palette import colour_of
from fer_edge.text_cleaning import clean

Real = float  # `float` is a field of Difference
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convert.parity.parity_report import Curves
    from convert.quantize.layer_error import LayerError

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.1,
    "text.parse_math": False,  # a class may have a dollar sign in its name
    "svg.fonttype": "none",  # letters stay letters, in the page's own font
    "svg.hashsalt": "fer-edge",
}
# Paul Tol's “bright” scheme, told apart by colour-blind eyes, its pale gray darkened; dashes say it once more.
COLOURS = ("#ee6677", "#228833", "#aa3377", "#ccbb44", "#777777", "#4477aa", "#33a5cc", "#ee8866")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), "-", (0, (5, 1.5)), "-", (0, (3, 1, 1, 1)), (0, (1, 1)))


# of a figure within its margin, outside of it, and undecided: told apart by colour-blind eyes
STATE_COLOURS = {"pass": "#0072b2", "fail": "#d55e00", "open": "#777777"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A share of float and of int8 in percent, int8 − float in points with its interval and its margin, and its `state`."""

    name: str
    float: Real
    int8: Real
    points: Real
    low: Real | None
    high: Real | None
    margin: Real
    state: str  # pass, fail, open


_CURVES = {"loss": ("loss", "val_loss"), "accuracy": ("accuracy", "val_accuracy", "val_score")}  # of each panel
_CURVE_STYLES: tuple[dict[str, Any], ...] = (
    {"label": "training", "color": COLOURS[5], "marker": "o", "ms": 3},
    {"label": "validation", "color": COLOURS[0], "marker": "s", "ms": 3, "ls": DASHES[1]},
    {"label": "validation: score", "color": COLOURS[1], "marker": "^", "ms": 3, "ls": DASHES[2]},
)


def training(history: TrainingSummary) -> bytes:
    """Figure 2: loss and accuracy of training and validation over the epochs, and the score, with the kept epoch marked.

    What the history does not know is not drawn: neither its line nor a panel that would have none.
    """
    from matplotlib.ticker import MaxNLocator

    best_epoch = history.best_epoch
    lines = {
        name: [(row.epoch, value) for row in history.epochs if (value := getattr(row, name)) is not None]
        for names in _CURVES.values()
        for name in names
    }
    panels = [what for what, names in _CURVES.items() if any(lines[name] for name in names)]
    with _figure(4.0 * len(panels), 3.4) as (figure, png):
        for at, what in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), at + 1)
            for name, style in zip(_CURVES[what], _CURVE_STYLES, strict=False):
                if known := lines[name]:
                    axes.plot(*zip(*known, strict=True), **style)
            axes.axvline(best_epoch, color="#444444", lw=0.8, ls=":", label=f"kept: epoch {best_epoch}")
            axes.set(xlabel="epoch", title=what)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            if at == 0 or (what == "accuracy" and lines["val_score"]):
                axes.legend()
    return png.getvalue()


def confusion(scores: Scores) -> bytes:
    """Figure 3: the confusion matrix, each row in percent of its true class; a class without images stays empty."""
    labels = [clean(c.label) for c in scores.classes]
    shares = np.array([[np.nan if v is None else 100 * v for v in row] for row in scores.normalised()])
    with _figure(6.6, 5.6) as (figure, png):
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(shares):
            if np.isfinite(value):
                ink = "white" if value > 55 else "#222222"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink)
        rows = [f"{label}  ({c.support:,})" for label, c in zip(labels, scores.classes, strict=True)]
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), rows)
        axes.set(xlabel="label given", ylabel="true label (images)")
        axes.set_title(f"percent of the true class; {scores.n:,} images, accuracy {scores.accuracy.value:.3f}")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.03, label="%")
        bar.outline.set_visible(False)
    return png.getvalue()


def roc(scores: Scores, curves: RocCurves) -> bytes:
    """Figure 4: the ROC curve of each class against the rest, with its AUC, and their mean."""
    with _figure(6.2, 5.4) as (figure, png):
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
        labels = [row.label for row in scores.classes]
        for i, row in enumerate(scores.classes):
            if row.label in curves.tpr:
                look = {"color": colour_of(row.label, labels).light, "ls": DASHES[i % len(DASHES)]}
                axes.plot(
                    [0, *curves.fpr], [0, *curves.tpr[row.label]], label=f"{clean(row.label)}  {row.auc:.3f}", **look
                )
        if curves.macro and scores.macro_auc:
            mean = f"mean  {scores.macro_auc.value:.3f}"
            axes.plot([0, *curves.fpr], [0, *curves.macro], color="black", lw=2.2, label=mean)
        axes.set(
            xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.005), aspect="equal"
        )
        axes.set_title(f"one class against the rest; {scores.n:,} images")
        axes.grid()
        axes.set_axisbelow(True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(title="AUC", loc="lower right", handlelength=3, alignment="left")
    return png.getvalue()


def roc_pair(curves: Curves) -> bytes:
    """SVG: the ROC curves of int8 over those of float, of a parity report; the corner is enlarged below."""
    with _figure(4.6, 8.6, "svg") as (figure, svg):
        for at, (title, right, low) in enumerate((("all of it", 1.0, 0.0), ("where few are wrong", 0.3, 0.5))):
            axes = figure.add_subplot(2, 1, at + 1)
            for label in curves.roc["float"]:
                colour = colour_of(label, [*curves.roc["float"]]).light
                for name, width, alpha in (("float", 3.2, 0.35), ("int8", 1.1, 1.0)):
                    tpr = curves.roc[name][label]
                    called = clean(label) if name == "int8" else None
                    axes.plot([0, *curves.fpr], [0, *tpr], color=colour, label=called, lw=width, alpha=alpha)
            axes.set(xlim=(0, right), ylim=(low, 1.0), xlabel="false positive rate", title=title)
            axes.set_ylabel("true positive rate")
            axes.grid()
            axes.set_axisbelow(True)
        figure.axes[0].legend(loc="lower right", title="thin int8, broad float", alignment="left")
    return svg.getvalue()


def confusion_change(curves: Curves, labels: list[str]) -> bytes:
    """SVG: how many more images of each true class (a row) int8 gives each label than float does; blue is better, red worse."""
    change = np.array(curves.confusion["int8"]) - np.array(curves.confusion["float"])
    most = max(1, int(np.abs(change).max()))
    with _figure(5.6, 4.8, "svg") as (figure, svg):
        axes = figure.add_subplot()
        better = np.where(np.eye(len(labels), dtype=bool), change, -change)  # more is good on the diagonal only
        axes.imshow(better, cmap="RdBu", vmin=-most, vmax=most)
        for (row, column), value in np.ndenumerate(change):
            ink = "white" if abs(value) > 0.6 * most else "#222222"
            axes.text(column, row, f"{value:+d}" if value else "0", ha="center", va="center", color=ink)
        names = [clean(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), names)
        axes.set(xlabel="label given", ylabel="true label")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return svg.getvalue()


def class_differences(rows: Sequence[Difference]) -> bytes:
    """SVG: int8 − float of each row with its 95 % interval, in points, within its margin or not; the values beside it."""
    at = np.arange(len(rows))[::-1]
    reach = max([1.0, *(abs(v) for row in rows for v in (row.points, row.low, row.high, row.margin) if v is not None)])
    with _figure(4.2, 0.4 * len(rows) + 1.2, "svg") as (figure, svg):
        axes = figure.add_subplot()
        axes.axvline(0, color="#444444", lw=0.8)
        for y, row in zip(at, rows, strict=True):
            axes.fill_between([-row.margin, row.margin], y - 0.4, y + 0.4, color="#e4e9ed", lw=0)
            colour = STATE_COLOURS[row.state]
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [y, y], color=colour, lw=2.4, solid_capstyle="round")
            axes.plot([row.points], [y], color=colour, marker="o", ms=6)
        names = [f"{clean(row.name)}\n{row.float:.1f} → {row.int8:.1f} %" for row in rows]
        axes.set_yticks(at, names, fontsize=9, linespacing=1.1)
        axes.set(
            xlim=(-1.1 * reach, 1.1 * reach), ylim=(-0.6, len(rows) - 0.4), xlabel="int8 − float, percentage points"
        )
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return svg.getvalue()


def layer_error_plot(rows: Sequence[LayerError], form: str = "png") -> bytes:
    """The layers' errors, PNG or SVG: at each point of the running model, and what each layer alone does to the logits."""
    at = np.arange(len(rows))
    with _figure(max(5.0, 0.24 * len(rows) + 1.6), 4.2, form) as (figure, image):
        axes = figure.add_subplot()
        share = [100 * row.logits for row in rows]
        axes.bar(at, share, color=COLOURS[5], width=0.7, label="logits, from this layer alone")
        error, rounding = [100 * row.error for row in rows], [100 * row.rounding for row in rows]
        axes.plot(at, error, color=COLOURS[0], marker="o", ms=3, label="its output, as it runs")
        axes.plot(at, rounding, color=COLOURS[4], marker="s", ms=3, ls=":", label="its output, rounded alone")
        axes.set_xticks(at, [row.name for row in rows], rotation=90)
        axes.set(title="int8's error, RMS in percent of float's standard deviation", ylim=(0, None))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend()
    return image.getvalue()


@contextmanager
def _figure(width_in: float, height_in: float, form: str = "png") -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure to draw on, and the bytes it is saved to when the block ends. A user's own style is set aside."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(host_extra_missing(error)) from error
    image = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((width_in, height_in), layout="constrained")
        yield figure, image
        # no name, version or date of the drawing: files differ only where the figure does
        nameless = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
        figure.savefig(image, format=form, metadata=nameless)
