"""The timeline of a journal as a picture: shares of each expression, the presence of faces, unobserved time shaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.events import UNSURE
from fer_edge.log.aggregation import STATES, PeriodSums
from fer_edge.log.items import UnobservedSpan
from fer_edge.log.summary import Summary
from fer_edge.log.tables import private_file
from fer_edge.log.text_report import labels_seen
from fer_edge.log.time_window import TimeZone
from fer_edge.palette import colour_of
from fer_edge.text_cleaning import clean

ENDINGS = (".png", ".svg")
_INK = "#333333"
_LONGEST_NAME = 60  # characters of a label or a device that are drawn
_SHORTEST_DAY_S = 79_200.0  # 22 hours: two where the clock is set forward
_FEW_S = 30.0  # of faces: a bar with less is pale, because its shares are uncertain
_NOTHING: dict[str, Any] = {
    "facecolor": "#fafafa",
    "edgecolor": "#cccccc",
    "hatch": "\\\\",
    "linewidth": 0,
    "zorder": 0,
    "label": "no journal",
}
_ZEROS = ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]  # a tick at a beginning, of a day say, names that
# The shading of unobserved time, from the lightest reason to the gravest.
SHADES = {
    "paused": ("paused", "#d6e4f0", ""),
    "stopped": ("not running", "#e9e9e9", ""),
    "unavailable": ("camera away or late", "#f6d5c9", "////"),
    "cut off": ("cut off", "#d9d9d9", "xxxx"),
    "missing": ("lines missing", "#efe3f3", "...."),
    "unexplained": ("unexplained", "#efe3f3", "...."),
}


def draw_timeline(summaries: Sequence[Summary], path: Path) -> None:
    """Writes the picture, whole or not at all: PNG or SVG, by the file's suffix; a pair of panels for each device.

    Raises UsageError for another suffix, or where the extra `plots` is missing; OSError.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path.name} ends with neither .png nor .svg; rename it")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "a picture needs the extra `plots`: pip install 'fer-edge[plots]'; without --out it is text"
        ) from error

    # No mathematics: a name may have dollar signs.
    style = {"font.size": 9, "text.color": _INK, "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
             "axes.edgecolor": "#999999", "hatch.linewidth": 0.5, "svg.fonttype": "none", "svg.hashsalt": "fer-edge",
             "font.family": "sans-serif",
             "text.parse_math": False}  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(10, 3.3 * len(summaries) + 0.7), layout="constrained")
        grid = figure.add_gridspec(2 * len(summaries), 1, height_ratios=[2.2, 1] * len(summaries))
        labels = labels_seen(summaries)
        marks: dict[str, Any] = {}
        from_s, to_s = min(one.whole.from_s for one in summaries), max(one.whole.to_s for one in summaries)
        for number, summary in enumerate(summaries):
            upper: Any = figure.add_subplot(grid[2 * number])
            lower: Any = figure.add_subplot(grid[2 * number + 1], sharex=upper)
            _device(summary, upper, lower, labels, marks)
            zone = summary.window.zone  # the same time axis for all, so that they can be compared
            for start_s, end_s in _outside(summary, from_s, to_s):
                for axes in (upper, lower):
                    axes.axvspan(_place(zone, start_s), _place(zone, end_s), **_NOTHING)
                marks[_NOTHING["label"]] = axes.patches[-1]
            upper.set_xlim(_place(zone, from_s), _place(zone, to_s))
        order = [*labels, *(name for name, *_ in SHADES.values()), _NOTHING["label"]]
        order = [name for name in order if name in marks]
        handles = [_swatch(marks[name]) for name in order]
        names = [clean(name, _LONGEST_NAME) for name in order]
        figure.legend(handles, names, loc="outside lower center", ncols=7, frameon=False, handlelength=1.6)
        with private_file(path) as fresh:
            figure.savefig(fresh, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _device(summary: Summary, upper: Any, lower: Any, labels: Sequence[str], marks: dict[str, Any]) -> None:
    """Two panels: the shares of the seconds of faces, and the share of the observed time with a face."""
    from dateutil.tz import tzlocal
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    zone, parts = summary.window.zone, summary.parts
    tz = UTC if zone.utc else tzlocal()  # with the changes of daylight saving time within the picture

    def at(posix_s: float) -> float:
        return _place(zone, posix_s)

    for axes in (upper, lower):
        for span in summary.blind:
            _shade(axes, span, at, marks)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    seen = [part for part in parts if _faces_s(part) > 0]
    bottoms = [0.0] * len(seen)
    starts, widths = [at(part.from_s) for part in seen], [at(part.to_s) - at(part.from_s) for part in seen]
    for label in labels:
        shares = [part.share(label) or 0.0 for part in seen]
        look: dict[str, Any] = {"color": "white", "edgecolor": "#999999", "hatch": "///"}
        if label != UNSURE:
            look = {"color": colour_of(label, labels).light, "edgecolor": "white"}
        drawn = upper.bar(starts, shares, widths, bottoms, align="edge", linewidth=0.4, **look)
        for bar, part in zip(drawn, seen, strict=True):
            bar.set_alpha(0.4 if _faces_s(part) < _FEW_S else 1.0)
        if seen:
            marks[label] = drawn
        bottoms = [bottom + share for bottom, share in zip(bottoms, shares, strict=True)]
    upper.set_ylabel("share of the\nseconds of faces")
    upper.tick_params(labelbottom=False)
    day = zone.short(summary.whole.from_s)[:10]
    last = zone.short(summary.whole.to_s - 1)[:10]
    days = day if day == last else f"{day} to {last}"
    width = _width(parts[0].to_s - parts[0].from_s) if parts else ""
    pale = f"; pale: less than {_FEW_S:.0f} s of faces" if any(bar < _FEW_S for bar in map(_faces_s, seen)) else ""
    name = clean(summary.device.name, _LONGEST_NAME)
    upper.set_title(f"{name}, {days} ({width}{pale})", loc="left", fontsize=10)
    looked = [part for part in parts if part.presence is not None]
    lower.bar([at(part.from_s) for part in looked], [part.presence or 0.0 for part in looked],
              [at(part.to_s) - at(part.from_s) for part in looked], align="edge", color="#5a5a5a", linewidth=0)  # fmt: skip
    lower.set_ylabel("face\npresent")
    locator = AutoDateLocator(tz=tz, maxticks=12)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=tz, show_offset=False, zero_formats=_ZEROS))
    lower.set_xlabel(str(zone))


def _place(zone: TimeZone, posix_s: float) -> float:
    """The place on the time axis, in days: places differ by the time between, also where a day has 23 hours."""
    from matplotlib.dates import date2num

    place: float = date2num(zone.at(posix_s))
    return place


def _shade(axes: Any, span: UnobservedSpan, at: Any, marks: dict[str, Any]) -> None:
    if span.state not in SHADES:
        return  # late frames are only a part of a minute
    name, colour, hatch = SHADES[span.state]
    marks[name] = axes.axvspan(
        at(span.from_s), at(span.to_s), facecolor=colour, edgecolor="#b0b0b0", hatch=hatch, linewidth=0
    )


def _outside(summary: Summary, from_s: float, to_s: float) -> Iterator[tuple[float, float]]:
    """The parts of the picture's time that are before the device's first minute, after its last, or outside the selection."""
    for start_s, end_s in (*summary.window.pieces(summary.whole.from_s, summary.whole.to_s), (to_s, to_s)):
        if start_s > from_s:
            yield from_s, start_s
        from_s = end_s


def _faces_s(part: PeriodSums) -> float:
    return sum(part.labels_s.values())


def _swatch(mark: Any) -> Any:
    """A patch for the legend, as strong as the mark is meant, whatever its first bar is."""
    from matplotlib.patches import Patch

    drawn = mark[0] if hasattr(mark, "__len__") else mark
    return Patch(
        facecolor=drawn.get_facecolor(), edgecolor="#999999", hatch=drawn.get_hatch(), linewidth=0.4, alpha=1.0
    )


def _width(seconds: float) -> str:
    if seconds >= _SHORTEST_DAY_S:
        return "a bar is a day"
    return "a bar is an hour" if seconds == 3600 else f"a bar is {seconds / 60:.0f} min"


assert set(SHADES) == set(STATES) - {"observed"}
