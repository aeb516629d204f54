"""Golden vectors: what a bundle gave for a few drawn frames when it was proved, from the box to the logits.

In golden.npz, for N frames, M mappings and K classes:

    format                    2
    frames                    uint8 (N, H, W), drawn: no one's face
    boxes, eyes               int32 (N, 4) xywh px; float64 (N, 2, 2), two points (x, y) in px
    detectors                 (N,) the name whose mapping cuts each box
    mapping names, mappings   (M,); float64 (M, 5): scale, dx, dy, grow, level
    crops, crop_sha256        uint8 (N, side, side); (N,)
    crop_levels               by how many gray levels a pixel of a crop may differ
    steps                     (256,) what the pixels 0 to 255 become in the input tensor, in the tensor's own type
    output, step              “logits” or “probabilities”; one step of the output
    labels                    (K,) in the order of the outputs
    model_sha256              of model.tflite
    logits NAME               float32 (N, K) of each column, e.g. “logits litert 2.3.0, default, x86_64”
    measured                  float64 (3,) the largest difference between two columns: steps, RMS of steps, slope
    limits, other limits      float64 (3,) what a runtime may differ by: from its own column; from another's

A runtime, its version, its kernels and the processor make a column. The same column gave the same bits on every processor
tried (AVX2 and AVX-512 of x86_64; Cortex-A72 and A76): its limits are the `FLOOR` alone. Two columns differ by roundings;
what they differ by was measured, and a runtime without a column may differ from the nearest one by that and the floor.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import BundleRefused
from fer_edge.preprocess import Mapping

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2
_LOGITS = "logits "  # before a column's name

# By how many gray levels a crop's pixel may differ between machines: twice the 2 that were measured, where arm64 enlarges a
# small face. OpenCV 4.10 to 4.14 give the same bits on x86_64, with and without IPP, and arm64 does for all else but single
# pixels. A shift by one pixel of the frame makes 39 and more.
CROP_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """How far answers lie from others: the largest difference and the RMS in output steps, and the slope's from 1.

    The slope is that of one's answers over the other's, each without its row's mean: a scale that is off by 5 % makes .05.
    """

    steps: float
    rms_steps: float
    slope: float

    def exceeds(self, limit: Difference) -> bool:
        """Whether any of the three is more than the limit's, or no number at all."""
        return not all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(limit), strict=True))

    def largest(self, other: Difference) -> Difference:
        """The larger of each."""
        return Difference(*(max(pair) for pair in zip(astuple(self), astuple(other), strict=True)))

    def plus(self, other: Difference) -> Difference:
        """The sum of each."""
        return Difference(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


# 5 % in the scale of one layer, the least sensitive of edge and nano, made 1 step at the largest and an RMS of .5.
FLOOR = Difference(steps=1.0, rms_steps=0.25, slope=0.01)


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden vectors of a bundle; the fields are as the file has them, `columns` by name."""

    frames: np.ndarray
    boxes: np.ndarray
    eyes: np.ndarray
    detectors: tuple[str, ...]
    mappings: dict[str, Mapping]
    crops: np.ndarray
    crop_sha256: tuple[str, ...]
    crop_levels: int
    steps: np.ndarray
    output: str
    step: float
    labels: tuple[str, ...]
    model_sha256: str
    columns: dict[str, np.ndarray]
    measured: Difference
    limits: Difference
    other_limits: Difference

    @staticmethod
    def load(path: Path) -> Golden:
        """The golden vectors in a file. Raises BundleRefused when it cannot be read, or was made by an older version."""
        import io
        import zipfile
        import zlib

        import numpy as np

        again = f"`python -m convert.golden {path.parent}` writes it again"
        try:
            # of bytes: numpy leaves a file open that is no whole archive
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            found = int(held["format"]) if "format" in held else 1
            if found != FORMAT:
                raise BundleRefused(f"{path} has format {found}, this version reads {FORMAT}; {again}")
            names, rows = held["mapping names"].tolist(), held["mappings"].tolist()
            golden = Golden(
                frames=held["frames"],
                boxes=held["boxes"],
                eyes=held["eyes"],
                detectors=tuple(held["detectors"].tolist()),
                mappings={name: Mapping(*row) for name, row in zip(names, rows, strict=True)},
                crops=held["crops"],
                crop_sha256=tuple(held["crop_sha256"].tolist()),
                crop_levels=int(held["crop_levels"]),
                steps=held["steps"],
                output=str(held["output"]),
                step=float(held["step"]),
                labels=tuple(held["labels"].tolist()),
                model_sha256=str(held["model_sha256"]),
                columns={n.removeprefix(_LOGITS): held[n] for n in held if n.startswith(_LOGITS)},
                measured=Difference(*held["measured"].tolist()),
                limits=Difference(*held["limits"].tolist()),
                other_limits=Difference(*held["other limits"].tolist()),
            )
            golden._check(path)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise BundleRefused(f"{path} cannot be read: {error!r}; copy the bundle again, or {again}") from error
        return golden

    def _check(self, path: Path) -> None:
        n, classes = len(self.frames), len(self.labels)
        shapes = {
            "boxes": (self.boxes, (n, 4)),
            "eyes": (self.eyes, (n, 2, 2)),
            "crops": (self.crops, (n, *2 * self.crops.shape[-1:])),
            **{_LOGITS + name: (logits, (n, classes)) for name, logits in self.columns.items()},
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise BundleRefused(f"{path} holds {name} {array.shape}, not {shape}; copy the bundle again")
        if not n or not self.columns or not len(self.detectors) == len(self.crop_sha256) == n:
            raise BundleRefused(f"{path} holds no frames, or not one crop and column for each; copy the bundle again")

    def save(self, path: Path) -> None:
        """Writes the file, beside and then renamed: the same bytes for the same vectors."""
        import numpy as np

        held: dict[str, Any] = {
            "format": np.int64(FORMAT),
            "mapping names": np.array([*self.mappings]),
            "mappings": np.array([astuple(m) for m in self.mappings.values()], np.float64).reshape(-1, 5),
            **{name: getattr(self, name) for name in ("frames", "boxes", "eyes", "crops", "steps")},
            **{name: np.array(getattr(self, name)) for name in ("detectors", "crop_sha256", "crop_levels", "labels")},
            **{name: np.array(getattr(self, name)) for name in ("output", "step", "model_sha256")},
            **{_LOGITS + name: logits for name, logits in self.columns.items()},
            "measured": np.array(astuple(self.measured)),
            "limits": np.array(astuple(self.limits)),
            "other limits": np.array(astuple(self.other_limits)),
        }
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **held)
            Path(fresh).chmod(0o644)
            Path(fresh).replace(path)
        finally:
            Path(fresh).unlink(missing_ok=True)

    def with_columns(self, columns: dict[str, np.ndarray]) -> Golden:
        """The same with columns float32 (N, K) more, or newer, and with limits that were measured on all of them."""
        merged = {**self.columns, **columns}
        measured = Difference(0.0, 0.0, 0.0)
        for one, other in combinations(merged.values(), 2):
            measured = measured.largest(self.difference(one, other)).largest(self.difference(other, one))
        return replace(self, columns=merged, measured=measured, limits=FLOOR, other_limits=measured.plus(FLOOR))

    def difference(self, logits: np.ndarray, column: np.ndarray) -> Difference:
        """How far logits float32 (N, K) of the crops lie from a column's."""
        import numpy as np

        mine, theirs = self._answers(logits), self._answers(column)
        apart = (mine - theirs) / self.step
        mine, theirs = (rows - rows.mean(1, keepdims=True) for rows in (mine, theirs))
        length = float((theirs * theirs).sum())
        slope = float((mine * theirs).sum()) / length if length else 1.0
        # rounded, for a step of a float32 logit is not one to the last bit
        largest, rms = round(float(np.abs(apart).max()), 3), round(float(np.sqrt((apart**2).mean())), 4)
        return Difference(largest, rms, round(abs(slope - 1), 5))

    def nearest(self, logits: np.ndarray) -> str:
        """The name of the column whose answers lie nearest to logits float32 (N, K) of the crops, by RMS."""
        return min(self.columns, key=lambda name: self.difference(logits, self.columns[name]).rms_steps)

    def farthest(self, logits: np.ndarray, column: np.ndarray) -> tuple[int, int, float]:
        """The crop and the class at which logits float32 (N, K) lie farthest from a column's, and by how many steps."""
        import numpy as np

        apart = (self._answers(logits) - self._answers(column)) / self.step
        crop, k = np.unravel_index(np.abs(apart).argmax(), apart.shape)
        return int(crop), int(k), float(apart[crop, k])

    def _answers(self, logits: np.ndarray) -> np.ndarray:
        """What the output tensor holds: float64 (N, K). A step of a probability is not one of its logarithm."""
        import numpy as np

        wide = logits.astype(np.float64)
        return np.exp(wide) if self.output == "probabilities" else wide


def step_of(reach: tuple[float, float] | None, answers: Sequence[Any] | np.ndarray) -> float:
    """One step of an output: a 255th of what its tensor can hold, or, in floating point, of what `answers` span."""
    import numpy as np

    low, high = reach if reach is not None else (float(np.min(answers)), float(np.max(answers)))
    return (high - low) / 255 or 1.0
