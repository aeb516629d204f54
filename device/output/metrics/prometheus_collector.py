"""Converts a run's metrics to Prometheus' metric families, under the names that device/README.md lists.

Counters belong to this process and restart with it; times are in seconds and sizes in bytes, as Prometheus recommends. Every
series has the label `camera`, the run's name, because node_exporter merges the files of several runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from device.clock import CLOCK_STATES
from device.output.metrics.run_metrics import BUCKET_BOUNDS_S, CAMERA_STATES, DROPS, Histogram, RunMetrics
from device.system.health import BITS
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

Series = Sequence[tuple[tuple[str, ...], float]]  # each with the values of its labels


class PrometheusCollector:
    """Collects the present state of `metrics`. Raises UsageError without the extra `metrics`.

    The library's own Counter and Histogram would count everything a second time, lock each number, and add a `_created` series
    to each; a collector over existing counts is the documented alternative.
    """

    def __init__(self, metrics: RunMetrics) -> None:
        try:
            import prometheus_client.core as core
        except ImportError as error:
            raise UsageError("metrics need the extra `metrics`: pip install 'fer-edge[metrics]'") from error
        self._metrics, self._core = metrics, core

    def registry(self) -> CollectorRegistry:
        """A registry with this collector alone, without the library's process metrics."""
        registry = self._core.CollectorRegistry(auto_describe=True)
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the documentation; a family of unknown values has no series."""
        yield from self._run()
        yield from self._frames()
        yield from self._faces()
        yield from self._journal()
        yield from self._machine()

    def _run(self) -> Iterator[Metric]:
        run = self._metrics
        info = [(tuple(run.build_info.values()), 1.0)] if run.build_info else []
        names = ("version", "bundle", "bundle_sha256", "runtime", "detector")
        yield self._gauge("info", "What makes the readings; always 1", info, *names)
        yield self._gauge("uptime_seconds", "Time since the process started, by a monotonic clock", run.uptime_s)
        states = [((state,), float(state == run.state)) for state in CAMERA_STATES]
        yield self._gauge("camera_state", "1 for the present state of the run, 0 for the others", states, "state")
        yield self._counter("camera_losses", "Number of losses of the camera", run.losses)
        yield self._counter("camera_gap_seconds", "Time without a frame in losses that have ended", run.gaps_s)

    def _frames(self) -> Iterator[Metric]:
        run = self._metrics
        yield self._counter("frames_read", "Pictures that the camera delivered, decodable or not", run.read)
        yield self._counter("frames_processed", "Frames that were processed", run.processed)
        yield self._counter("frames_idle", "Processed frames without a search, because nothing had changed", run.idle)
        yield self._counter("frames_with_face", "Processed frames with a face that was read", run.with_face)
        drops = {**dict.fromkeys(DROPS, 0), **run.drops}
        yield self._counter("frames_dropped", "Pictures that were not processed", _labelled(drops), "reason")
        since_last = _optional(run.since_last_frame_s)
        yield self._gauge("since_last_frame_seconds", "Time since the last processed frame was taken", since_last)
        yield self._histogram("frame_age_seconds", "From a frame's capture to its readings", [((), run.frame_ages)])
        stages = [((stage,), times) for stage, times in dict(run.stages).items()]
        yield self._histogram("stage_duration_seconds", "Processing time of a frame, by stage", stages, "stage")

    def _faces(self) -> Iterator[Metric]:
        run, label = self._metrics, "expression"
        yield self._gauge("faces", "Faces read in the last frame", run.faces)
        yield self._counter("faces_skipped", "Faces that were not read because of max_faces", run.skipped)
        yield self._counter("readings", "Faces read, by the label of that frame alone", _labelled(run.readings), label)
        yield self._counter("steady_readings", "Faces read, by smoothed label or unsure", _labelled(run.steady), label)
        yield self._counter("unsure_readings", "Unsure readings, by the reason", _labelled(run.unsure), "why")
        yield self._counter("episodes", "Episodes that have ended", _labelled(run.episodes), label)
        yield self._counter("expression_seconds", "Time of faces, a minute late", _labelled(run.labels_s), label)
        yield self._counter("run_seconds", "Time of the run, a minute late", _labelled(run.state_s), "state")

    def _journal(self) -> Iterator[Metric]:
        journal = self._metrics.journal
        written_bytes, lost_lines = journal.written_bytes, journal.lost_lines
        yield self._counter("journal_written_bytes", "Bytes written and forced to the journal's disk", written_bytes)
        yield self._counter("journal_lost_lines", "Lines that the journal had to drop", lost_lines)
        yield self._gauge("journal_writable", "1, or 0 while lines wait for a failing disk", journal.writable)
        outputs = _labelled(self._metrics.working)
        yield self._gauge("output_working", "1, or 0 while this output of the run fails", outputs, "output")

    def _machine(self) -> Iterator[Metric]:
        health = self._metrics.health
        voltage = None if health is None else health.undervoltage
        yield self._gauge("undervoltage", "1 while the power supply is too weak", _optional(voltage))
        now, since = (None, None) if health is None else (health.throttled_now, health.throttled_since_boot)
        yield self._gauge("throttled", "1 while this limits the processor", _bit_values(now), "by")
        yield self._gauge(
            "throttled_since_boot", "1 if this has limited the processor since boot", _bit_values(since), "by"
        )
        degrees = None if health is None else health.temperature_c
        yield self._gauge("temperature_celsius", "Temperature of the processor", _optional(degrees))
        free_bytes = None if health is None else health.disk_free_bytes
        yield self._gauge("disk_free_bytes", "Free space on the journal's disk", _optional(free_bytes))
        clocks = [] if health is None else [((state,), float(state == health.clock)) for state in CLOCK_STATES]
        yield self._gauge("clock_state", "1 for the present state of the wall clock, 0 for the others", clocks, "state")

    def _counter(self, name: str, text: str, values: float | Series, *labels: str) -> Metric:
        family = self._core.CounterMetricFamily(f"fer_edge_{name}", text, None, ("camera", *labels))
        return self._filled(family, values)

    def _gauge(self, name: str, text: str, values: float | Series, *labels: str) -> Metric:
        family = self._core.GaugeMetricFamily(f"fer_edge_{name}", text, None, ("camera", *labels))
        return self._filled(family, values)

    def _filled(self, family: Any, values: float | Series) -> Metric:
        """`family` with one value, or with several series."""
        for labels, value in [((), values)] if isinstance(values, int | float) else values:
            family.add_metric([self._metrics.camera, *labels], float(value))
        return family

    def _histogram(
        self, name: str, text: str, values: Iterable[tuple[tuple[str, ...], Histogram]], *labels: str
    ) -> Metric:
        family = self._core.HistogramMetricFamily(f"fer_edge_{name}", text, None, None, ("camera", *labels))
        for label_values, histogram in values:
            family.add_metric([self._metrics.camera, *label_values], _buckets(histogram.counts), histogram.sum_s)
        return family


def _buckets(counts: Iterable[int]) -> list[tuple[str, float]]:
    """Each bound as text, and how many durations did not exceed it."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKET_BOUNDS_S), "+Inf"), tuple(counts), strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _labelled(values: Mapping[str, float]) -> Series:
    return [
        ((name,), value) for name, value in dict(values).items()
    ]  # a copy, because the loop's thread keeps counting


def _optional(value: float | None) -> Series:
    return [] if value is None else [((), value)]


def _bit_values(bits: Iterable[str] | None) -> Series:
    return [] if bits is None else [((bit,), float(bit in bits)) for bit in BITS]
