"""The newest version of each operator of each runtime: the table against the runtimes, and files that need more."""

from __future__ import annotations

import json

import pytest

from convert.tflite.flatbuffer import tflite_schema
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_versions
from convert.tflite.op_versions import (
    CLAIMED,
    known,
    missing_operators,
    newest_versions,
    one_operator,
    require_operators,
)
from convert.versions import main
from fer_edge.classifier import find_runtime
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import shipped_path


@pytest.fixture(scope="module")
def nano() -> Graph:
    return Graph((shipped_path("nano") / "model.tflite").read_bytes())


def test_the_table_agrees_with_the_installed_runtime() -> None:
    """A later LiteRT may have more than the table says, never less."""
    runtime = find_runtime("litert")
    answers = newest_versions(runtime)
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


def test_a_file_of_one_operator_names_its_version() -> None:
    code = tflite_schema().BuiltinOperator.CONV_2D
    assert operator_versions(Graph(one_operator(code, 5))) == {"CONV_2D": 5}


def test_the_shipped_model_starts_on_every_claimed_runtime(nano: Graph) -> None:
    assert {runtime: missing_operators(nano, runtime) for runtime in CLAIMED} == {runtime: [] for runtime in CLAIMED}
    require_operators(nano)


def test_operators_that_a_runtime_lacks_are_named_with_a_remedy() -> None:
    builtin = tflite_schema().BuiltinOperator
    graph = Graph(one_operator(builtin.CONV_2D, 8))
    with pytest.raises(
        UsageError, match=r"tflite-runtime 2\.14\.0 lacks CONV_2D version 8 \(it has 7\).*'litert 2\.3\.0'"
    ):
        require_operators(graph)
    require_operators(graph, ["litert 2.3.0"])
    with pytest.raises(UsageError, match="older converter"):
        require_operators(Graph(one_operator(builtin.CONV_2D, 99)))
    with pytest.raises(UsageError, match="STABLEHLO_ADD \\(it has none\\)"):
        require_operators(Graph(one_operator(builtin.STABLEHLO_ADD, 1)))
    with pytest.raises(UsageError, match="are not known; known runtimes are litert"):
        require_operators(graph, ["onnxruntime 1.0"])


def test_the_command_prints_what_a_runtime_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runtime", "litert"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table == {find_runtime("litert").id: newest_versions(find_runtime("litert"))}
    assert main(["--runtime", "onnx"]) == 2
    assert "there is no runtime" in capsys.readouterr().err
