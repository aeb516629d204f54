"""The result of a comparison: every model with its metrics, and every pair of our model and a peer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fer_edge.errors import UsageError
from tests.bench.latency import Latency
from tests.bench.model_metrics import Difference, Standing

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: what it is, what a user of it ships, and how it did."""

    name: str
    ours: bool
    origin: str  # registry, package and version; for ours the runtime that gave the logits
    files: dict[str, str]  # name: SHA-256
    bytes: int  # of these files
    side: int  # px of the square input
    parameters: int | None  # these two are counted in a TFLite file; None for other formats
    multiply_adds: int | None
    trained_on: str
    standings: dict[str, Standing]  # by the name of the set of images
    latency: Latency | None  # None for what LiteRT does not run


@dataclass(frozen=True, slots=True)
class Pair:
    """One of ours and one peer on one set of images."""

    ours: str
    peer: str
    images: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole of a run. The first of `sets` is the one that the picture shows."""

    data: str  # name of the data set
    data_sha256: str
    sets: dict[str, int]  # name of a set of images: how many
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    reference: str  # the model that the ratios of latency are to
    host: str
    load: float  # the host's load average of the last minute when timing ended; over 1 others were at work too
    runtime: str
    versions: dict[str, str]
    draws: int  # of each bootstrap
    are_times_earlier: bool = False  # host, load and latencies are those of an earlier run of the same networks

    def with_times_of(self, earlier: dict[str, Any]) -> Comparison:
        """The same with host, load and latencies of an earlier run of the same networks, as `to_json` gave it.

        Raises UsageError when that run did not time one of them, or a network with another number of multiply-adds.
        """
        timed = {entry["name"]: entry for entry in earlier["entries"] if entry["latency"]}
        for entry in self.entries:
            same = entry.name in timed and timed[entry.name]["multiply_adds"] == entry.multiply_adds
            if entry.latency and not same:
                raise UsageError(f"the earlier run did not time this network of {entry.name}; time it anew")
        entries = tuple(
            replace(e, latency=Latency(**timed[e.name]["latency"])) if e.latency else e for e in self.entries
        )
        return replace(self, entries=entries, host=earlier["host"], load=earlier["load"], are_times_earlier=True)

    def to_json(self) -> dict[str, Any]:
        """The run as JSON takes it, numbers to six digits."""
        rounded: dict[str, Any] = _rounded({"format": FORMAT, **asdict(self)})
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
