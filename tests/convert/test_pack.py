"""A packed file computes what it did, is smaller, and keeps what a user of it asks for by name."""

from __future__ import annotations

import numpy as np
import pytest

from convert.quantize.full_integer import to_int8
from convert.tflite.compaction import pack
from convert.tflite.flatbuffer import parse
from convert.tflite.inspection import multiply_adds_of, operators, parameters_of
from convert.tflite.keras_export import float_tflite
from convert.train.networks import NETWORKS, build_network
from fer_edge.classifier import KERNELS, Classifier
from fer_edge.errors import BundleRefused

FACES = np.random.default_rng(0).integers(0, 256, (8, 48, 48)).astype(np.uint8)


@pytest.fixture(scope="module")
def plain() -> bytes:
    return to_int8(float_tflite(build_network(NETWORKS["nano"])), FACES, packed=False)


@pytest.mark.parametrize("kernels", sorted(KERNELS))
def test_the_same_logits_from_fewer_bytes(plain: bytes, kernels: str) -> None:
    small = pack(plain)
    assert len(small) < 0.85 * len(plain)
    ours, theirs = (Classifier(content, kernels=kernels).logits(FACES) for content in (small, plain))
    np.testing.assert_array_equal(ours, theirs)


def test_what_is_told_of_it_stays(plain: bytes) -> None:
    small = pack(plain)
    assert pack(small) == small
    assert operators(small) == operators(plain)
    assert parameters_of(small) == parameters_of(plain)
    assert multiply_adds_of(small) == multiply_adds_of(plain)
    (_, ours), (_, theirs) = parse(small), parse(plain)
    names = [[model.subgraphs[0].tensors[i].name for i in model.subgraphs[0].inputs] for model in (ours, theirs)]
    assert names[0] == names[1]
    assert len(ours.signatureDefs or []) == len(theirs.signatureDefs or [])


def test_nano_fits_its_budget(plain: bytes) -> None:
    assert len(pack(plain)) <= 93_000


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(BundleRefused, match="TFL3"):
        pack(b"\\x00" * 64)
