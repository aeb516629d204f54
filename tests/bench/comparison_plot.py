"""Plots a comparison as PNG bytes: accuracy over file size and over latency, our models and the peers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from convert.report.plots import COLOURS, STYLE
from tests.bench.peer_comparison import Comparison, Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, THEIRS, INK = COLOURS[5], COLOURS[0], "#444444"
# Where a label may stand beside its point, in points: the first place that is free is taken.
PLACES = [(9, 0), (-9, 0), (0, 11), (0, -11)] + [
    (dx, dy) for reach in (16, 26, 38) for dy in (reach, -reach) for dx in (10, -10)
]


def picture(comparison: Comparison) -> bytes:
    """The PNG; the same values give the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    images, n = next(iter(comparison.sets.items()))
    timed = [entry for entry in comparison.entries if entry.latency]
    png = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((10.4, 4.9), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, entries, title, unit in (
            (left, comparison.entries, "accuracy against the size of what a user ships", "bytes"),
            (right, timed, "accuracy against the time of one face, one thread", "milliseconds"),
        ):
            axes.set_xscale("log")
            axes.set_title(title)
            axes.set_xlabel("file size" if unit == "bytes" else "milliseconds, median; processor: " + comparison.host)
            axes.grid()
            axes.set_axisbelow(True)
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(_size if unit == "bytes" else lambda ms, _: f"{ms:g}"))
            for entry in entries:
                _draw(axes, entry, images)
            xs = [_x(axes, entry) for entry in entries]
            axes.set_xlim(min(xs) / 1.8, max(xs) * 2.6)
        left.set_ylabel("accuracy, %")
        _legend(figure)
        untimed = [entry.name for entry in comparison.entries if not entry.latency]
        note = f"{images} of {comparison.data}, n {n:,}, single view; bars: 95 % interval. {comparison.runtime}."
        if untimed:
            note += f" Not timed, for LiteRT does not run their files: {', '.join(untimed)}."
        figure.supxlabel(note, fontsize=8, color=INK, x=0.01, ha="left")
        figure.draw_without_rendering()  # sizes are known from here on
        for axes, entries in ((left, comparison.entries), (right, timed)):
            _label(axes, sorted(entries, key=lambda entry: not entry.ours), images)
        figure.set_layout_engine("none")  # labels stay where they were found to be free
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _x(axes: Axes, entry: Entry) -> float:
    """Where on the panel's horizontal axis an entry is: bytes on the left one, milliseconds on the right one."""
    is_size = axes.get_xlabel() == "file size"
    return entry.bytes if is_size or entry.latency is None else entry.latency.ms_median


def _draw(axes: Axes, entry: Entry, images: str) -> None:
    accuracy = entry.standings[images].accuracy
    low, high = accuracy.low or accuracy.value, accuracy.high or accuracy.value
    look: dict[str, Any] = {"color": OURS, "marker": "o", "ms": 8} if entry.ours else {"color": THEIRS, "marker": "D"}
    bars = [[100 * (accuracy.value - low)], [100 * (high - accuracy.value)]]
    axes.errorbar([_x(axes, entry)], [100 * accuracy.value], yerr=bars, elinewidth=1, capsize=2, alpha=0.45, **look)
    axes.plot([_x(axes, entry)], [100 * accuracy.value], ls="", **look)


def _label(axes: Axes, entries: list[Entry], images: str) -> None:
    """Writes each entry's name where it covers no point, no bar and no other name."""
    from matplotlib.transforms import Bbox

    scale = axes.figure.dpi / 72  # px a point
    occupied = []
    for entry in entries:
        a = entry.standings[images].accuracy
        x, y = axes.transData.transform((_x(axes, entry), 100 * a.value))
        low, high = (axes.transData.transform((1, 100 * (v or a.value)))[1] for v in (a.low, a.high))
        occupied += [Bbox([[x - 5, y - 5], [x + 5, y + 5]]), Bbox([[x - 2, low], [x + 2, high]])]
    for entry in entries:
        at = (_x(axes, entry), 100 * entry.standings[images].accuracy.value)
        text = axes.annotate(
            entry.name, at, (0, 0), textcoords="offset points", fontsize=9, color=OURS if entry.ours else INK
        )
        text.set_fontweight("bold" if entry.ours else "normal")
        best: tuple[float, tuple[int, int]] | None = None
        for dx, dy in PLACES:
            _place(text, dx, dy)
            box = text.get_window_extent().padded(1.5 * scale)
            outside = not axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
            hidden = 10.0 * outside + sum(box.overlaps(other) for other in occupied)
            if best is None or hidden < best[0]:
                best = (hidden, (dx, dy))
        if best is not None:
            _place(text, *best[1])
        occupied.append(text.get_window_extent())


def _place(text: Any, dx: int, dy: int) -> None:
    text.set_position((dx, dy))
    text.set_ha("left" if dx > 0 else "right" if dx < 0 else "center")
    text.set_va("center" if dx else "bottom" if dy > 0 else "top")


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    kinds = [
        Line2D([], [], ls="", marker="o", ms=8, color=OURS, label="this project"),
        Line2D([], [], ls="", marker="D", color=THEIRS, label="from a package registry"),
    ]
    figure.legend(handles=kinds, loc="outside upper right", ncols=2, fontsize=9)


def _size(count: float, _: object = None) -> str:
    return f"{count / 1e6:g} MB" if count >= 1e6 else f"{count / 1e3:g} kB"
