"""The time between two moments by state, from a journal alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fer_edge.events import Event
from fer_edge.journal.segments import DamagedLine
from tests.journal_items import read_journal


@dataclass(frozen=True, slots=True)
class TimeAccount:
    """The seconds of the soak by state, from the journal alone; `unexplained_s` must be 0."""

    seconds: float
    observed_s: float
    unavailable_s: float
    paused_s: float
    crashed_s: float  # in runs without an `end` line, after their last tally
    not_running_s: float  # between a run's end and the next one's header, starting up included
    unexplained_s: float
    runs: int
    runs_without_end: int
    longest_crashed_s: float
    losses: int  # camera lost
    returns: int  # camera back
    lines: int
    lines_lost: int  # by gap lines
    damaged: int


def account_of(folder: Path, began_s: float, ended_s: float) -> TimeAccount:
    """The time account of a journal between two moments of one boot, in seconds since that boot."""
    runs: list[list[Event]] = []
    damaged = lines = 0
    for item in read_journal(folder):
        if isinstance(item, DamagedLine):
            damaged += 1
            continue
        lines += 1
        if item.kind == "header" and "continues" not in item.body:
            runs.append([])
        if runs:
            runs[-1].append(item)
    seconds_by_state: Counter[str] = Counter()
    at_s, longest_s = began_s, 0.0
    unexplained_s = 0.0
    for number, events in enumerate(runs):
        tallies = [event for event in events if event.kind == "tally"]
        start_s = min([events[0].mono_s, *(event.body["from_mono_s"] for event in tallies)])
        has_end = events[-1].kind == "end"
        seconds_by_state["not_running" if number == 0 or runs[number - 1][-1].kind == "end" else "crashed"] += (
            start_s - at_s
        )
        if number and runs[number - 1][-1].kind != "end":
            longest_s = max(longest_s, start_s - at_s)
        at_s = start_s
        for event in tallies:
            body = event.body
            unexplained_s += abs(body["from_mono_s"] - at_s)
            for name in ("observed", "unavailable", "paused"):
                seconds_by_state[name] += body[f"{name}_s"]
            at_s = body["from_mono_s"] + body["seconds"]
        if has_end:
            unexplained_s += max(0.0, events[-1].mono_s - at_s - 0.5)
            at_s = max(at_s, events[-1].mono_s)
    seconds_by_state["not_running"] += ended_s - at_s
    states = Counter(event.body["state"] for events in runs for event in events if event.kind == "camera")
    lost = sum(sum(event.body["lost"].values()) for events in runs for event in events if event.kind == "gap")
    return TimeAccount(
        seconds=round(ended_s - began_s, 1),
        **{
            f"{name}_s": round(seconds_by_state[name], 1)
            for name in ("observed", "unavailable", "paused", "crashed", "not_running")
        },
        unexplained_s=round(unexplained_s, 2),
        runs=len(runs),
        runs_without_end=sum(events[-1].kind != "end" for events in runs),
        longest_crashed_s=round(longest_s, 1),
        losses=states["lost"] + states["waiting"],
        returns=states["back"],
        lines=lines,
        lines_lost=lost,
        damaged=damaged,
    )
