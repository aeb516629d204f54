"""Which version of each operator a runtime has: the table against the runtimes themselves, and files that ask for more."""

from __future__ import annotations

import json

import pytest

from convert.tflite.flatbuffer import parse
from convert.tflite.inspection import versions_of
from convert.tflite.op_versions import CLAIMED, ask, known, newer, one_operator, refuse_newer
from convert.versions import main
from fer_edge.classifier import find_runtime
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import shipped_path


@pytest.fixture(scope="module")
def nano() -> bytes:
    return (shipped_path("nano") / "model.tflite").read_bytes()


def test_the_table_is_what_the_runtime_here_answers() -> None:
    """Asked anew of the LiteRT installed; a later one may have more, never less."""
    runtime = find_runtime("litert")
    answers = ask(runtime)
    assert answers["CONV_2D"] >= 8 and len(answers) > 150
    if runtime.id in known():
        assert answers == known()[runtime.id]
    for name, version in known()["litert 2.3.0"].items():
        assert answers.get(name, 0) >= version, name


def test_claimed_runtimes_are_known_and_tensorflows_own_has_older_operators_than_litert() -> None:
    assert set(CLAIMED) <= set(known()) and "tensorflow 2.21.0" in known()
    old, new = known()["tflite-runtime 2.14.0"], known()["litert 2.3.0"]
    assert all(version <= new[name] for name, version in old.items())
    assert old["FULLY_CONNECTED"] < new["FULLY_CONNECTED"]


def test_a_file_of_one_operator_says_so() -> None:
    schema, _ = parse(one_operator(3, 1))
    code = schema.BuiltinOperator.CONV_2D
    assert versions_of(one_operator(code, 5)) == {"CONV_2D": 5}


def test_the_shipped_model_starts_on_every_claimed_runtime(nano: bytes) -> None:
    assert {runtime: newer(nano, runtime) for runtime in CLAIMED} == {runtime: [] for runtime in CLAIMED}
    refuse_newer(nano)


def test_what_an_older_runtime_lacks_is_named() -> None:
    schema, _ = parse(one_operator(0, 1))
    content = one_operator(schema.BuiltinOperator.CONV_2D, 8)
    with pytest.raises(
        UsageError, match=r"tflite-runtime 2\.14\.0 lacks CONV_2D version 8 \(it has 7\).*'litert 2\.3\.0'"
    ):
        refuse_newer(content)
    refuse_newer(content, ["litert 2.3.0"])
    with pytest.raises(UsageError, match="older converter"):
        refuse_newer(one_operator(schema.BuiltinOperator.CONV_2D, 99))
    with pytest.raises(UsageError, match="STABLEHLO_ADD \\(it has none\\)"):
        refuse_newer(one_operator(schema.BuiltinOperator.STABLEHLO_ADD, 1))
    with pytest.raises(UsageError, match="is not known; known are litert"):
        refuse_newer(content, ["onnxruntime 1.0"])


def test_asked_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runtime", "litert"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {find_runtime("litert").id: ask(find_runtime("litert"))}
    assert main(["--runtime", "onnx"]) == 2
    assert "there is no runtime" in capsys.readouterr().err
