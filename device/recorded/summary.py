"""The summary of a labelled recording: what made its rows, from which video, and counts; the file beside each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Setting = str | int | float | bool | list[float] | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What makes rows. Two labellers with equal provenance make the same rows of a recording."""

    software: str
    bundle: Mapping[str, str]  # name, sha256
    labels: tuple[str, ...]
    preprocess: str
    detector: str
    runtime: str
    settings: Mapping[str, Setting]  # those that rows depend on
    versions: Mapping[str, str]  # python, numpy, opencv, machine

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {**asdict(self), "labels": list(self.labels)}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Provenance:
        """The inverse of `to_json`. Raises TypeError or KeyError when a field is missing or unknown."""
        return Provenance(**{**fields, "labels": tuple(fields["labels"])})


@dataclass(frozen=True, slots=True)
class FileState:
    """One state of a recording's file: name without its folder, size, time of the last change.

    `version`: the mark of the content that a store gave (ETag), None for a file of this machine.
    """

    name: str
    bytes: int
    mtime_ns: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class VideoProperties:
    """What the container says. `container_frames`: its number of frames, 0 when it has none.

    `assumed_fps`: the rate that was assumed for a raw recording without times.
    """

    width_px: int | None
    height_px: int | None
    fps: float
    container_frames: int
    assumed_fps: float | None = None


@dataclass(frozen=True, slots=True)
class RowCount:
    """The table: its number of rows, its columns, and its size once it is closed."""

    rows: int
    columns: tuple[str, ...]
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedFile:
    """The annotated video: its size, and whether faces are `pixelated` or `shown`."""

    bytes: int
    faces: str


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """What became of one recording that was labelled."""

    made_by: Provenance
    source: FileState
    video: VideoProperties
    frames: int
    frames_without_face: int
    faces_skipped: int  # beyond max_faces
    seconds: float
    whole: bool  # read to the end that the container states
    rows: RowCount
    annotated: AnnotatedFile | None = None
    gap_s: tuple[float, float] | None = None  # the longest time without a frame, where it is unusually long

    def to_json(self) -> dict[str, Any]:
        """The content of the file beside the table; without the sizes that are not known before the table is closed."""
        rows: dict[str, Any] = {"rows": self.rows.rows, "columns": list(self.rows.columns)}
        fields = {**asdict(self), "made_by": self.made_by.to_json(), "rows": rows}
        if self.source.version is None:
            del fields["source"]["version"]
        if self.video.assumed_fps is None:
            del fields["video"]["assumed_fps"]
        if self.gap_s is None:
            del fields["gap_s"]
        if self.rows.bytes is None:
            del fields["annotated"]
        else:
            rows["bytes"] = self.rows.bytes
        return fields

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> LabelSummary:
        """The inverse of `to_json`. Raises TypeError or KeyError when a field is missing or unknown."""
        rows, annotated = fields["rows"], fields["annotated"]
        values = {
            **fields,
            "made_by": Provenance.from_json(fields["made_by"]),
            "source": FileState(**fields["source"]),
            "video": VideoProperties(**fields["video"]),
            "rows": RowCount(**{**rows, "columns": tuple(rows["columns"])}),
            "annotated": None if annotated is None else AnnotatedFile(**annotated),
            "gap_s": tuple(fields["gap_s"]) if "gap_s" in fields else None,
        }
        return LabelSummary(**values)
