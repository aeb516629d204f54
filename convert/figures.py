"""The published figures 2 to 4 as PNG bytes: training, confusion matrix, ROC. The same values give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.scores import Curves, Scores
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
}
# Paul Tol's “bright” scheme, told apart by colour-blind eyes, its pale gray darkened; dashes say it once more.
COLOURS = ("#ee6677", "#228833", "#aa3377", "#ccbb44", "#777777", "#4477aa", "#33a5cc")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), "-", (0, (5, 1.5)), "-", (0, (3, 1, 1, 1)))


def training(epochs: list[dict[str, Any]], best_epoch: int) -> bytes:
    """Figure 2: loss and accuracy of training and validation over the epochs, the kept one marked."""
    from matplotlib.ticker import MaxNLocator

    numbers = [row["epoch"] for row in epochs]
    with _figure(8.0, 3.4) as (figure, png):
        for at, what in enumerate(("loss", "accuracy")):
            axes = figure.add_subplot(1, 2, at + 1)
            axes.plot(numbers, [row[what] for row in epochs], color=COLOURS[5], marker="o", ms=3, label="training")
            held = [row[f"val_{what}"] for row in epochs]
            axes.plot(numbers, held, color=COLOURS[0], marker="s", ms=3, ls=DASHES[1], label="validation")
            axes.axvline(best_epoch, color="#444444", lw=0.8, ls=":", label=f"kept: epoch {best_epoch}")
            axes.set(xlabel="epoch", title=what)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            if at == 0:
                axes.legend()
    return png.getvalue()


def confusion(scores: Scores) -> bytes:
    """Figure 3: the confusion matrix, each row in percent of its true class; a class without images stays empty."""
    labels = [c.label for c in scores.classes]
    shares = np.array([[np.nan if v is None else 100 * v for v in row] for row in scores.normalised()])
    with _figure(6.6, 5.6) as (figure, png):
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(shares):
            if np.isfinite(value):
                ink = "white" if value > 55 else "#222222"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink)
        rows = [f"{c.label}  ({c.support:,})" for c in scores.classes]
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), rows)
        axes.set(xlabel="label given", ylabel="true label (images)")
        axes.set_title(f"percent of the true class; {scores.n:,} images, accuracy {scores.accuracy.value:.3f}")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.03, label="%")
        bar.outline.set_visible(False)
    return png.getvalue()


def roc(scores: Scores, curves: Curves) -> bytes:
    """Figure 4: the ROC curve of each class against the rest, with its AUC, and their mean."""
    with _figure(6.2, 5.4) as (figure, png):
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
        for i, row in enumerate(scores.classes):
            if row.label in curves.tpr:
                look = {"color": COLOURS[i % len(COLOURS)], "ls": DASHES[i % len(DASHES)]}
                axes.plot([0, *curves.fpr], [0, *curves.tpr[row.label]], label=f"{row.label}  {row.auc:.3f}", **look)
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


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure to draw on, and the bytes it is saved to when the block ends. A user's own style is set aside."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"the figures need matplotlib ({error}); `pip install 'fer-edge[host]'` installs it"
        ) from error
    png = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((width_in, height_in), layout="constrained")
        yield figure, png
        # no name and version of the program that drew it: files differ only where the figure does
        figure.savefig(png, format="png", metadata={"Software": None})
