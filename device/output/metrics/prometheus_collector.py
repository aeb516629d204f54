"""The families of series that Prometheus is given: a run's metrics under the names that device/README.md lists.

Counters are of this process and start again with it; times are seconds and sizes bytes, as Prometheus asks. Every series has
the label `camera`, the run's name, for node_exporter merges the files of several runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from device.output.metrics.run_metrics import BUCKET_BOUNDS_S, CAMERA_STATES, DROPS, Histogram, RunMetrics
from device.system.health import BITS
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

CLOCK_STATES = ("synced", "unsynced", "unknown")


class PrometheusCollector:
    """A collector: what `metrics` holds at the time of asking. Raises UsageError without the extra `metrics`.

    The library's own Counter and Histogram would be counted a second time, lock each number, and add a `_created` series
    to each; a collector that reads what is counted already is how it wants that done.
    """

    def __init__(self, metrics: RunMetrics) -> None:
        try:
            import prometheus_client.core as core
        except ImportError as error:
            raise UsageError("metrics need the extra `metrics`: pip install 'fer-edge[metrics]'") from error
        self._metrics, self._core = metrics, core

    def registry(self) -> CollectorRegistry:
        """A registry that holds nothing else: nothing is counted for the whole process."""
        registry = self._core.CollectorRegistry(auto_describe=True)
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the documentation; one of which nothing is known has no series."""
        yield from self._run()
        yield from self._frames()
        yield from self._seen()
        yield from self._journal()
        yield from self._machine()

    def _run(self) -> Iterator[Metric]:
        told = self._metrics
        about = [(tuple(told.about.values()), 1)] if told.about else []
        names = ("version", "bundle", "bundle_sha256", "runtime", "detector")
        yield self._gauge("info", "What makes the readings; always 1", about, *names)
        yield self._gauge("uptime_seconds", "Since the process started, by a clock that is never set", told.uptime_s)
        states = [((state,), state == told.state) for state in CAMERA_STATES]
        yield self._gauge("camera_state", "1 for the state that the run is in, 0 for the others", states, "state")
        yield self._counter("camera_losses", "How often the camera was lost", told.losses)
        yield self._counter("camera_gap_seconds", "Without a frame, of losses that are over", told.gaps_s)

    def _frames(self) -> Iterator[Metric]:
        told = self._metrics
        yield self._counter("frames_read", "Pictures that came from the camera, readable or not", told.read)
        yield self._counter("frames_processed", "Frames that went all the way", told.processed)
        yield self._counter("frames_idle", "Of these, without a search: nothing had changed", told.idle)
        yield self._counter("frames_with_face", "Of these, with a face that was read", told.with_face)
        drops = {**dict.fromkeys(DROPS, 0), **told.drops}
        yield self._counter("frames_dropped", "Pictures that were not processed", _labelled(drops), "reason")
        waited = [] if (waited_s := told.waited_s) is None else [((), waited_s)]
        yield self._gauge("since_last_frame_seconds", "Since the last processed frame was taken", waited)
        yield self._histogram("frame_age_seconds", "From a frame's capture to its readings", [((), told.ages)])
        stages = [((stage,), times) for stage, times in dict(told.stages).items()]
        yield self._histogram("stage_duration_seconds", "The work on a frame, by stage", stages, "stage")

    def _seen(self) -> Iterator[Metric]:
        told = self._metrics
        yield self._gauge("faces", "Faces read in the last frame", told.faces)
        yield self._counter("faces_skipped", "Faces beyond the most that are read", told.skipped)
        what = "expression"
        yield self._counter("readings", "Faces read, by what that frame alone shows", _labelled(told.readings), what)
        yield self._counter(
            "steady_readings", "The same by the steadied label, or unsure", _labelled(told.steady), what
        )
        yield self._counter(
            "unsure_readings", "Those that were unsure, by what made them so", _labelled(told.unsure), "why"
        )
        yield self._counter("episodes", "Episodes that ended", _labelled(told.episodes), what)
        yield self._counter("expression_seconds", "Seconds of faces, a minute late", _labelled(told.labels_s), what)
        yield self._counter("watch_seconds", "Seconds of the run, a minute late", _labelled(told.spent_s), "spent")

    def _journal(self) -> Iterator[Metric]:
        written_bytes, lost, writable = self._metrics.journal
        yield self._counter("journal_written_bytes", "Written to the journal's disk and forced", written_bytes)
        yield self._counter("journal_lost_lines", "Lines that the journal could not keep", lost)
        yield self._gauge("journal_writable", "1, or 0 while lines wait for a disk that fails", writable)

    def _machine(self) -> Iterator[Metric]:
        seen = self._metrics.health
        voltage = None if seen is None else seen.undervoltage
        yield self._gauge("undervoltage", "1 while the power supply is too weak", _optional(voltage))
        now, since = (None, None) if seen is None else (seen.throttled_now, seen.throttled_since_boot)
        yield self._gauge("throttled", "1 while that holds the processor back", _bit_values(now), "by")
        yield self._gauge("throttled_since_boot", "1 if that ever did since boot", _bit_values(since), "by")
        degrees = None if seen is None else seen.temperature_c
        yield self._gauge("temperature_celsius", "Of the processor", _optional(degrees))
        free_bytes = None if seen is None else seen.disk_free_bytes
        yield self._gauge("disk_free_bytes", "Where the journal is", _optional(free_bytes))
        clocks = [] if seen is None else [((state,), state == seen.clock) for state in CLOCK_STATES]
        yield self._gauge("clock_state", "1 for what is known of the wall clock, 0 for the others", clocks, "state")

    def _counter(self, name: str, says: str, values: Any, *labels: str) -> Metric:
        return self._filled(self._core.CounterMetricFamily(f"fer_edge_{name}", says, None, ("camera", *labels)), values)

    def _gauge(self, name: str, says: str, values: Any, *labels: str) -> Metric:
        return self._filled(self._core.GaugeMetricFamily(f"fer_edge_{name}", says, None, ("camera", *labels)), values)

    def _filled(self, family: Any, values: float | Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """`family` with one value, or with each of several behind the values of its labels."""
        for labels, value in [((), values)] if isinstance(values, int | float) else values:
            family.add_metric([self._metrics.camera, *labels], float(value))
        return family

    def _histogram(
        self, name: str, says: str, values: Iterable[tuple[tuple[str, ...], Histogram]], *labels: str
    ) -> Metric:
        family = self._core.HistogramMetricFamily(f"fer_edge_{name}", says, None, None, ("camera", *labels))
        for named, times in values:
            family.add_metric([self._metrics.camera, *named], _buckets(times.counts), times.sum_s)
        return family


def _buckets(counts: Iterable[int]) -> list[tuple[str, float]]:
    """Each bound as text, and how many did not exceed it."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKET_BOUNDS_S), "+Inf"), tuple(counts), strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _labelled(values: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), value) for name, value in dict(values).items()]  # a copy: another thread counts on


def _optional(value: float | None) -> list[tuple[tuple[str, ...], float]]:
    return [] if value is None else [((), value)]


def _bit_values(bits: Iterable[str] | None) -> list[tuple[tuple[str, ...], float]]:
    return [] if bits is None else [((bit,), bit in bits) for bit in BITS]
