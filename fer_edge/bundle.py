"""The bundle: a folder with everything that a device needs to know of a model. It is complete and unaltered, or refused.

    model.tflite    int8, raw gray in, logits out
    bundle.json     labels in order, input, mapping per detector, thresholds, provenance, SHA-256 of the other files
    golden.npz      synthetic frames, boxes, crops, and the logits that each runtime gave for them (fer_edge.golden_vectors)
    parity.json     the comparison of the float model with this one, and the verdict
    CARD.md         the same for people

and for the host only, which a device neither needs nor reads:

    float.keras       the float model
    history.json      how it was trained, epoch by epoch
    calibration.json  the images on which the ranges were searched; for a data set, which of its images
    synthetic.npz     synthetic images made from the model, for calibration and parity where there are no data
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.bundle_files import checked_content, read_content
from fer_edge.bundle_spec import BundleSpec, RuntimeClaim
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.face_crop import IDENTITY, PREPROCESS_ID, CropMapping, crop_square, frame_crop
from fer_edge.json_fields import parse_json
from fer_edge.limits import JSON_BYTES
from fer_edge.quality import Quality, crop_quality
from fer_edge.shipped_bundles import bundle_folder, near_names, shipped_models

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.classifier import Classifier, Runtime
    from fer_edge.detection.types import Face

REQUIRED_FILES = ("model.tflite", "golden.npz", "parity.json", "CARD.md")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked. `spec` is the whole of bundle.json."""

    path: Path
    sha256: str  # of bundle.json, which holds the hashes of the rest: the bundle's identity in logs
    spec: BundleSpec
    contents: Mapping[str, bytes] = field(
        repr=False, compare=False
    )  # of REQUIRED_FILES: the bytes whose hashes were checked

    @staticmethod
    def load(path: Path | str | None = None) -> Bundle:
        """The bundle in folder `path`, its files checked against their hashes.

        None is the one in use on this machine (`fer-edge bundle use`), else the default; "edge-mixed", "edge" and "nano" are
        those of the package, "large" and "edge-votes" of a checkout, unless there is a folder of that name. Raises UsageError
        when there is none, BundleRefused when a file is missing or altered or has another format.
        """
        if path is None:
            from fer_edge.active_bundle import active_bundle_path

            path = active_bundle_path()
        folder = bundle_folder(path)
        if not (folder / "bundle.json").is_file():
            if not folder.exists() and len(folder.parts) == 1:
                raise UsageError(f"there is no bundle {folder}: {near_names(str(folder))}")
            raise UsageError(
                f"{folder} is not a bundle: it has no bundle.json; `python -m convert.quantize` writes one"
            )
        raw = read_content(folder / "bundle.json", JSON_BYTES)
        try:
            values = parse_json(raw)
        except ValueError as error:
            raise BundleRefused(f"{folder / 'bundle.json'} cannot be read ({error}); copy the bundle again") from error
        spec = BundleSpec.from_json(values, str(folder / "bundle.json"))
        if spec.input.preprocess != PREPROCESS_ID:
            raise BundleRefused(
                f"{folder} needs crops made by “{spec.input.preprocess}”; this version makes them by “{PREPROCESS_ID}”"
            )
        contents = {name: checked_content(folder, name, spec.files) for name in REQUIRED_FILES}
        return Bundle(path=folder, sha256=hashlib.sha256(raw).hexdigest(), spec=spec, contents=contents)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.spec.name

    @property
    def installed_name(self) -> str:
        """The name under which it is installed: its own, in the characters of file names, and the start of its SHA-256."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.name).strip(".-")[:40]
        return f"{name or 'bundle'}-{self.sha256[:12]}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the model's outputs."""
        return self.spec.labels

    @property
    def side(self) -> int:
        """The side of the square input, in px."""
        return self.spec.input.side

    @property
    def temperature(self) -> float:
        """The number that divides the logits before softmax."""
        return self.spec.thresholds.temperature

    @property
    def runtimes(self) -> tuple[RuntimeClaim, ...]:
        """The runtimes on which the model was compared with its float model."""
        return self.spec.runtimes

    def mapping(self, detector: str) -> CropMapping:
        """How boxes of the detector called `detector` become this model's crop; the box itself for an unknown detector."""
        return self.spec.input.mappings.get(detector, IDENTITY)

    @property
    def model(self) -> Path:
        """The int8 model's file."""
        return self.path / "model.tflite"

    @property
    def is_shipped_or_installed(self) -> bool:
        """Whether its model came with the package, or was installed on this machine, where it ran."""
        from fer_edge.active_bundle import bundles_folder

        path, model = self.path.absolute(), self.spec.files["model.tflite"].sha256
        return path.parent == bundles_folder().absolute() / "releases" or model in shipped_models()

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier of this bundle on the first runtime installed, one thread; made once."""
        return self.make_classifier()

    def make_classifier(self, runtime: Runtime | None = None, kernels: str = "default", threads: int = 1) -> Classifier:
        """A classifier of this bundle; `runtime` is the first one installed when None.

        Raises BundleRefused when the model does not fit bundle.json, UsageError without a runtime.
        """
        from fer_edge.classifier import Classifier, find_runtime

        spec, runtime, content = self.spec, runtime or find_runtime(), self.contents["model.tflite"]
        self.try_unknown_model(runtime, kernels)
        classifier = Classifier(
            content,
            runtime,
            threads,
            kernels,
            input_range=spec.input.range,
            output_kind=spec.output.kind,
            smallest_probability=spec.output.smallest_probability,
        )
        if (classifier.side, classifier.classes) != (self.side, len(self.labels)):
            raise BundleRefused(
                f"{self.model} takes {classifier.side} px and gives {classifier.classes} classes; "
                f"bundle.json says {self.side} px and {len(self.labels)}; copy the bundle again"
            )
        return classifier

    def try_unknown_model(self, runtime: Runtime, kernels: str = "default") -> None:
        """Runs the model in a child process first, unless it was shipped or installed. Raises BundleRefused when that fails."""
        from fer_edge.model_trial import try_model

        if not self.is_shipped_or_installed:
            try_model(self.contents["model.tflite"], self.model, runtime, kernels)

    def classify(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities float32 (N, K) of crops uint8 (N, side, side), by this bundle's temperature.

        Raises UsageError for crops of another shape or type, and as `make_classifier`.
        """
        return self.classifier.probabilities(crops, self.temperature)

    def crop(self, gray: np.ndarray, face: Face, detector: str) -> np.ndarray:
        """The model's input, uint8 (side, side), of a face that the detector called `detector` found in `gray`.

        `gray` is uint8 (H, W). Raises UsageError when the face's square does not touch it.
        """
        return frame_crop(gray, face.xywh, self.side, self.mapping(face.detector or detector), face.eyes)[0]

    def quality(self, crop: np.ndarray, gray: np.ndarray, face: Face, detector: str) -> Quality:
        """The quality of `crop`, 0–1, and what limits it.

        `crop` is uint8 (side, side), as `Bundle.crop` cut it from `gray` uint8 (H, W). `detector` names the detector that found
        `face`.
        """
        side_px = crop_square(face.xywh, self.mapping(face.detector or detector), gray.shape)[2]
        return crop_quality(crop, face, side_px)

    def classify_faces(self, gray: np.ndarray, faces: Sequence[Face], detector: str) -> np.ndarray:
        """Probabilities float32 (N, K) of faces that the detector called `detector` found in `gray` uint8 (H, W).

        N may be 0. Raises as `crop` and `classify`.
        """
        import numpy as np

        crops = [self.crop(gray, face, detector) for face in faces]
        return self.classify(np.stack(crops) if crops else np.empty((0, self.side, self.side), np.uint8))
