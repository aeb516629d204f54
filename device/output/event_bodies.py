"""The bodies of events that a run has at hand: its header, and a reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from device.camera.framing import Framing
from device.camera.source import Source
from device.config import Settings
from device.config_sources import settings_digest
from device.vision.pipeline import Pipeline
from device.vision.readings import Reading
from fer_edge import __version__
from fer_edge.events import SCHEMA
from fer_edge.preprocess import PREPROCESS_ID

if TYPE_CHECKING:
    from fer_edge.verify import Verification


def header_body(
    settings: Settings,
    pipeline: Pipeline,
    verified: Verification,
    source: Source,
    framing: Framing,
    start_s: Mapping[str, float],
) -> dict[str, Any]:
    """What the first line of each segment says of the run."""
    bundle = pipeline.bundle
    description = framing.describe()
    framed = {"framing": description} if description else {}
    return {
        "schema": SCHEMA,
        "software": f"fer-edge {__version__}",
        "name": settings.name,
        "settings": settings_digest(settings),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "labels": list(bundle.labels),
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


def reading_body(reading: Reading, age_ms: float | None) -> dict[str, Any]:
    """What a reading says; `age_ms` is None for a recording."""
    return {
        "frame": reading.frame,
        "track": reading.track,
        "xywh": list(reading.face.xywh),
        "score": round(reading.face.score, 3),
        "label": reading.label,
        "p": [round(p, 4) for p in reading.probs.tolist()],
        "quality": reading.quality,
        **_steady(reading),
        "age_ms": None if age_ms is None else round(age_ms, 1),
    }


def _steady(reading: Reading) -> dict[str, Any]:
    if reading.steady_probs is None:
        return {}
    told: dict[str, Any] = {"steady": reading.steady, "steady_p": [round(p, 4) for p in reading.steady_probs.tolist()]}
    return {**told, "why": reading.why} if reading.why else told
