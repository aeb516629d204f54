"""Sinks: where events go. All have the same interface, so that a run does not depend on their number."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, cast

from device.clock import Clock
from fer_edge.console import message
from fer_edge.events import Event
from fer_edge.log.event_text import event_sentence, reason_text

if TYPE_CHECKING:
    from device.output.event_bodies import EventBody


class Sink(Protocol):
    """A context manager that receives events in order."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def append(self, event: Event) -> None:
        """Receives the event."""
        ...

    def tick(self) -> None:
        """Called at each turn of the loop, with events or without, for postponed work."""
        ...


class Output(Protocol):
    """Where a run sends something beside its journal. `trouble`: why that fails at present, a sentence without full stop."""

    @property
    def trouble(self) -> str | None: ...


class _StatelessSink:
    """A sink without anything to open, postpone or close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tick(self) -> None:
        pass


class _LineSink(_StatelessSink):
    """A sink that writes lines to a stream and flushes each. When the reader is gone, it raises once, then writes nothing.

    When a line cannot be written for another reason, as on a full disk, `failure` has the reason, which is reported once on
    stderr, and nothing more is written: a run does not end for it. Nor does a service end when the reader of its lines,
    journald, is stopped.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self.failure = ""
        self._is_service = _is_service(stream, environ)
        self._stream: TextIO | None = stream

    @property
    def trouble(self) -> str | None:
        """Why the stream gets no more lines, as a sentence without its full stop; None while it does."""
        return f"stdout cannot be written ({self.failure}); it gets no more lines" if self.failure else None

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError as error:
            self._stream = None
            if isinstance(error, BrokenPipeError) and not self._is_service:
                raise
            self.failure = error.strerror or str(error) or type(error).__name__
            message(f"{self.trouble}, the run goes on")


def _is_service(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a service manager started this process, so that no reader of the stream can ask for the end of the run.

    A terminal of a desktop that systemd started hands JOURNAL_STREAM on; a pipe, as in `fer-edge run | head`, is not the
    journal's stream then.
    """
    if "NOTIFY_SOCKET" in environ:
        return True
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # no file behind it; or it is closed
        is_pipe = False
    return "JOURNAL_STREAM" in environ and not is_pipe


class JsonLinesSink(_LineSink):
    """A sink that writes the journal's lines to a stream: all kinds, or those given. Raises BrokenPipeError once."""

    def __init__(
        self, stream: TextIO, kinds: Collection[str] | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(stream, environ)
        self._kinds = kinds

    def append(self, event: Event) -> None:
        if self._kinds is None or event.kind in self._kinds:
            self._write(event.line())


# the kinds of events that are printed, by the setting `detail`; tallies and the machine's health are for the journal
_STATES = frozenset({"episode", "camera", "pause", "resume", "clock", "gap", "repair"})
PRINTED_KINDS = {"none": frozenset[str](), "states": _STATES, "frames": _STATES | {"reading"}}


class TerminalSink(_LineSink):
    """A sink that writes readable lines for events of some kinds, timed from the first event. Raises BrokenPipeError once."""

    def __init__(
        self, stream: TextIO, kinds: Collection[str] = _STATES, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(stream, environ)
        self._kinds = kinds
        self._start_s: float | None = None
        self._labels: tuple[str, ...] = ()

    def append(self, event: Event) -> None:
        if self._start_s is None:
            self._start_s = event.mono_s
        if event.kind == "header":
            self._labels = tuple(event.body.get("labels", ()))
        if event.kind not in self._kinds:
            return
        if event.kind == "reading":
            self._write(format_reading(event, self._start_s))
        else:
            self._write(f"{event.mono_s - self._start_s:9.2f} s  {event_sentence(event, self._labels)}")


def format_reading(event: Event, start_s: float = 0.0) -> str:
    """A reading as a readable line: seconds since `start_s`, label, probability, and the face's position and size.

    The label is the smoothed one where there is one; the label of the frame alone follows if it differs.
    """
    body = event.body
    x, y, width, height = body["xywh"]
    label, p = body.get("steady") or body["label"], max(body.get("steady_p") or body["p"])
    line = f"{event.mono_s - start_s:9.2f} s  {label:<8} {p:4.0%}   face {width}×{height} px at ({x}, {y})"
    if label == body["label"]:
        return line
    why = f", {reason_text(body['why'])}" if body.get("why") else ""
    return f"{line}{why}; this frame alone: {body['label']}"


class FanOut:
    """A sink that passes each event to several; they are opened in order and closed in reverse order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._stack = ExitStack()

    def __enter__(self) -> FanOut:
        with ExitStack() as opening:
            for sink in self._sinks:
                opening.enter_context(sink)
            self._stack = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, event: Event) -> None:
        for sink in self._sinks:
            sink.append(event)

    def tick(self) -> None:
        for sink in self._sinks:
            sink.tick()


class EventRecorder:
    """Numbers and stamps the events of one run, and passes them to a sink, or only to the `live_sinks`.

    An unrecorded event has the number of the next recorded one: the journal's numbers have no gaps.
    """

    def __init__(self, sink: Sink, clock: Clock, live_sinks: Sequence[Sink] = ()) -> None:
        self._sink, self._clock, self._live_sinks = sink, clock, live_sinks
        self._seq = 0

    def record(self, kind: str, body: EventBody, mono_ns: int | None = None) -> Event:
        """The event, after the sink received it. It happened at `mono_ns`, or now."""
        event = self._event(kind, body, mono_ns)
        self._seq += 1
        self._sink.append(event)
        return event

    def send_unrecorded(self, kind: str, body: EventBody, mono_ns: int | None = None) -> Event:
        """The event, after the live sinks alone received it."""
        event = self._event(kind, body, mono_ns)
        for sink in self._live_sinks:
            sink.append(event)
        return event

    def _event(self, kind: str, body: EventBody, mono_ns: int | None) -> Event:
        stamp = self._clock.stamp(mono_ns)
        fields = cast("dict[str, Any]", body)
        return Event(kind, self._seq, self._clock.boot, stamp.mono_ns / 1e9, stamp.wall, stamp.clock, fields)
