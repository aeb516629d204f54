"""The bodies of events: their types, and those that a run builds from its parts and its frames.

What each field means is in `fer_edge.events.KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict

from device.camera.framing import Framing
from device.camera.source import Source
from device.config import Settings
from device.config_sources import settings_digest
from device.vision.pipeline import Pipeline
from device.vision.prior import prior_by_label
from device.vision.readings import Reading
from fer_edge import __version__
from fer_edge.events import SCHEMA
from fer_edge.face_crop import PREPROCESS_ID
from fer_edge.label_priors import training_prior

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle
    from fer_edge.events import Event
    from fer_edge.golden_check import Verification


class BundleName(TypedDict):
    """Which bundle makes the readings."""

    name: str
    sha256: str


class VerifiedBody(TypedDict):
    """How far the classifier's logits lie from the bundle's golden vectors, on this machine."""

    runtime: str
    compared_with: str
    proved: bool | None
    steps: float
    crop_levels: int


class HeaderBody(TypedDict):
    """The body of a `header` event."""

    schema: int
    software: str
    name: str
    settings: str
    bundle: BundleName
    labels: list[str]
    thresholds: NotRequired[dict[str, float | None]]
    training_prior: dict[str, float]
    preprocess: str
    detector: str
    runtime: str
    verified: VerifiedBody
    camera: dict[str, object]
    start_s: dict[str, float]
    continues: NotRequired[str]


class CameraBody(TypedDict):
    """The body of a `camera` event; `reason` is that of a loss, `gap_s` the time without a frame."""

    state: str
    reason: NotRequired[str]
    gap_s: NotRequired[float]
    camera: dict[str, str | float]


class ReadingBody(TypedDict):
    """The body of a `reading` event."""

    frame: int
    track: int | None
    xywh: list[int]
    score: float
    label: str
    p: list[float]
    quality: float | None
    steady: NotRequired[str]
    steady_p: NotRequired[list[float]]
    why: NotRequired[str]
    age_ms: NotRequired[float | None]


class EpisodeBody(TypedDict):
    """The body of an `episode` event."""

    track: int | None
    label: str
    start_mono_s: float
    end_mono_s: float
    dwell_s: float
    frames: int
    p: list[float]
    quality: float | None
    ended: str


class TallyBody(TypedDict):
    """The body of a `tally` event."""

    from_mono_s: float
    seconds: float
    observed_s: float
    unavailable_s: float
    paused_s: float
    face_s: float
    labels_s: dict[str, float]
    unsure_s: dict[str, float]
    faces_max: int
    faces_skipped: int
    frames: dict[str, int]
    frames_idle: int
    drops: dict[str, int]
    prior: NotRequired[dict[str, float]]


class HealthBody(TypedDict):
    """The body of a `health` event."""

    undervoltage: bool | None
    throttled_now: tuple[str, ...] | None
    throttled_since_boot: tuple[str, ...] | None
    temperature_c: float | None
    disk_free_bytes: int | None
    power_source: str
    changed: list[str]


ClockBody = TypedDict("ClockBody", {"offset_s": float, "from": str, "to": str})


class RepairBody(TypedDict):
    """The body of a `repair` event."""

    segment: str
    cut_bytes: int


class PauseBody(TypedDict):
    """The body of a `pause` event, and of a `resume` event with `paused_s`."""

    by: str
    paused_s: NotRequired[float]


class EndBody(TypedDict):
    """The body of an `end` event."""

    reason: str
    seconds: float
    frames: dict[str, int]
    frames_idle: int
    drops: dict[str, int]
    faces: int
    faces_skipped: int
    readings: int
    start_s: dict[str, float]


EventBody = (
    HeaderBody
    | CameraBody
    | ReadingBody
    | EpisodeBody
    | TallyBody
    | HealthBody
    | ClockBody
    | RepairBody
    | PauseBody
    | EndBody
)


class RecordEvent(Protocol):
    """A function that records an event: its kind, its body, and when it happened (None: now)."""

    def __call__(self, kind: str, body: EventBody, mono_ns: int | None = None) -> Event: ...


class SettingsFields(TypedDict):
    """The fields of a `header` that follow from settings which may change during a run."""

    settings: str
    thresholds: NotRequired[dict[str, float | None]]


def settings_fields(settings: Settings, bundle: Bundle) -> SettingsFields:
    """The digest of the settings, and the bundle's thresholds where they are used."""
    fields: SettingsFields = {"settings": settings_digest(settings)}
    by_label = bundle.spec.thresholds.labels
    if by_label and settings.unsure_below is None:
        fields["thresholds"] = dict(by_label.below)
    return fields


def header_body(
    settings: Settings,
    pipeline: Pipeline,
    verified: Verification,
    source: Source,
    framing: Framing,
    start_s: Mapping[str, float],
) -> HeaderBody:
    """The body of the run's `header` event, the first line of each segment."""
    bundle, fields = pipeline.bundle, settings_fields(settings, pipeline.bundle)
    description = framing.describe()
    framed = {"framing": description} if description else {}
    body: HeaderBody = {
        "schema": SCHEMA,
        "software": f"fer-edge {__version__}",
        "name": settings.name,
        "settings": fields["settings"],
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "labels": list(bundle.labels),
        "training_prior": prior_by_label(bundle.labels, training_prior(bundle.spec)),
        "preprocess": PREPROCESS_ID,
        "detector": pipeline.detector.name,
        "runtime": bundle.classifier.runtime.id,
        "verified": {
            "runtime": verified.runtime,
            "compared_with": verified.compared_with,
            "proved": verified.proved,
            "steps": round(verified.difference.steps, 2),
            "crop_levels": verified.crop_levels,
        },
        "camera": {"live": source.live, **source.describe().to_json(), **framed},
        "start_s": dict(start_s),
    }
    if "thresholds" in fields:
        body["thresholds"] = fields["thresholds"]
    return body


def reading_body(reading: Reading, age_ms: float | None) -> ReadingBody:
    """The body of a `reading` event; `age_ms` is None for a recording."""
    body: ReadingBody = {
        "frame": reading.frame,
        "track": reading.track,
        "xywh": list(reading.face.xywh),
        "score": round(reading.face.score, 3),
        "label": reading.label,
        "p": [round(p, 4) for p in reading.probs.tolist()],
        "quality": reading.quality,
    }
    if reading.steady_probs is not None:
        body["steady"] = reading.steady
        body["steady_p"] = [round(p, 4) for p in reading.steady_probs.tolist()]
        if reading.why:
            body["why"] = reading.why
    body["age_ms"] = None if age_ms is None else round(age_ms, 1)
    return body
