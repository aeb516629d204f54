"""The mapping from box to crop: exact where the answer is known, and the same again on real faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import bar, write_image

from convert.crops.mapping_fit import fit_mapping
from convert.crops.synthetic_scenes import scenes, stratified_rows
from convert.data.detector_mappings import DEFAULT_LEVEL, DETECTOR_MAPPINGS
from convert.data.samples import Samples
from convert.mapping import main
from fer_edge.detection.registry import DETECTORS, find_detector
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import NotEnoughData
from fer_edge.face_crop import IDENTITY, CropMapping, crop_square

SIZES = (60, 240)
Eyes = tuple[tuple[float, float], tuple[float, float]]


def samples(n: int = 84) -> Samples:
    """Bars in a training part."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 7
    x = np.stack([bar(int(label), rng) for label in y])[..., None]
    return Samples(x, y.astype(np.int64), np.full(n, "train"), tuple(f"{i}.png" for i in range(n)))


class KnowsWhere:
    """A detector that is told the true squares of the scenes to come and answers with boxes made of them."""

    name = "knows-where"

    def __init__(self, part: Samples, n: int, to_box: CropMapping, missed: int = 0, eyes: Eyes | None = None) -> None:
        true = [(*scene.xy, scene.size_px, scene.size_px) for scene in scenes(part, n, SIZES, seed=0)]
        self.boxes = [crop_square(xywh, to_box, (480, 640)) for xywh in true]
        self.calls, self.missed, self.eyes = 0, missed, eyes

    def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002 - the protocol's signature
        left, top, side = self.boxes[self.calls % len(self.boxes)]
        self.calls += 1
        return [Face((left, top, side, side - 2), 0.9, self.eyes)] if self.calls > self.missed else []


@pytest.mark.parametrize(
    ("to_box", "expected"),
    [
        (IDENTITY, CropMapping()),
        (CropMapping(0.8), CropMapping(1.25)),
        (CropMapping(1.0, 0.1, -0.2), CropMapping(1.0, -0.1, 0.2)),
        (CropMapping(0.9, grow=-0.02), CropMapping(1 / 0.9, grow=0.02 / 0.9)),
    ],
)
def test_the_fit_finds_the_mapping_that_undoes_a_known_box(to_box: CropMapping, expected: CropMapping) -> None:
    fitted = fit_mapping(samples(), KnowsWhere(samples(), 84, to_box, missed=5), n=84, sizes_px=SIZES)
    assert (fitted.n, fitted.found, fitted.sizes_px, fitted.detector) == (84, 79, SIZES, "knows-where")
    assert fitted.tilt is None and fitted.mapping.level == 0
    for name, near in (("scale", 0.006), ("dx", 0.004), ("dy", 0.014), ("grow", 0.0012)):  # the box is 2 px less high
        assert getattr(fitted.mapping, name) == pytest.approx(getattr(expected, name), abs=near)
    assert max(fitted.jitter_scale, fitted.jitter_dx, fitted.jitter_dy) < 0.012


def test_the_tilt_of_the_eyes_is_measured_and_partly_undone() -> None:
    eyes = ((10.0, 10.0), (30.0, 15.0))
    fitted = fit_mapping(samples(), KnowsWhere(samples(), 84, IDENTITY, eyes=eyes), n=84, sizes_px=SIZES)
    assert fitted.tilt == pytest.approx((np.rad2deg(np.arctan2(5, 20)), 0), abs=1e-6)
    assert fitted.mapping.level == DEFAULT_LEVEL


def test_too_few_faces_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="found 49 of 84 training faces of 60 to 240 px"):
        fit_mapping(samples(), KnowsWhere(samples(), 84, IDENTITY, missed=35), n=84, sizes_px=SIZES)
    nothing = replace(samples(), split=np.full(84, "test"))
    with pytest.raises(NotEnoughData, match="0 of 0"):
        fit_mapping(nothing, KnowsWhere(samples(), 1, IDENTITY))


def test_every_detector_has_a_mapping() -> None:
    assert set(DETECTOR_MAPPINGS) == set(DETECTORS)


def test_the_mapping_fits_real_faces(fer2013_samples: Samples, blazeface: Detector) -> None:
    known = DETECTOR_MAPPINGS["blazeface-short-range"]
    fitted = fit_mapping(fer2013_samples, blazeface, seed=1, n=900)
    assert 0.3 < fitted.found / fitted.n < 0.5, "it sees nothing under 100 px"
    for px in (90, 150, 240):  # of a box in a frame 640 px wide
        fitted_side, known_side = (crop_square((200, 200, px, px), m, (480, 640))[2] for m in (fitted.mapping, known))
        assert fitted_side == pytest.approx(known_side, rel=0.05)
    assert fitted.mapping.dx == pytest.approx(known.dx, abs=0.02)
    assert fitted.mapping.dy == pytest.approx(known.dy, abs=0.02)
    assert fitted.jitter_scale < 0.2 and max(fitted.jitter_dx, fitted.jitter_dy) < 0.08
    assert fitted.tilt is not None and abs(fitted.tilt[0]) < 3 and 8 < fitted.tilt[1] < 16


def test_a_zoomed_detectors_mapping_has_no_offset(fer2013_samples: Samples, blazeface: object) -> None:
    """As large in the view as in the frame: one scale for all sizes."""
    known = DETECTOR_MAPPINGS["blazeface-zoomed"]
    fitted = fit_mapping(fer2013_samples, find_detector("blazeface-zoomed"), seed=1, n=400)
    assert fitted.found / fitted.n > 0.75
    assert fitted.mapping.grow == known.grow == 0
    assert fitted.mapping.scale == pytest.approx(known.scale, abs=0.04)
    assert fitted.mapping.dx == pytest.approx(known.dx, abs=0.02)
    assert fitted.mapping.dy == pytest.approx(known.dy, abs=0.02)


def test_the_command(
    fer2013_samples: Samples, blazeface: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = fer2013_samples.part("train")
    some = some.take(stratified_rows(some.y, 80, seed=0))
    for i, (image, label) in enumerate(zip(some.x, some.y, strict=True)):
        file = tmp_path / ("train" if i else "validation") / some.labels[label] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, image[:, :, 0])
    command = ["--data", str(tmp_path), "--detector", "blazeface-short-range", "--sizes", "180", "360"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["n"] == 79
        and report["sizes_px"] == [180, 360]
        and CropMapping(**report["mapping"]).level == DEFAULT_LEVEL
    )
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"blazeface-short-range: scale {report['mapping']['scale']:.3f}") and "tilted by" in out


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ([], 2, "absent.zip"),
        (["--n", "5"], 2, "--n 5 is too few"),
        (["--sizes", "100", "150"], 2, "--sizes 100 150 cannot be fitted"),
        (["--sizes", "100", "481"], 2, "at most 480 px"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", "absent.zip", *arguments, "--detector", "haar"]) == code
    out, err = capsys.readouterr()
    assert out == "" and word in err and len(err.splitlines()) == 1
