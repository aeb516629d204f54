"""A damaged .tflite file is run in a child process first: whatever it does there, this process gets a sentence."""

from __future__ import annotations

import os
import resource

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fer_edge.classifier import find_runtime
from fer_edge.errors import BundleRefused
from fer_edge.model_trial import try_model
from fer_edge.shipped_bundles import shipped_path

NANO = (shipped_path("nano") / "model.tflite").read_bytes()
# a child process takes half a second
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30")) // 10


def seconds_of_children() -> float:
    """The processor time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@settings(max_examples=max(3, EXAMPLES))
@example(changes=[(4, 0)])
@given(changes=st.lists(st.tuples(st.integers(0, len(NANO) - 1), st.integers(0, 255)), min_size=1, max_size=40))
def test_a_damaged_model_is_refused_or_runs_in_a_child(changes: list[tuple[int, int]]) -> None:
    content = bytearray(NANO)
    for place, byte in changes:
        content[place] = byte
    is_identified, refused = content[4:8] == b"TFL3", False
    before_s = seconds_of_children()
    try:
        try_model(bytes(content), "model.tflite", find_runtime())
    except BundleRefused as error:
        refused = True
        assert "model.tflite" in str(error) and str(error).isprintable()
    assert seconds_of_children() > before_s
    assert refused or is_identified


@settings(max_examples=max(3, EXAMPLES))
@given(content=st.one_of(st.binary(max_size=300), st.integers(8, len(NANO) - 1).map(lambda end: NANO[:end])))
def test_a_part_of_a_model_is_refused_in_a_printable_sentence(content: bytes) -> None:
    with pytest.raises(BundleRefused, match=r"model\.tflite") as refused:
        try_model(content, "model.tflite", find_runtime())
    assert str(refused.value).isprintable()
