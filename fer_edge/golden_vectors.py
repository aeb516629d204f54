"""Golden vectors: a few synthetic frames with the crops and logits that a bundle gave for them when it was made.

In golden.npz, for N frames, M mappings and K classes:

    format                    1
    frames                    uint8 (N, H, W), with a synthetic face
    boxes, eyes               int32 (N, 4) xywh px; float64 (N, 2, 2), two points (x, y) in px
    detectors                 (N,) the name whose mapping cuts each box
    mapping names, mappings   (M,); float64 (M, 5): scale, dx, dy, grow, level
    crops, crop_sha256        uint8 (N, side, side); (N,)
    crop_tolerance            gray levels by which a pixel of a crop may differ
    input_values              (256,) the pixel values 0 to 255 in the input tensor, in the tensor's own type
    output_kind, output_step  “logits” or “probabilities”; one step of the output
    labels                    (K,) in the order of the outputs
    model_sha256              of model.tflite
    logits NAME               float32 (N, K) of each runtime, e.g. “logits litert 2.3.0, default, x86_64”
    measured                  float64 (3,) the largest difference between two runtimes: steps, RMS of steps, slope
    limits, other limits      float64 (3,) the allowed difference: from the same runtime; from another one

A runtime is an interpreter with its version, kernel path and processor. The same runtime gave the same bits on every
processor tried (AVX2 and AVX-512 of x86_64; Cortex-A72 and A76), so its limits are the `FLOOR` alone. Two runtimes differ by
rounding. The largest such difference was measured; a runtime without golden logits may differ from the nearest one by that
and the floor, and by LARGEST_DIFFERENCE at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.atomic_file import atomic_file
from fer_edge.errors import BundleRefused
from fer_edge.face_crop import MAX_GROW, MAX_OFFSET, MAX_SCALE, MAX_SIDE_PX, CropMapping
from fer_edge.logit_difference import LARGEST_DIFFERENCE, LogitDifference
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
MAX_FRAME_PX = 2048
_LOGITS = "logits "  # before a runtime's name

# By how many gray levels a crop's pixel may differ between machines: twice the 2 that were measured, where arm64 enlarges a
# small face. OpenCV 4.10 to 4.14 give the same bits on x86_64, with and without IPP, and arm64 does for all else but single
# pixels. A shift by one pixel of the frame makes 39 and more.
CROP_TOLERANCE = 4


# 5 % in the scale of one layer, the least sensitive of edge and nano, made 1 step at the largest and an RMS of .5.
FLOOR = LogitDifference(steps=1.0, rms_steps=0.25, slope=0.01)


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden vectors of a bundle. The fields are those of the file; `logits` has an entry for each runtime's name."""

    frames: np.ndarray
    boxes: np.ndarray
    eyes: np.ndarray
    detectors: tuple[str, ...]
    mappings: dict[str, CropMapping]
    crops: np.ndarray
    crop_sha256: tuple[str, ...]
    crop_tolerance: int
    input_values: np.ndarray
    output_kind: str
    output_step: float
    labels: tuple[str, ...]
    model_sha256: str
    logits: dict[str, np.ndarray]
    measured: LogitDifference
    limits: LogitDifference
    other_limits: LogitDifference

    @staticmethod
    def load(path: Path) -> Golden:
        """The golden vectors in a file. Raises BundleRefused when it cannot be read or has another format."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleRefused(f"{path} cannot be read ({error.strerror}); copy the bundle again") from error
        return Golden.from_bytes(content, path)

    @staticmethod
    def from_bytes(content: bytes, path: Path) -> Golden:
        """The golden vectors in the content of a file; `path` names it in messages. Raises BundleRefused as `load` does."""
        from fer_edge.array_file import read_arrays

        again = f"`python -m convert.golden {path.parent}` writes it again"
        try:
            held = read_arrays(content)
            if (found := int(held["format"])) != FORMAT:
                raise BundleRefused(f"{path} has format {found}, this version reads {FORMAT}; {again}")
            names, rows = _texts(held["mapping names"]), held["mappings"].tolist()
            golden = Golden(
                frames=held["frames"],
                boxes=held["boxes"],
                eyes=held["eyes"],
                detectors=_texts(held["detectors"]),
                mappings={name: CropMapping(*row) for name, row in zip(names, rows, strict=True)},
                crops=held["crops"],
                crop_sha256=_texts(held["crop_sha256"]),
                crop_tolerance=int(held["crop_tolerance"]),
                input_values=held["input_values"],
                output_kind=_text(held["output_kind"]),
                output_step=float(held["output_step"]),
                labels=_texts(held["labels"]),
                model_sha256=_text(held["model_sha256"]),
                logits={n.removeprefix(_LOGITS): held[n] for n in held if n.startswith(_LOGITS)},
                measured=LogitDifference(*held["measured"].tolist()),
                limits=LogitDifference(*held["limits"].tolist()),
                other_limits=LogitDifference(*held["other limits"].tolist()),
            )
            golden._check(path)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise BundleRefused(
                f"{path} cannot be read: {clean(repr(error))}; copy the bundle again, or {again}"
            ) from error
        return golden

    def _check(self, path: Path) -> None:
        import numpy as np

        n, classes = len(self.frames), len(self.labels)
        kinds: dict[str, tuple[np.ndarray, type[np.generic], int]] = {
            "frames": (self.frames, np.uint8, 3),
            "boxes": (self.boxes, np.integer, 2),
            "eyes": (self.eyes, np.floating, 3),
            "crops": (self.crops, np.uint8, 3),
            "input_values": (self.input_values, np.number, 1),
            **{_LOGITS + name: (logits, np.float32, 2) for name, logits in self.logits.items()},
        }
        for name, (array, kind, axes) in kinds.items():
            if not np.issubdtype(array.dtype, kind) or array.ndim != axes:
                raise BundleRefused(f"{path} holds {name} of {array.dtype} {array.shape}; copy the bundle again")
        shapes = {
            "boxes": (self.boxes, (n, 4)),
            "eyes": (self.eyes, (n, 2, 2)),
            "crops": (self.crops, (n, *2 * self.crops.shape[-1:])),
            **{_LOGITS + name: (logits, (n, classes)) for name, logits in self.logits.items()},
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise BundleRefused(f"{path} holds {name} {array.shape}, not {shape}; copy the bundle again")
        if not n or not self.logits or not len(self.detectors) == len(self.crop_sha256) == n:
            raise BundleRefused(
                f"{path} holds no frames, no logits, or not one crop for each frame; copy the bundle again"
            )
        if wrong := self._out_of_bounds():
            raise BundleRefused(f"{path} has {wrong} that no bundle has; copy the bundle again")

    def _out_of_bounds(self) -> str:
        """The name of a value that is not finite or too large to be true; empty where there is none."""
        import numpy as np

        side = max(self.frames.shape[1:])
        mappings = np.array([astuple(mapping) for mapping in self.mappings.values()], np.float64).reshape(-1, 5)
        within = {
            "frames": 0 < side <= MAX_FRAME_PX,
            "boxes": bool((np.abs(self.boxes.astype(np.float64)) <= side).all()),
            "eyes": bool((np.abs(self.eyes) <= 2 * side).all()),
            "crops": 0 < self.crops.shape[-1] <= MAX_SIDE_PX,
            "mappings": bool((np.abs(mappings[:, 1:4]) <= (MAX_OFFSET, MAX_OFFSET, MAX_GROW)).all())
            and bool(((mappings[:, 0] > 0) & (mappings[:, 0] <= MAX_SCALE)).all())
            and bool(((mappings[:, 4] >= 0) & (mappings[:, 4] <= 1)).all()),
            "input values": len(self.input_values) == 256 and bool(np.isfinite(self.input_values).all()),
            "an output step": 0 < self.output_step < math.inf,
            "a crop tolerance": 0 <= self.crop_tolerance <= 4 * CROP_TOLERANCE,
            "limits": not any(limits.exceeds(LARGEST_DIFFERENCE) for limits in (self.limits, self.other_limits)),
        }
        return next((name for name, is_within in within.items() if not is_within), "")

    def save(self, path: Path) -> None:
        """Writes the file, beside and then renamed: the same bytes for the same vectors."""
        import numpy as np

        held: dict[str, Any] = {
            "format": np.int64(FORMAT),
            "mapping names": np.array([*self.mappings]),
            "mappings": np.array([astuple(m) for m in self.mappings.values()], np.float64).reshape(-1, 5),
            **{name: getattr(self, name) for name in ("frames", "boxes", "eyes", "crops", "input_values")},
            **{
                name: np.array(getattr(self, name)) for name in ("detectors", "crop_sha256", "crop_tolerance", "labels")
            },
            **{name: np.array(getattr(self, name)) for name in ("output_kind", "output_step", "model_sha256")},
            **{_LOGITS + name: logits for name, logits in self.logits.items()},
            "measured": np.array(astuple(self.measured)),
            "limits": np.array(astuple(self.limits)),
            "other limits": np.array(astuple(self.other_limits)),
        }
        with atomic_file(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, **held)

    def with_logits(self, logits: dict[str, np.ndarray]) -> Golden:
        """The same with the float32 logits (N, K) of more runtimes, or newer ones; the limits are measured on all of them."""
        merged = {**self.logits, **logits}
        measured = LogitDifference(0.0, 0.0, 0.0)
        for one, other in combinations(merged.values(), 2):
            measured = measured.largest(self.difference(one, other)).largest(self.difference(other, one))
        others = measured.plus(FLOOR).at_most(LARGEST_DIFFERENCE)
        return replace(self, logits=merged, measured=measured, limits=FLOOR, other_limits=others)

    def farthest_runtimes(self) -> tuple[str, str]:
        """The names of the two runtimes whose logits differ most, by the largest step; there must be two."""
        pairs = combinations(self.logits, 2)
        return max(pairs, key=lambda pair: self.difference(*(self.logits[name] for name in pair)).steps)

    def difference(self, logits: np.ndarray, reference: np.ndarray) -> LogitDifference:
        """How far logits float32 (N, K) of the crops differ from the logits `reference` of another runtime."""
        import numpy as np

        outputs, expected = self._outputs(logits), self._outputs(reference)
        steps = (outputs - expected) / self.output_step
        outputs, expected = (rows - rows.mean(1, keepdims=True) for rows in (outputs, expected))
        length = float((expected * expected).sum())
        slope = float((outputs * expected).sum()) / length if length else 1.0
        # rounded: a step of a float32 logit is not 1 to the last bit
        largest, rms = round(float(np.abs(steps).max()), 3), round(float(np.sqrt((steps**2).mean())), 4)
        return LogitDifference(largest, rms, round(abs(slope - 1), 5))

    def nearest(self, logits: np.ndarray) -> str:
        """The name of the runtime whose logits are nearest to logits float32 (N, K) of the crops, by RMS."""
        return min(self.logits, key=lambda name: self.difference(logits, self.logits[name]).rms_steps)

    def farthest(self, logits: np.ndarray, reference: np.ndarray) -> tuple[int, int, float]:
        """The crop and the class at which logits float32 (N, K) differ most from `reference`, and by how many steps."""
        import numpy as np

        steps = (self._outputs(logits) - self._outputs(reference)) / self.output_step
        crop, k = np.unravel_index(np.abs(steps).argmax(), steps.shape)
        return int(crop), int(k), float(steps[crop, k])

    def _outputs(self, logits: np.ndarray) -> np.ndarray:
        """The values of the output tensor, float64 (N, K): a step of a probability is not a step of its logarithm."""
        import numpy as np

        wide = logits.astype(np.float64)
        return np.exp(wide) if self.output_kind == "probabilities" else wide


def _texts(array: np.ndarray) -> tuple[str, ...]:
    """The texts of an array (N,). Raises ValueError for another array, or for a text that cannot be printed."""
    if array.ndim != 1 or (len(array) and array.dtype.kind != "U"):  # numpy has an empty array in floating point
        raise ValueError(f"{array.dtype} {array.shape} in place of texts")
    texts = tuple(map(str, array.tolist()))
    if not all(text.isprintable() for text in texts):
        raise ValueError("a text that cannot be printed")
    return texts


def _text(array: np.ndarray) -> str:
    """The text of an array (). Raises ValueError as `_texts` does."""
    (text,) = _texts(array.reshape(1))
    return text


def output_step(output_range: tuple[float, float] | None, outputs: Sequence[Any] | np.ndarray) -> float:
    """One step of an output: a 255th of its tensor's range; for floating point, of the range of `outputs`."""
    import numpy as np

    low, high = output_range if output_range is not None else (float(np.min(outputs)), float(np.max(outputs)))
    return (high - low) / 255 or 1.0
