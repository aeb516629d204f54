"""What is shown to people and to programs, and that one sink's end does not cost another its lines."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from builders import event, journal_events
from fakes import FakeClock

from device.output.journal.journal import Journal
from device.output.sinks import PRINTED_KINDS, EventRecorder, FanOut, JsonLinesSink, TerminalSink
from fer_edge.errors import UsageError
from tests.memory_sink import MemorySink

READING: dict[str, Any] = {"label": "happy", "p": [0.1, 0.855, 0.045], "xywh": [200, 120, 180, 184]}


class Gone(io.StringIO):
    """A stream whose reader has gone away."""

    tries = 0

    def flush(self) -> None:
        self.tries += 1
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


EPISODE: dict[str, Any] = {"label": "sad", "p": [0.1, 0.2, 0.7], "dwell_s": 1.5, "track": 3, "ended": "changed"}
CAMERA_LINE = "     1.00 s  camera front opened\n"
READING_LINE = "     2.00 s  happy     86%   face 180×184 px at (200, 120)\n"
EPISODE_LINE = "     3.00 s  sad 20% for 1.5 s (face 3, until the expression changed)\n"  # the label's probability


@pytest.mark.parametrize(
    ("detail", "lines"),
    [
        ("none", ""),
        ("states", CAMERA_LINE + EPISODE_LINE),
        ("frames", CAMERA_LINE + READING_LINE + EPISODE_LINE),
    ],
)
def test_the_readable_lines(detail: str, lines: str) -> None:
    stream = io.StringIO()
    with TerminalSink(stream, PRINTED_KINDS[detail]) as terminal:
        terminal.append(event("header", 0, labels=["happy", "sad", "neutral"]))
        terminal.append(event("camera", 1, state="opened", camera={"name": "front"}))
        terminal.append(event("reading", 2, **READING))
        terminal.append(event("episode", 3, **EPISODE))
        terminal.append(event("tally", 4))
    assert stream.getvalue() == lines


def test_json_lines_equal_the_journal() -> None:
    stream, some = io.StringIO(), io.StringIO()
    for kind in ("header", "reading", "end"):
        JsonLinesSink(stream).append(event(kind, 0, **READING))
        JsonLinesSink(some, {"reading"}).append(event(kind, 0, **READING))
    assert stream.getvalue().splitlines() == [event(k, 0, **READING).line() for k in ("header", "reading", "end")]
    assert [json.loads(line)["kind"] for line in some.getvalue().splitlines()] == ["reading"]


def test_a_closed_reader_raises_once() -> None:
    stream = Gone()
    sink = JsonLinesSink(stream, environ={})
    with pytest.raises(BrokenPipeError):
        sink.append(event())
    sink.append(event())
    assert stream.tries == 1


@pytest.mark.parametrize("name", ["JOURNAL_STREAM", "NOTIFY_SOCKET"])
def test_a_service_outlives_journald(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stream = Gone()
    sink = TerminalSink(stream, {"reading"}, {name: "/run/x"})
    assert sink.trouble is None
    for _ in range(2):
        sink.append(event("reading", **READING))
    assert stream.tries == 1
    assert sink.failure == "Broken pipe" and sink.trouble is not None
    assert (
        capsys.readouterr().err.count("stdout cannot be written (Broken pipe); it gets no more lines, the run goes on")
        == 1
    )


def test_a_pipe_in_a_terminal_that_systemd_started_is_no_service() -> None:
    """Its shell has JOURNAL_STREAM, of another stream: `fer-edge run | head` ends with head."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    sink = JsonLinesSink(stream, environ={"JOURNAL_STREAM": "8:1234"})
    with pytest.raises(BrokenPipeError):
        sink.append(event())
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_events_are_numbered_and_stamped() -> None:
    memory, clock = MemorySink(), FakeClock(mono_ns=7_000_000_000)
    recorder = EventRecorder(memory, clock)
    recorder.record("header", {})
    clock.now_ns += 2_000_000_000
    recorder.record("reading", {"label": "sad"}, mono_ns=8_500_000_000)
    recorder.record("end", {})
    assert [(e.seq, e.kind, e.mono_s, e.boot, e.clock) for e in memory.events] == [
        (0, "header", 7.0, "fake-boot", "unsynced"),
        (1, "reading", 8.5, "fake-boot", "unsynced"),
        (2, "end", 9.0, "fake-boot", "unsynced"),
    ]
    assert [e.body for e in memory.of_kind("reading")] == [{"label": "sad"}]


def test_opened_sinks_are_closed_when_a_later_one_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    first, second = Journal(tmp_path / "log", FakeClock()), Journal(tmp_path / "folder", FakeClock())
    (tmp_path / "folder").rmdir()
    with pytest.raises(UsageError, match="folder"), FanOut([first, second]):
        raise AssertionError("entered with half of its sinks")
    with pytest.raises(UsageError, match="closed"):
        first.append(event())


def test_each_sink_has_every_event(tmp_path: Path) -> None:
    memory = MemorySink()
    with FanOut([Journal(tmp_path, FakeClock()), memory]) as sinks:
        sinks.append(event("header", 0, schema=1))
        sinks.tick()
        sinks.append(event("end", 1))
    assert journal_events(tmp_path) == memory.events
