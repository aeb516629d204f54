"""Golden vectors: frames of the synthetic face, their crops, and the logits of a bundle on each runtime and kernel path.

A bundle gets them when it is made. `rewrite` makes them again for an existing bundle; logits of other machines stay while
the model and the crops are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.bundle.bundle_update import update_bundle
from convert.parity.runtime_logits import ClassifierOn, measured_elsewhere, measured_here
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.bundle_spec import BundleSpec, GoldenLimits, GoldenSummary, InputSpec
from fer_edge.classifier import Classifier, Runtime
from fer_edge.console import message
from fer_edge.errors import BundleRefused
from fer_edge.face_crop import IDENTITY, frame_crop
from fer_edge.golden_vectors import CROP_TOLERANCE, FLOOR, FORMAT, Golden, output_step
from fer_edge.logit_difference import LARGEST_DIFFERENCE, LogitDifference
from fer_edge.record_logits import images_sha256
from fer_edge.synthetic_face import face_box, face_frame

WIDTH_PX, HEIGHT_PX = 320, 240
NAME = "golden.npz"


@dataclass(frozen=True, slots=True)
class View:
    """A frame to render: its time, its size, its tilt, and whether the frame's left edge cuts the face."""

    t_s: float
    width_px: int = WIDTH_PX
    height_px: int = HEIGHT_PX
    tilt_deg: float = 0.0  # clockwise in the picture
    cut_off: bool = False


# Every path that a crop takes: shrunk, turned, the border repeated, enlarged, turned and enlarged, averaged and turned.
VIEWS = (
    View(0.0),
    View(1.7, tilt_deg=14.0),
    View(3.1, cut_off=True),
    View(5.3, width_px=128, height_px=96),
    View(7.9, tilt_deg=-20.0),
    View(11.2, width_px=128, height_px=96, tilt_deg=9.0),
    View(14.6, cut_off=True, tilt_deg=-8.0),
    View(18.4, width_px=640, height_px=480, tilt_deg=-11.0),
)

Rendered = tuple[np.ndarray, tuple[int, int, int, int], np.ndarray]


def render(view: View) -> Rendered:
    """Frame uint8 (240, 320), the face's box xywh in px and its eyes float64 (2, 2) as x and y in px."""
    import cv2

    frame = face_frame(view.t_s, view.width_px, view.height_px)
    x, y, w, h = face_box(view.t_s, view.width_px, view.height_px)
    unit = w / 1.05  # the face's width, as fer_edge.synthetic_face has it; its eyes lie .15 above the box's middle
    middle = np.array([x + w / 2, y + h / 2])
    eyes = middle + np.array([[-0.19, -0.15], [0.19, -0.15]]) * unit
    frame = np.pad(frame, ((0, max(0, HEIGHT_PX - len(frame))), (0, max(0, WIDTH_PX - frame.shape[1]))), mode="edge")
    if view.tilt_deg:
        turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -view.tilt_deg, 1.0)
        frame = cv2.warpAffine(frame, turn, frame.shape[::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
        eyes = eyes @ turn[:, :2].T + turn[:, 2]
    if frame.shape != (HEIGHT_PX, WIDTH_PX):  # of a large frame, the part around the face
        left = round(min(max(middle[0] - WIDTH_PX / 2, 0), frame.shape[1] - WIDTH_PX))
        top = round(min(max(middle[1] - HEIGHT_PX / 2, 0), frame.shape[0] - HEIGHT_PX))
        frame = np.ascontiguousarray(frame[top : top + HEIGHT_PX, left : left + WIDTH_PX])
        x, y, eyes = x - left, y - top, eyes - np.array([left, top])
    if view.cut_off:
        cut = x + w // 6
        frame = np.pad(frame[:, cut:], ((0, 0), (0, cut)), mode="edge")
        x, eyes = x - cut, eyes - np.array([cut, 0.0])
    return frame, (x, y, w, h), eyes


def write_golden(
    path: Path,
    labels: Sequence[str],
    inputs: InputSpec,
    classifier_on: ClassifierOn,
    which: str = "all",
    recorded: Sequence[Path] = (),
) -> GoldenSummary:
    """The summary, for bundle.json, of the golden vectors that were written to `path` beside model.tflite.

    `labels` and `inputs` are those of bundle.json. `classifier_on(runtime, kernels)` gives the bundle's classifier
    on each runtime of SETS[`which`]; `recorded` are files of other machines. The limits are the largest difference between
    two runtimes plus the floor of fer_edge.golden_vectors, and LARGEST_DIFFERENCE at most; a larger one is reported.
    """
    model, mappings = path.with_name("model.tflite"), inputs.mappings
    names = [*mappings] or ["none"]
    rendered = [render(view) for view in VIEWS]
    detectors = tuple(names[i % len(names)] for i in range(len(rendered)))
    crops = np.stack(
        [
            frame_crop(frame, box, inputs.side, mappings.get(name, IDENTITY), _points(eyes))[0]
            for (frame, box, eyes), name in zip(rendered, detectors, strict=True)
        ]
    )
    classifiers: list[Classifier] = []

    def recorded_classifier(runtime: Runtime, kernels: str) -> Classifier:
        classifier = classifier_on(runtime, kernels)
        classifiers.append(classifier)
        return classifier

    runtimes = [
        *measured_here(recorded_classifier, crops, which),
        *measured_elsewhere(recorded, model.read_bytes(), crops),
    ]
    first, logits = classifiers[0], runtimes[0].logits
    golden = Golden(
        frames=np.stack([frame for frame, _, _ in rendered]),
        boxes=np.array([box for _, box, _ in rendered], np.int32),
        eyes=np.stack([eyes for _, _, eyes in rendered]),
        detectors=detectors,
        mappings=mappings,
        crops=crops,
        crop_sha256=tuple(hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops),
        crop_tolerance=CROP_TOLERANCE,
        input_values=first.input_values,
        output_kind=first.output_kind,
        output_step=output_step(first.output_range, np.exp(logits) if first.output_kind == "probabilities" else logits),
        labels=tuple(labels),
        model_sha256=sha256_of(model),
        logits={},
        measured=LogitDifference(0.0, 0.0, 0.0),
        limits=FLOOR,
        other_limits=FLOOR,
    )
    golden = golden.with_logits({**_previous_logits(path, golden), **{row.name: row.logits for row in runtimes}})
    golden.save(path)
    if golden.measured.exceeds(LARGEST_DIFFERENCE):
        message(f"warning: {_disagreement(golden)}")
    return describe(golden)


def describe(golden: Golden) -> GoldenSummary:
    """The summary of golden vectors in bundle.json."""
    return GoldenSummary(
        format=FORMAT,
        crops=len(golden.crops),
        crops_sha256=images_sha256(golden.crops),
        runtimes=tuple(golden.logits),
        output_step=golden.output_step,
        measured=golden.measured,
        limits=GoldenLimits(same_runtime=golden.limits, other_runtime=golden.other_limits),
        crop_tolerance=golden.crop_tolerance,
    )


def _disagreement(golden: Golden) -> str:
    """The sentence for runtimes that differ by more than a bundle may allow."""
    one, other = golden.farthest_runtimes()
    apart, most = golden.measured, LARGEST_DIFFERENCE
    return (
        f"{one} and {other} differ by {apart.steps:.3g} output steps on the same crops (of all: RMS {apart.rms_steps:.3g},"
        f" scale {apart.slope:.1%}); at most {most.steps:g} (RMS {most.rms_steps:g}, scale {most.slope:.0%}) are allowed on a"
        " runtime without golden vectors of its own, which may be refused; add those of each device's runtime with `python -m"
        " convert.golden`"
    )


def rewrite(folder: Path, which: str = "all", recorded: Sequence[Path] = ()) -> Bundle:
    """The bundle in `folder` with new golden vectors; its other files stay. It is replaced whole, or left as it was."""
    bundle = Bundle.load(folder)

    def change(fresh: Path, spec: BundleSpec) -> BundleSpec:
        golden = write_golden(fresh / NAME, spec.labels, spec.input, bundle.make_classifier, which, recorded)
        return replace(spec, golden=golden)

    return update_bundle(folder, change)


def _previous_logits(path: Path, golden: Golden) -> dict[str, np.ndarray]:
    """The logits in the file that is replaced, where they are of the same model and crops; else none."""
    if not path.is_file():
        return {}
    try:
        old = Golden.load(path)
    except BundleRefused:  # damaged: it is written anew
        return {}
    same = old.model_sha256 == golden.model_sha256 and old.crop_sha256 == golden.crop_sha256
    same = same and np.array_equal(old.input_values, golden.input_values) and old.output_kind == golden.output_kind
    return old.logits if same else {}


def _points(eyes: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    (ax, ay), (bx, by) = eyes.tolist()
    return (ax, ay), (bx, by)
