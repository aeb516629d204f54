"""bundle.json is read and written without a change, its JSON Schema describes it, and wrong values are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fer_edge.bundle_spec import FORMAT, OUTPUT_KINDS, SCHEMA_FILE, BundleSpec
from fer_edge.errors import BundleRefused

MODELS = Path(__file__).parents[2] / "models"
NAMES = ("edge", "nano", "paper")
SCHEMA = json.loads(SCHEMA_FILE.read_text())


def text_of(name: str) -> str:
    return (MODELS / name / "bundle.json").read_text()


def values_of(name: str = "edge") -> dict[str, Any]:
    values: dict[str, Any] = json.loads(text_of(name))
    return values


def strict(schema: Any) -> Any:
    """The schema with fields that it does not name refused, in every object."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(each) for key, each in schema.items()}
    return (
        inner | {"additionalProperties": False}
        if "required" in schema and "additionalProperties" not in schema
        else inner
    )


def with_value(path: str, value: object) -> dict[str, Any]:
    """edge's bundle.json with another value at a path such as `runtimes.0.agreement`."""
    values = copy.deepcopy(values_of())
    *parents, key = path.split(".")
    inner: Any = values
    for parent in parents:
        inner = inner[int(parent) if isinstance(inner, list) else parent]
    inner[key] = value
    return values


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_bundle_json_is_read_and_written_to_the_last_byte(name: str) -> None:
    spec = BundleSpec.from_json(values_of(name))
    assert json.dumps(spec.to_json(), indent=1) + "\n" == text_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_names_every_field_of_a_shipped_bundle(name: str) -> None:
    Draft202012Validator(strict(SCHEMA)).validate(values_of(name))


def test_the_schema_is_valid_and_agrees_with_the_code() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["format"]["const"] == FORMAT == 1
    assert SCHEMA["properties"]["output"]["properties"]["kind"]["enum"] == list(OUTPUT_KINDS)


def test_fields_of_a_later_version_are_ignored() -> None:
    values = values_of() | {"later": 1}
    Draft202012Validator(SCHEMA).validate(values)
    assert BundleSpec.from_json(values) == BundleSpec.from_json(values_of())


def test_runtimes_may_differ_by_more_than_is_allowed() -> None:
    values = with_value("golden.measured", {"steps": 39.4, "rms_steps": 16.4, "slope": 0.3})
    Draft202012Validator(SCHEMA).validate(values)
    assert BundleSpec.from_json(values).golden.measured.steps == 39.4


def test_optional_records_are_left_out_and_null_ones_are_written() -> None:
    values = with_value("provenance.float_model", None)
    values["provenance"] |= {"float_sha256": None, "calibration": {"kind": "not known"}}
    del values["provenance"]["data"]
    values["runtimes"][0]["agreement"] = None
    Draft202012Validator(SCHEMA).validate(values)
    assert BundleSpec.from_json(values).to_json() == values


def test_the_record_of_mixed_precision_is_read_and_written() -> None:
    mixed = {"layers": ["dense_2"], "int8_bytes": 10, "mixed_bytes": 20, "time_ratio": 1.2, "agreement": 0.9}
    values = with_value("provenance.calibration.mixed_precision", mixed)
    Draft202012Validator(strict(SCHEMA)).validate(values)
    assert BundleSpec.from_json(values).to_json() == values


WRONG = {
    "format": 2,
    "name": "../evil",
    "labels": ["happy"],
    "input.side": 0,
    "input.channels": 2,
    "input.range": [255.0],
    "input.mappings.haar.scale": 0,
    "input.mappings.haar.level": 1.5,
    "input.mappings.haar.grow": 0.3,
    "output.kind": "boxes",
    "quantization.scheme": 8,
    "quantization.input.scale": -1.0,
    "quantization.output.zero_point": 0.5,
    "thresholds.temperature": 0,
    "thresholds.unsure_below": 1.1,
    "cost.multiply_adds": -1,
    "cost.bytes": "many",
    "operators.versions.ADD": 0,
    "operators.supported_by": ["litert", "litert"],
    "runtimes.0.verdict": None,
    "runtimes.0.agreement": 2,
    "provenance.source.sha256": "abc",
    "provenance.float_sha256": 7,
    "provenance.float_model.range": "0 to 255",
    "provenance.calibration.seed": -1,
    "provenance.calibration.ranges.correct": "yes",
    "provenance.versions.numpy": 2,
    "provenance.data.train": -5,
    "golden.crops": 0,
    "golden.runtimes": [],
    "golden.output_step": 0,
    "golden.measured.steps": -1,
    "golden.limits.same_runtime.slope": -0.1,
    "golden.limits.other_runtime.steps": 40,
    "files.golden.npz": {"bytes": 1},
}


@pytest.mark.parametrize(("path", "value"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_refused_by_the_reader_and_by_the_schema(path: str, value: object) -> None:
    if path.startswith("files."):
        values = values_of()
        values["files"][path.removeprefix("files.")] = value
    else:
        values = with_value(path, value)
    assert not Draft202012Validator(SCHEMA).is_valid(values)
    with pytest.raises(BundleRefused) as caught:
        BundleSpec.from_json(values, "here/bundle.json")
    message = str(caught.value)
    field = path.replace(".0.", "[0].")
    assert message.startswith("here/bundle.json") and message.endswith("again")
    assert field in message


def test_a_message_names_the_field_its_value_and_what_was_expected() -> None:
    with pytest.raises(BundleRefused) as caught:
        BundleSpec.from_json(with_value("thresholds.unsure_below", 1.1), "here/bundle.json")
    assert str(caught.value) == (
        "here/bundle.json: thresholds.unsure_below is 1.1, not a number from 0 to 1; copy the bundle again"
    )


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_file_that_holds_no_object_is_refused(value: object) -> None:
    with pytest.raises(BundleRefused, match="not a JSON object"):
        BundleSpec.from_json(value)


@pytest.mark.parametrize(
    ("label", "says"),
    [("happy\x1b[8m", "that can be printed"), ("unsure", "“unsure” stands for"), ("x" * 65, "65 characters")],
)
def test_a_bundle_with_a_label_that_cannot_be_used_is_refused(label: str, says: str) -> None:
    values = values_of()
    values["labels"][3] = label
    with pytest.raises(BundleRefused, match=f"^bundle.json: .*{says}.*copy the bundle again"):
        BundleSpec.from_json(values)


@pytest.mark.parametrize("name", ["edge", "Gesichter 2 – größer", "v1.2_ok", "顔", "x" * 200, "-a"])
def test_a_name_that_a_file_can_have_is_read(name: str) -> None:
    values = with_value("name", name)
    Draft202012Validator(SCHEMA).validate(values)
    assert BundleSpec.from_json(values).name == name


@pytest.mark.parametrize(
    "name", ["", 7, "/tmp/abs", "../../evil", "a\\b", ".", "..", ".hidden", "a\nb\x1b[31m", "x" * 201]
)
def test_a_name_that_would_be_a_path_is_refused(name: object) -> None:
    values = with_value("name", name)
    assert not Draft202012Validator(SCHEMA).is_valid(values)
    with pytest.raises(BundleRefused, match=r"^bundle.json: name is .*; copy the bundle again$"):
        BundleSpec.from_json(values)


def test_a_name_is_bounded_in_bytes() -> None:
    with pytest.raises(BundleRefused, match="not a name that a file can have: 1 to 200 bytes"):
        BundleSpec.from_json(with_value("name", "顔" * 67))
