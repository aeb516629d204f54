"""The check that a runtime reproduces a bundle's golden vectors: from frame and box to logits."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

from fer_edge.bundle_spec import REMEDY
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.face_crop import IDENTITY, frame_crop
from fer_edge.golden_vectors import Golden, output_step
from fer_edge.json_fields import JsonFields, parse_json
from fer_edge.logit_difference import LogitDifference
from fer_edge.runtime_name import runtime_name
from fer_edge.thresholds import LabelThresholds, Thresholds

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle import Bundle
    from fer_edge.classifier import Classifier

_SHIFTS = 4  # px of a crop within which a shift is searched, to report it


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, and the differences. Runtimes are named as in golden.npz.

    `crops` is the number of crops, `crop_levels` the largest difference of a pixel in gray levels. `compared_with` is the
    `runtime` itself where the bundle has golden logits of it, else the one with the nearest logits. `proved`: bundle.json
    lists the runtime among those on which the model was compared with its float model; None where it lists none at all.
    """

    bundle: str
    runtime: str
    compared_with: str
    proved: bool | None
    crops: int
    crop_levels: int
    difference: LogitDifference
    limits: LogitDifference
    ms: float

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        apart, limits = self.difference, self.limits
        other = "" if self.compared_with == self.runtime else f" from those of {self.compared_with}"
        return (
            f"bundle {self.bundle} gives the stored outputs on this machine ({self.runtime}): {self.crops} crops, largest "
            f"difference{other} {apart.steps:.2g} steps (allowed {limits.steps:.2g}), RMS {apart.rms_steps:.2f} "
            f"(allowed {limits.rms_steps:.2f}); {self.ms:.0f} ms"
        )

    @property
    def remark(self) -> str | None:
        """A remark about a runtime without a parity report or golden logits in the bundle; None for any other."""
        runtime = f"{self.runtime}; its logits are like those of {self.compared_with}"
        if self.proved is False:
            return f"bundle {self.bundle} was not compared with its float model on {runtime}"
        return (
            f"bundle {self.bundle} has no golden vectors of {runtime}" if self.compared_with != self.runtime else None
        )

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)


def verify(bundle: Bundle, classifier: Classifier | None = None) -> Verification:
    """The result of the comparison, when `classifier` reproduces the golden vectors of `bundle`.

    `classifier` is the bundle's own when None; the camera loop passes the one that it will use. The crops are cut from the
    stored frames by the bundle's mappings, the logits computed from the stored crops, so that each is judged by itself. Raises
    BundleRefused naming what differs: labels, thresholds, crops, input, output, logits, probabilities, or the file.
    """
    start_ns = time.perf_counter_ns()
    golden = Golden.from_bytes(bundle.contents["golden.npz"], bundle.path / "golden.npz")
    _thresholds(bundle)
    classifier = classifier or bundle.classifier
    _labels(bundle, golden)
    levels = _crops(bundle, golden)
    _tensors(bundle, golden, classifier)
    runtime, logits = runtime_name_of(classifier), classifier.logits(golden.crops)
    compared_with = runtime if runtime in golden.logits else golden.nearest(logits)
    limits = golden.limits if runtime in golden.logits else golden.other_limits
    difference = golden.difference(logits, golden.logits[compared_with])
    if not difference.exceeds(limits):
        _file(bundle, golden)
        _probabilities(bundle, logits)
    else:
        raise BundleRefused(_unlike(bundle, golden, logits, runtime, compared_with, difference, limits))
    listed = [claim.name for claim in bundle.runtimes]
    return Verification(
        bundle=bundle.name,
        runtime=runtime,
        compared_with=compared_with,
        proved=runtime in listed if listed else None,
        crops=len(golden.crops),
        crop_levels=levels,
        difference=difference,
        limits=limits,
        ms=round((time.perf_counter_ns() - start_ns) / 1e6, 2),
    )


def runtime_name_of(classifier: Classifier) -> str:
    """The name of the runtime of a classifier on this machine: “litert 2.3.0, default, x86_64”."""
    runtime = classifier.runtime
    return runtime_name(runtime.name, runtime.version, classifier.kernels, platform.machine())


def _labels(bundle: Bundle, golden: Golden) -> None:
    if bundle.labels == golden.labels:
        return
    if len(bundle.labels) != len(golden.labels):
        what = f"{len(bundle.labels)} labels, not the {len(golden.labels)} of its golden vectors"
    else:
        at = [i for i, (ours, theirs) in enumerate(zip(bundle.labels, golden.labels, strict=True)) if ours != theirs]
        ours, theirs = (", ".join(labels[i] for i in at) for labels in (bundle.labels, golden.labels))
        what = (
            f"{ours} as the labels of the outputs {', '.join(map(str, at))}, which are {theirs} in its golden vectors"
        )
    raise BundleRefused(f"{bundle.path / 'bundle.json'} gives {what}; copy the bundle again")


def _thresholds(bundle: Bundle) -> None:
    """Raises BundleRefused when temperature or thresholds are not those in parity.json, or, without any there, the default."""
    path = bundle.path / "parity.json"
    try:
        report = parse_json(bundle.contents["parity.json"])
    except ValueError as error:
        raise BundleRefused(f"{path} cannot be read ({error}); copy the bundle again") from error
    fields = JsonFields.of(report, str(path), BundleRefused, REMEDY)
    if fields.has("confidence"):
        fitted = fields.object("confidence")
        expected = Thresholds.read(fitted, bundle.labels)
    else:  # nothing was fitted: there were no labelled data
        expected = Thresholds.default(len(bundle.labels))
    for name, ours, fitted_value in zip(Thresholds._fields, bundle.spec.thresholds, expected, strict=True):
        if ours != fitted_value:
            raise BundleRefused(
                f"{bundle.path / 'bundle.json'}: thresholds.{name} is {_value(ours)}, and parity.json has"
                f" {_value(fitted_value)}; {REMEDY}"
            )


def _value(threshold: float | str | LabelThresholds | None) -> str:
    if threshold is None:
        return "none"
    if isinstance(threshold, str):
        return f"“{threshold}”"
    return "thresholds of labels" if isinstance(threshold, LabelThresholds) else f"{threshold:g}"


def _probabilities(bundle: Bundle, logits: np.ndarray) -> None:
    """Raises BundleRefused when a row is not a probability distribution, or gives another label than the logits."""
    import numpy as np

    from fer_edge.classifier import softmax

    rows = softmax(logits / bundle.temperature)
    sums = bool((np.abs(rows.sum(1) - 1) < 1e-3).all())  # False for NaN
    if not sums or rows.min() < 0 or (rows.argmax(1) != logits.argmax(1)).any():
        raise BundleRefused(
            f"{bundle.path}: with the temperature {bundle.temperature:g} the golden crops have no probabilities, or other "
            f"labels than by their logits; {REMEDY}"
        )


def _crops(bundle: Bundle, golden: Golden) -> int:
    """The largest difference, in gray levels, of a crop from the golden one; raises BundleRefused when it is too large."""
    import numpy as np

    if golden.crops.shape[1] != bundle.side:
        raise BundleRefused(
            f"{bundle.path / 'bundle.json'} says crops of {bundle.side} px, those of golden.npz have "
            f"{golden.crops.shape[1]}; copy the bundle again"
        )
    worst = 0
    for i, (frame, box, eyes) in enumerate(zip(golden.frames, golden.boxes, golden.eyes, strict=True)):
        detector = golden.detectors[i]
        mapping, was = bundle.mapping(detector), golden.mappings.get(detector, IDENTITY)
        x, y, w, h = box.tolist()
        (ax, ay), (bx, by) = eyes.tolist()
        try:
            crop, _ = frame_crop(frame, (x, y, w, h), bundle.side, mapping, ((ax, ay), (bx, by)))
        except UsageError as error:
            raise BundleRefused(f"{bundle.path}: the crop of golden frame {i} cannot be made: {error}") from error
        if hashlib.sha256(crop.tobytes()).hexdigest() == golden.crop_sha256[i]:
            continue
        apart = np.abs(crop.astype(np.int16) - golden.crops[i])
        worst = max(worst, int(apart.max()))
        if worst > golden.crop_tolerance:
            changed = [
                f"{name} {ours:.4g}, not {theirs:.4g}"
                for (name, ours), theirs in zip(asdict(mapping).items(), astuple(was), strict=True)
                if ours != theirs
            ]
            why = f"; bundle.json maps {detector}'s boxes by {', '.join(changed)}" if changed else ""
            raise BundleRefused(
                f"{bundle.path}: the crop of golden frame {i} is not the golden crop: its pixels differ by up "
                f"to {worst} gray levels, {apart.mean():.1f} on average{_shift(crop, golden.crops[i])}, and "
                f"{golden.crop_tolerance} are allowed{why}; copy the bundle again"
            )
    return worst


def _shift(crop: np.ndarray, golden: np.ndarray) -> str:
    """The shift in px of a crop uint8 (side, side) against the golden one, where that explains most of the difference."""
    import numpy as np

    side, reach = len(crop), min(_SHIFTS, len(crop) // 4)
    middle = crop[reach : side - reach, reach : side - reach].astype(np.int16)

    def apart(dx: int, dy: int) -> float:
        there = golden[reach + dy : side - reach + dy, reach + dx : side - reach + dx]
        return float(np.abs(middle - there).mean())

    span = range(-reach, reach + 1)
    dx, dy = min(((dx, dy) for dx in span for dy in span), key=lambda at: apart(*at))
    if apart(dx, dy) > apart(0, 0) / 2:
        return ""
    ways = [f"{abs(n)} px {way[n > 0]}" for n, way in ((dx, ("left", "right")), (dy, ("up", "down"))) if n]
    return f", as if cut {' and '.join(ways)} of its place" if ways else ""


def _tensors(bundle: Bundle, golden: Golden, classifier: Classifier) -> None:
    """Raises BundleRefused when pixels are mapped, or outputs read, in another way than in the golden vectors."""
    import numpy as np

    ours, theirs = classifier.input_values, golden.input_values
    if ours.dtype != theirs.dtype or not np.allclose(ours, theirs, rtol=1e-6, atol=1e-6):
        pixel = int(np.abs(ours.astype(np.float64) - theirs).argmax())
        low, high = classifier.input_range
        raise BundleRefused(
            f"{bundle.path}: a pixel of {pixel} is given to the model as {ours[pixel]:g} ({ours.dtype}), and is "
            f"{theirs[pixel]:g} ({theirs.dtype}) in its golden vectors; the input range is {low:g} to {high:g}; "
            "copy the bundle again"
        )
    if classifier.output_kind != golden.output_kind:
        raise BundleRefused(
            f"{bundle.path}: the output is read as {classifier.output_kind}, and is {golden.output_kind} in its golden vectors"
        )
    if classifier.output_range is None:
        return
    step = output_step(classifier.output_range, ())
    if not np.isclose(step, golden.output_step, rtol=1e-5, atol=0.0):
        raise BundleRefused(
            f"{bundle.path}: a step of the output is {step:.6g}, and is {golden.output_step:.6g} in its golden vectors; "
            "copy the bundle again"
        )


def _unlike(
    bundle: Bundle,
    golden: Golden,
    logits: np.ndarray,
    runtime: str,
    compared_with: str,
    difference: LogitDifference,
    limits: LogitDifference,
) -> str:
    """The sentence for logits that differ too much from the golden ones."""
    crop, k, steps = golden.farthest(logits, golden.logits[compared_with])
    way = "high" if steps > 0 else "low"
    what = (
        f"the logit of {golden.labels[k]} for golden crop {crop} is {abs(steps):.3g} output steps too {way} "
        f"(allowed: {limits.steps:.3g}; RMS {difference.rms_steps:.2f}, allowed: {limits.rms_steps:.2f})"
    )
    if difference.slope > limits.slope:
        what += f", and all of them are off in scale by {difference.slope:.1%} (allowed: {limits.slope:.1%})"
    reference = (
        "of this runtime's golden vectors"
        if compared_with == runtime
        else f"of {compared_with}, the nearest golden ones"
    )
    return f"{bundle.path} on {runtime}: {what}, against the logits {reference}; copy the bundle again, or use another runtime"


def _file(bundle: Bundle, golden: Golden) -> None:
    """Raises BundleRefused when golden.npz was made from another model.tflite, with similar logits."""
    if bundle.spec.files["model.tflite"].sha256 != golden.model_sha256:
        raise BundleRefused(
            f"{bundle.model} is not the file that golden.npz was made from, though its logits are near; copy the bundle again"
        )
