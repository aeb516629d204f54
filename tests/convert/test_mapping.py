"""The mapping from box to crop: exact where the answer is known, and worth its while on real faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import bar

from convert.data import Samples, load
from convert.mapping import KNOWN, cost, find_in, fit, main, paste, scenes, stratified
from fer_edge.bundle import Bundle
from fer_edge.errors import NotEnoughData, UsageError
from fer_edge.faces import DETECTORS, Detector, Face
from fer_edge.preprocess import IDENTITY, Mapping, square


def samples(per_class: int = 12) -> Samples:
    """Bars in a training and a validation part."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(7), 2 * per_class)
    x = np.stack([bar(int(label), rng) for label in y])[..., None]
    split = np.repeat(np.array(["train", "validation"]), 7 * per_class)
    return Samples(x, y.astype(np.int64), split, tuple(f"{i}.png" for i in range(len(y))))


class KnowsWhere:
    """A detector that is told the true squares of the scenes to come and answers with boxes made of them."""

    name = "knows-where"

    def __init__(self, part: Samples, n: int, size_px: int, to_box: Mapping, missed: int = 0) -> None:
        corners = [xy for _, _, xy in scenes(part, n, size_px, seed=0)]
        self.boxes = [square((x, y, size_px, size_px), to_box) for x, y in corners]
        self.calls, self.missed = 0, missed

    def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002 - the protocol's signature
        left, top, side = self.boxes[self.calls % len(self.boxes)]
        self.calls += 1
        return [Face((left, top, side, side - 10), 0.9)] if self.calls > self.missed else []


def test_a_pasted_face_and_the_border_around_it() -> None:
    face = np.random.default_rng(0).integers(60, 200, (48, 48), np.uint8)
    scene = paste(face, 96, (100, 50), (240, 320))
    assert scene.shape == (240, 320) and scene.dtype == np.uint8
    large = cv2.resize(face, (96, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(scene[50:146, 100:196], large)
    assert (scene[:50, 100:196] == large[0]).all() and (scene[50:146, 196:] == large[:, -1:]).all()
    assert (scene[146:, :100] == large[-1, 0]).all()


@pytest.mark.parametrize(("size_px", "xy"), [(300, (0, 0)), (100, (-1, 0)), (100, (0, 141)), (100, (221, 0))])
def test_a_face_that_does_not_fit(size_px: int, xy: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"a face of {size_px} px at .* does not fit into a 320×240 scene"):
        paste(np.zeros((48, 48), np.uint8), size_px, xy, (240, 320))


def test_a_stratified_draw_has_the_classes_shares() -> None:
    y = np.repeat([0, 1, 2], [600, 300, 100])
    rows = stratified(y, 100, seed=0)
    assert len(set(rows.tolist())) == 100 and np.abs(np.bincount(y[rows]) - [60, 30, 10]).max() <= 1
    assert np.array_equal(rows, stratified(y, 100, seed=0))
    assert not np.array_equal(rows, stratified(y, 100, seed=1))
    assert sorted(stratified(y, 5000, seed=0)) == list(range(1000))


@pytest.mark.parametrize(
    ("to_box", "expected"),
    [
        (IDENTITY, Mapping(1.0, 0.0, 0.028)),  # the box is 10 px less high: its centre is 5 px higher
        (Mapping(0.8), Mapping(1.25, 0.0, 0.028)),
        (Mapping(1.0, 0.1, -0.2), Mapping(1.0, -0.1, 0.228)),
    ],
)
def test_the_mapping_that_undoes_a_known_box(to_box: Mapping, expected: Mapping) -> None:
    part = samples().part("train")
    fitted = fit(samples(), KnowsWhere(part, 84, 180, to_box, missed=5), n=84)
    assert (fitted.n, fitted.found, fitted.size_px, fitted.detector) == (84, 79, 180, "knows-where")
    for name in ("scale", "dx", "dy"):
        assert getattr(fitted.mapping, name) == pytest.approx(getattr(expected, name), abs=0.004)
    assert max(fitted.jitter_scale, fitted.jitter_dx, fitted.jitter_dy) < 0.005


def test_too_few_faces_fit_nothing() -> None:
    part = samples().part("train")
    with pytest.raises(NotEnoughData, match="found 49 of 84 training faces"):
        fit(samples(), KnowsWhere(part, 84, 180, IDENTITY, missed=35), n=84)
    nothing = replace(samples(), split=np.full(168, "test"))
    with pytest.raises(NotEnoughData, match="0 of 0"):
        fit(nothing, KnowsWhere(part, 1, 180, IDENTITY))


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((100, 100, 180, 180), True),
        ((130, 120, 140, 140), True),
        ((160, 220, 60, 40), False),
        ((300, 90, 180, 180), False),
    ],
)
def test_what_counts_as_found(box: tuple[int, int, int, int], counts: bool) -> None:
    class One:
        name = "one"

        def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002
            return [Face(box, 0.9)]

    found = find_in(np.zeros((480, 640), np.uint8), (100, 100), 180, One())
    assert (found is not None) == counts


def test_an_exact_mapping_costs_no_more_than_enlarging_and_shrinking(bundle_path: Path) -> None:
    part = samples().part("validation")
    detector = KnowsWhere(part, 84, 192, Mapping(0.75), missed=4)
    costs = cost(
        samples(), detector, Bundle.load(bundle_path), {"right": Mapping(4 / 3, 0, 5 / 192)}, n=84, size_px=192
    )
    right = costs["right"]
    assert (right.n, right.found) == (84, 80)
    assert right.same_label == right.same_label_true_square and right.accuracy_all <= right.accuracy_detected


def test_the_known_mappings_name_real_detectors() -> None:
    assert set(KNOWN) == set(DETECTORS)


def test_on_real_faces_the_known_mapping_holds_and_pays(fer2013: Path, blazeface: Detector, bundle_path: Path) -> None:
    data, known = load(fer2013), KNOWN["blazeface-short-range"]
    fitted = fit(data, blazeface, seed=1, n=300)
    assert 0.65 < fitted.found / fitted.n < 0.9
    assert fitted.mapping.scale == pytest.approx(known.scale, abs=0.04)
    assert fitted.mapping.dx == pytest.approx(known.dx, abs=0.02)
    assert fitted.mapping.dy == pytest.approx(known.dy, abs=0.02)
    assert fitted.jitter_scale < 0.25 and max(fitted.jitter_dx, fitted.jitter_dy) < 0.08

    costs = cost(data, blazeface, Bundle.load(bundle_path), {"box": IDENTITY, "mapped": known}, n=300)
    assert costs["mapped"].same_label > costs["box"].same_label, "the mapping brings labels nearer to the crop's own"


def test_the_command(fer2013: Path, blazeface: object, bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--data", str(fer2013), "--detector", "blazeface-short-range", "--n", "80"]
    assert main([*command, "--bundle", str(bundle_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 80 and set(told["mapping"]) == {"scale", "dx", "dy"}
    assert set(told["cost"]) == {"box itself", "fitted", "in the bundle"}
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"blazeface-short-range: scale {told['mapping']['scale']:.3f}")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--data", "absent.zip"], 2, "absent.zip"),
        (["--data", "absent.zip", "--n", "5"], 2, "--n 5 is too few"),
        (["--data", "absent.zip", "--bundle", "absent"], 2, "absent is no bundle"),
    ],
)
def test_bad_arguments(arguments: list[str], code: int, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--detector", "haar"]) == code
    out, err = capsys.readouterr()
    assert out == "" and word in err and len(err.splitlines()) == 1
