"""A bundle that somebody else wrote: it is refused in a printable sentence, or its probabilities are probabilities."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_json import broken_texts, mutants
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.bundle import Bundle
from fer_edge.errors import FerEdgeError
from fer_edge.golden_check import verify
from fer_edge.shipped_bundles import shipped_path

NANO = shipped_path("nano")
SPEC: dict[str, Any] = json.loads((NANO / "bundle.json").read_bytes())
FACES = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
CLASSIFIER = Bundle.load(NANO).classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(NANO, tmp_path_factory.mktemp("fuzz") / "nano"))


def judge(folder: Path) -> None:
    """Loads and verifies the bundle as `bundle install` and `run` do."""
    try:
        bundle = Bundle.load(folder)
        verify(bundle)
    except FerEdgeError as error:
        assert error.exit_code in (2, 5)
        assert str(error).isprintable() and len(str(error)) < 2000
        return
    rows = bundle.classify(FACES)
    assert np.isfinite(rows).all() and (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-4)
    np.testing.assert_array_equal(rows.argmax(1), CLASSIFIER.logits(FACES).argmax(1))
    assert 0 <= bundle.spec.thresholds.unsure_below <= 1 and all(label.isprintable() for label in bundle.labels)


@given(value=mutants(SPEC))
def test_bundle_json_with_other_values(folder: Path, value: Any) -> None:
    (folder / "bundle.json").write_bytes(json.dumps(value).encode())
    judge(folder)


@given(raw=broken_texts((NANO / "bundle.json").read_text()))
def test_bundle_json_that_is_broken(folder: Path, raw: bytes) -> None:
    (folder / "bundle.json").write_bytes(raw)
    judge(folder)


def with_files(folder: Path, **contents: bytes) -> None:
    """Writes files of the bundle, with the sizes and hashes in bundle.json that fit them."""
    import hashlib

    spec = json.loads((NANO / "bundle.json").read_bytes())
    for name, content in contents.items():
        file = {"golden": "golden.npz", "parity": "parity.json"}[name]
        (folder / file).write_bytes(content)
        spec["files"][file] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(spec))


GOLDEN = (NANO / "golden.npz").read_bytes()
with np.load(io.BytesIO(GOLDEN)) as arrays:
    ARRAYS = {name: arrays[name] for name in arrays.files}
OTHER_ARRAYS = st.sampled_from(
    [
        *(
            np.array(value)
            for value in (0, -1, 2**62, np.nan, np.inf, "", "x", [], [np.inf] * 3, [[]], [True], [1 + 2j])
        ),
        *(
            np.zeros(shape, np.uint8)
            for shape in [(8, 48, 48), (8, 0, 0), (0, 48, 48), (8, 48), (8, 1, 1), (1, 1, 1, 1)]
        ),
        *(np.full((8, 4), value, np.int64) for value in (-(2**62), 2**62, 0)),
        *(
            np.full(shape, value)
            for shape in [(8, 2, 2), (5, 5), (3,), (8, 7)]
            for value in (np.nan, np.inf, 1e308, -1.0, 0.0)
        ),
    ]
)


@given(
    names=st.lists(st.sampled_from(sorted(ARRAYS)), min_size=1, max_size=3), other=OTHER_ARRAYS, remove=st.booleans()
)
def test_golden_vectors_with_other_arrays(folder: Path, names: list[str], other: np.ndarray, remove: bool) -> None:
    held = {name: other if name in names else array for name, array in ARRAYS.items() if not (remove and name in names)}
    file = io.BytesIO()
    np.savez(file, **held)
    with_files(folder, golden=file.getvalue())
    judge(folder)


@given(place=st.integers(0, len(GOLDEN) - 1), byte=st.integers(0, 255), end=st.booleans())
def test_golden_vectors_that_are_damaged(folder: Path, place: int, byte: int, end: bool) -> None:
    with_files(folder, golden=GOLDEN[:place] if end else GOLDEN[:place] + bytes([byte]) + GOLDEN[place + 1 :])
    judge(folder)


@given(raw=broken_texts('{"confidence": {"temperature": 0.8985, "unsure_below": 0.59}}'))
def test_a_parity_report_that_is_broken(folder: Path, raw: bytes) -> None:
    with_files(folder, parity=raw, golden=GOLDEN)
    judge(folder)
