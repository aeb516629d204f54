"""Bars of letters for a terminal: a row for each period, each letter a share of the face time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fer_edge.events import UNSURE
from fer_edge.log.aggregation import PeriodSums
from fer_edge.log.event_text import duration_text
from fer_edge.log.summary import Summary
from fer_edge.log.text_report import labels_seen
from fer_edge.log.time_window import TimeZone

WIDTH = 50
_BLIND = "░"
_FULL, _HALF = "█", "▌"
_THERE = 10


def bar_lines(summary: Summary) -> Iterator[str]:
    """The lines of the chart: the share of time with a face, the shown labels, and the time without observation."""
    labels, zone = labels_seen([summary]), summary.window.zone
    letters = letters_of(labels)
    yield f"{summary.device.name}, {zone}"
    blind = [f"{_BLIND} not observed"] if any(part.blind_s >= 1 for part in summary.parts) else []
    yield "  ".join([*(f"{letters[label]} {label}" for label in labels), *blind])
    yield f"{'':16}  {'with a face':<{_THERE + 8}}expressions, one letter for {100 / WIDTH:g} % of the face time"
    for part in summary.parts:
        yield _line(part, labels, letters, zone)


def _line(part: PeriodSums, labels: Sequence[str], letters: dict[str, str], zone: TimeZone) -> str:
    when = zone.short(part.from_s)[:16]
    total_s, blind = part.total_s, ""
    if part.blind_s >= 1:
        blind = f"  {_BLIND * max(1, round(_THERE * part.blind_s / total_s))} {duration_text(part.blind_s)}"
    if part.presence is None:
        return f"{when}  {'–':<{_THERE}}        {'':{WIDTH}}{blind}".rstrip()
    there = part.presence * _THERE
    bar = _FULL * int(there) + (_HALF if there % 1 >= 0.25 else "")
    return f"{when}  {bar:<{_THERE}} {part.presence:6.1%} {composed(part, labels, letters):<{WIDTH}}{blind}".rstrip()


def composed(part: PeriodSums, labels: Sequence[str], letters: dict[str, str]) -> str:
    """WIDTH letters, those of each label in proportion to its share, the largest remainders rounded up; "" without a face."""
    exact = {label: WIDTH * share for label in labels if (share := part.share(label)) is not None}
    if not exact:
        return ""
    counts = {label: int(n) for label, n in exact.items()}
    for label in sorted(exact, key=lambda label: counts[label] - exact[label])[: WIDTH - sum(counts.values())]:
        counts[label] += 1
    return "".join(letters[label] * counts[label] for label in labels)


def letters_of(labels: Sequence[str]) -> dict[str, str]:
    """A letter for each label, its own first where that is free; `?` for unsure."""
    letters = {UNSURE: "?"}
    for label in sorted(set(labels) - {UNSURE}):
        free = (
            letter for letter in (*label.upper(), *label.lower(), *"123456789#*+=") if letter not in letters.values()
        )
        letters[label] = next(free)
    return letters
