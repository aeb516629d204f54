"""A summary as text and tables: time by state, presence and expressions, certainty, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fer_edge.events import UNSURE
from fer_edge.log.aggregation import STATES, PeriodSums
from fer_edge.log.event_text import counted, duration_text, reason_text
from fer_edge.log.rows import Row
from fer_edge.log.summary import Summary

STATE_TEXTS = {
    "observed": "observed",
    "unavailable": "camera away or late",
    "paused": "paused",
    "stopped": "not running",
    "cut off": "cut off, then not running",
    "missing": "lines missing",
    "unexplained": "unexplained",
}


def summary_text(summary: Summary) -> str:
    """The summary as one page of text."""
    whole, zone = summary.whole, summary.window.zone
    head = f"instance {summary.device.name}: {zone.short(whole.from_s)} to {zone.short(whole.to_s)}, {zone}"
    return "\n".join(
        [head, "", *_time(summary), "", *_presence(whole), "", *_certainty(whole), "", *_reliability(summary)]
    )


def _time(summary: Summary) -> Iterator[str]:
    whole = summary.whole
    yield f"Time: {duration_text(whole.total_s)}"
    for state in STATES:
        if (seconds := whole.state_s.get(state, 0.0)) >= 0.05:
            yield f"  {STATE_TEXTS[state]:<26} {duration_text(seconds):>14} {_percent(seconds / whole.total_s)}"


def _presence(whole: PeriodSums) -> Iterator[str]:
    if not whole.face_s:
        yield "Presence: no face"
        return
    most = "one face" if whole.faces_max == 1 else f"{whole.faces_max} faces"
    yield (
        f"Presence: {duration_text(whole.face_s)} with a face, {whole.presence or 0:.1%} of the observed time; "
        f"at most {most} at once"
    )
    yield f"  {'':<10} {'of face time':>12} {'time':>14} {'episodes':>9} {'mean p':>7} {'quality':>8}"
    for label in sorted(whole.labels_s, key=lambda label: -whole.labels_s[label]):
        p, quality = whole.mean_p(label), whole.mean_quality(label)
        yield (
            f"  {label:<10} {_percent(whole.share(label)):>12} {duration_text(whole.labels_s[label]):>14} "
            f"{whole.episodes[label]:>9,} {_two(p):>7} {_two(quality):>8}"
        )


def _certainty(whole: PeriodSums) -> Iterator[str]:
    yield "Certainty"
    unsure = whole.share(UNSURE)
    if unsure is None:
        yield "  no face"
        return
    faces_s = sum(whole.labels_s.values())
    by = ", ".join(
        f"{reason_text(why)} {seconds / faces_s:.1%}" for why, seconds in sorted(whole.unsure_s.items(), key=_largest)
    )
    yield f"  unsure for {unsure:.1%} of the face time{f'; causes: {by}' if by else ''}"
    p, quality = whole.mean_p(), whole.mean_quality()
    if p is not None:
        quality_text = "" if quality is None else f"; mean quality of the face {quality:.2f} of 1"
        yield f"  mean probability of the label shown {p:.2f}, over {whole.frames.total():,} frames of episodes{quality_text}"
    if whole.counts["skipped"]:
        yield f"  {whole.counts['skipped']:,} faces were not classified: there were too many at once"


def _reliability(summary: Summary) -> Iterator[str]:
    whole, trust = summary.whole, summary.trust
    yield "Reliability"
    clock = (
        "all times are by a synchronized clock"
        if not whole.doubtful_s
        else f"for {duration_text(whole.doubtful_s)} the clock was not known to be synchronized; these times are estimates"
    )
    steps = f"; {counted(trust.clock_steps, 'change')} of the wall clock, corrected" if trust.clock_steps else ""
    yield f"  clock    {clock}{steps}"
    for model in trust.models.values():
        proof = {
            True: f"verified at start (golden vectors of {model.compared_with})",
            False: f"not compared with its float model on this runtime; golden vectors of {model.compared_with}",
            None: "no record of a verification",
        }[model.proved]
        yield (
            f"  model    {model.bundle} {model.sha256[:12]}, {model.runtime}, {model.detector}, {proof}; "
            f"{duration_text(model.seconds)}"
        )
    recorded = f", {trust.recorded} of them on recordings" if trust.recorded else ""
    boots = counted(len(trust.boots), "boot")
    yield f"  runs     {trust.starts} started{recorded}, {trust.cut_off} cut off without an end line; {boots}"
    drops = ", ".join(f"{why} {n:,}" for why, n in sorted(whole.drops.items(), key=_largest))
    read = whole.counts["read"]
    yield f"  frames   {read:,} read, {whole.counts['processed']:,} processed; dropped: {drops or 'none'}"
    yield f"  camera   lost {counted(trust.camera_losses, 'time')}"
    hot = "" if trust.hottest_c is None else f"; highest temperature {trust.hottest_c:.0f} °C"
    trouble = ", ".join(
        f"{name} {duration_text(seconds)}" for name, seconds in sorted(trust.trouble_s.items(), key=_largest)
    )
    yield f"  machine  {trouble or 'no trouble reported'}{hot}"
    yield f"  lines    {trust.lines_lost:,} lost, {trust.damaged:,} damaged; details: `fer-edge log check`"


def part_columns(summaries: Sequence[Summary]) -> list[str]:
    """The columns of `part_rows`: those of each period, and the share of face time of each label that was seen."""
    return [
        "device",
        "from",
        "observed",
        "blind",
        "presence",
        *labels_seen(summaries),
        "p",
        "quality",
        "faces_max",
        "drops",
    ]


def part_rows(summaries: Sequence[Summary]) -> Iterator[Row]:
    """A row for each period, with shares as text, for a table."""
    labels = labels_seen(summaries)
    for summary in summaries:
        for part in summary.parts:
            yield {
                "device": summary.device.name,
                "from": part.from_s,
                "observed": _short(part.state_s.get("observed", 0.0)),
                "blind": _short(part.blind_s),
                "presence": _percent(part.presence).strip(),
                **{label: _percent(part.share(label)).strip() for label in labels},
                "p": part.mean_p(),
                "quality": part.mean_quality(),
                "faces_max": part.faces_max,
                "drops": part.drops.total(),
            }


def flat_columns(summaries: Sequence[Summary]) -> list[str]:
    """The columns of `flat_rows`."""
    labels = labels_seen(summaries)
    states = [f"{state.replace(' ', '_')}_s" for state in STATES]
    return ["device", "from", "to", "seconds", *states, "blind_s", "face_s", "presence", *(f"s_{x}" for x in labels),
            *(f"share_{x}" for x in labels), "unsure_by", "mean_p", "quality", "faces_max", "faces_skipped",
            "frames_read", "frames_processed", "frames_idle", "drops", "time_doubtful_s"]  # fmt: skip


def flat_rows(summaries: Sequence[Summary]) -> Iterator[Row]:
    """A row of numbers for each period, or one row for all of it without periods."""
    for summary in summaries:
        for part in summary.parts or [summary.whole]:
            values = part.to_json(summary.window.zone)
            labels: dict[str, Any] = {f"s_{label}": seconds for label, seconds in values["labels_s"].items()}
            shares = {f"share_{label}": share for label, share in values["shares"].items()}
            frames = {f"frames_{name}": n for name, n in values["frames"].items()}
            more = {
                "device": summary.device.name,
                "from": part.from_s,
                "to": part.to_s,
                "unsure_by": values["unsure_s"],
            }
            yield values | labels | shares | frames | more


def labels_seen(summaries: Sequence[Summary]) -> list[str]:
    """Every label with seconds in one of the summaries, the most frequent first, `unsure` last."""
    total: dict[str, float] = {}
    for summary in summaries:
        for label, seconds in summary.whole.labels_s.items():
            total[label] = total.get(label, 0.0) + seconds
    return sorted(total, key=lambda label: (label == UNSURE, -total[label], label))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:6.1%}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _short(seconds: float) -> str:
    return "–" if seconds < 0.5 else duration_text(seconds)


def _largest(pair: tuple[str, float]) -> float:
    return -pair[1]
