"""The table of false positives and missed faces by detection threshold, the score from which on a box counts as a face.

False positives are counted on scenes without a face, missed faces on scenes with one of the validation part, of 60 to 460 px.
Both are given for the score of the box itself, and for the evidence, which is the mean of two networks' scores where there are
two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from convert.crops.faceless_scenes import faceless_scenes
from convert.crops.synthetic_scenes import scenes, with_progress_bar
from convert.data.samples import Samples
from fer_edge.detection.registry import begin_evidence
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import NotEnoughData
from fer_edge.json_fields import to_json

PICTURES = 1936  # without a face, a quarter of each kind
THRESHOLDS = (0.4, 0.45, 0.5, 0.54, 0.56, 0.57, 0.58, 0.59, 0.6, 0.62, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
SIZES_PX = (60, 460)


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """What a threshold does: the false positives that reach it, and the found faces that do not, by score and by evidence."""

    threshold: float
    false_by_score: int
    lost_by_score: int
    false_by_evidence: int
    lost_by_evidence: int


@dataclass(frozen=True, slots=True)
class DetectionErrorTable:
    """The thresholds of a detector. `begin` is the one on the evidence at which the device begins a track.

    `found` of `faces` faces have a box at all; `false_kinds` counts the false positives at `begin` by kind of scene.
    """

    detector: str
    begin: float
    seed: int
    pictures: dict[str, int]  # without a face, by kind
    faces: int
    found: int
    false_kinds: dict[str, int]
    thresholds: tuple[ScoreThreshold, ...]

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        values: dict[str, Any] = to_json(self)
        return values


def measure_detection_errors(
    samples: Samples, detector: Detector, faces: int, pictures: int, seed: int
) -> DetectionErrorTable:
    """The table of a detector on `faces` validation faces and `pictures` without a face.

    Raises NotEnoughData without a validation part.
    """
    part = samples.part("validation")
    if not len(part.y):
        raise NotEnoughData("the set has no validation part, so there are no faces")
    faceless = with_progress_bar(faceless_scenes(samples, pictures, seed), pictures, "pictures without a face")
    false = [(scene.kind, detector.detect(scene.gray)) for scene in faceless]
    true: list[list[Face]] = []
    n = 0
    for scene in with_progress_bar(scenes(part, faces, SIZES_PX, seed), faces, "faces"):
        n += 1
        true.append([face for face in detector.detect(scene.gray) if scene.shows(face.xywh)])
    found = [shown for shown in true if shown]
    boxes = [face for _, shown in false for face in shown]
    begin = begin_evidence(detector.name)
    return DetectionErrorTable(
        detector=detector.name,
        begin=begin,
        seed=seed,
        pictures=dict(Counter(kind for kind, _ in false)),
        faces=n,
        found=len(found),
        false_kinds=dict(Counter(kind for kind, shown in false for face in shown if face.evidence >= begin)),
        thresholds=tuple(
            ScoreThreshold(
                threshold,
                sum(face.score >= threshold for face in boxes),
                sum(all(face.score < threshold for face in shown) for shown in found),
                sum(face.evidence >= threshold for face in boxes),
                sum(all(face.evidence < threshold for face in shown) for shown in found),
            )
            for threshold in sorted({*THRESHOLDS, begin})
        ),
    )


def detection_error_text(table: DetectionErrorTable) -> str:
    """The table as text."""
    n = sum(table.pictures.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in table.pictures.items())
    lines = [
        f"{table.detector}: {n:,} pictures without a face ({kinds}); {table.faces:,} validation faces of "
        f"{SIZES_PX[0]} to {SIZES_PX[1]} px, {table.found:,} with a box; seed {table.seed}",
        "",
        f"{'':9}{'score of the box':>29}{'evidence':>34}",
        f"{'threshold':9}{'false positives':>17}{'missed faces':>14}{'false positives':>20}{'missed faces':>14}",
    ]
    for row in table.thresholds:
        mark = "  a track begins" if row.threshold == table.begin else ""
        lost = [f"{count / max(1, table.found):.1%}" for count in (row.lost_by_score, row.lost_by_evidence)]
        lines.append(
            f"{row.threshold:<9g}{row.false_by_score:>17,}{lost[0]:>14}{row.false_by_evidence:>20,}{lost[1]:>14}{mark}"
        )
    if table.false_kinds:
        lines += [
            "",
            "false positives there: " + ", ".join(f"{kind} {count}" for kind, count in table.false_kinds.items()),
        ]
    return "\n".join(lines)
