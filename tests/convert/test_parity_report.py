"""parity.json is read and written without a change, its JSON Schema describes it, and a damaged one is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from convert.evaluate.confidence_calibration import CalibrationError, ConfidenceCalibration, Coverage
from convert.evaluate.label_thresholds import LabelCalibration, LabelCoverage
from convert.json_dataclass import from_json
from convert.parity.comparison import compare_on_logits
from convert.parity.differences import ClassDifference, LogitDifference, MeasuredRuntime, PartDifference
from convert.parity.paired_tests import PairedDifference
from convert.parity.parity_report import (
    FILE_NAME,
    SCHEMA_FILE,
    Bootstrap,
    Curves,
    ParityReport,
    RuntimeParity,
    read_parity,
    worst_runtime,
)
from convert.parity.reference_free_report import reference_free_report
from convert.parity.runtime_logits import RuntimeLogits, logits_on_runtime
from convert.parity.tolerances import Margins
from fer_edge.classifier import Classifier
from fer_edge.errors import BundleRefused
from fer_edge.shipped_bundles import shipped_path
from fer_edge.thresholds import StatedPrior

NAMES = ("edge", "nano", "paper")
SCHEMA = json.loads(SCHEMA_FILE.read_text())
CLASSES = {
    kind.__name__: kind
    for kind in (
        *(Bootstrap, CalibrationError, ClassDifference, ConfidenceCalibration, Coverage, Curves, LogitDifference),
        *(Margins, MeasuredRuntime, PairedDifference, PartDifference, RuntimeParity),
        *(LabelCalibration, LabelCoverage, StatedPrior),
    )
}


def text_of(name: str) -> str:
    return (shipped_path(name) / FILE_NAME).read_text(encoding="utf-8")


def names_of(kind: Any) -> list[str]:
    """The names of the fields of a dataclass or a named tuple."""
    return [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)


def values_of(name: str = "paper") -> dict[str, Any]:
    values: dict[str, Any] = json.loads(text_of(name))
    return values


def strict(schema: Any) -> Any:
    """The schema with fields that it does not name refused, in every object."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(each) for key, each in schema.items()}
    return inner | {"additionalProperties": False} if "properties" in schema and "type" in schema else inner


def validate(values: Any) -> None:
    """Checks values against the schema, and that it names every field of them."""
    Draft202012Validator(strict(SCHEMA)).validate(values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with paper's parity.json, to be damaged."""
    (tmp_path / FILE_NAME).write_text(text_of("paper"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_parity_json_is_read_and_written_to_the_last_byte(name: str) -> None:
    report = read_parity(shipped_path(name))
    assert json.dumps(report.to_json(), indent=1) + "\n" == text_of(name)
    assert from_json(ParityReport, json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_names_every_field_of_a_shipped_report(name: str) -> None:
    validate(values_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_report_of_a_shipped_bundle_is_that_of_its_worst_runtime(name: str) -> None:
    report = read_parity(shipped_path(name))
    assert report.passed and report.runtime == worst_runtime(report.runtimes)
    worst = report.runtimes[report.runtime]
    assert (report.verdict, report.failures, report.undecided) == (worst.verdict, worst.failures, worst.undecided)
    assert (report.logits, report.parts["together"]) == (worst.logits, worst.together)
    for key, row in report.runtimes.items():
        assert RuntimeLogits(row.ran_on, np.empty(0)).name == key


def test_the_schema_is_valid_and_has_the_fields_of_the_code() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"].keys() == CLASSES.keys()
    for name, schema in (("ParityReport", SCHEMA), *SCHEMA["$defs"].items()):
        kind = CLASSES.get(name, ParityReport)
        assert list(schema["properties"]) == names_of(kind), name


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"Bootstrap", "ConfidenceCalibration"}))
def test_all_fields_are_required_where_the_code_has_no_default(name: str) -> None:
    assert SCHEMA["$defs"][name]["required"] == names_of(CLASSES[name])


def test_a_report_on_synthetic_images_is_described_too(tmp_path: Path) -> None:
    classifier = Classifier(shipped_path("nano") / "model.tflite")
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48)).astype(np.uint8)
    labels = read_parity(shipped_path("nano")).labels
    report = compare_on_logits(classifier, [logits_on_runtime(classifier, images)], images, tuple(labels))
    assert report.parts == {} and report.confidence is None and report.curves is None
    validate(report.to_json())
    (tmp_path / FILE_NAME).write_text(json.dumps(report.to_json()), encoding="utf-8")
    assert read_parity(tmp_path) == report


def test_fields_of_a_later_version_are_ignored_and_missing_optional_ones_have_defaults(folder: Path) -> None:
    values = values_of() | {"later": 1}
    for name in ("bootstrap", "not_measured", "confidence", "curves"):
        del values[name]
    Draft202012Validator(SCHEMA).validate(values)
    (folder / FILE_NAME).write_text(json.dumps(values), encoding="utf-8")
    report = read_parity(folder)
    assert (report.bootstrap, report.not_measured, report.confidence, report.curves) == (Bootstrap(), [], None, None)
    assert report.runtimes == read_parity(shipped_path("paper")).runtimes


FIRST = next(iter(values_of()["runtimes"]))
WRONG: dict[tuple[str, ...], Any] = {
    ("verdict",): None,
    ("failures",): "none",
    ("undecided",): [1],
    ("runtime",): 7,
    ("logits",): [],
    ("logits", "slope"): "1.0",
    ("logits", "n"): 1.5,
    ("logits", "clear_agreement"): "many",
    ("parts",): [],
    ("parts", "together", "accuracy"): None,
    ("parts", "together", "accuracy", "difference"): True,
    ("parts", "together", "macro_auc"): 0.5,
    ("parts", "test", "classes", "sad", "n"): None,
    ("parts", "test", "classes", "sad", "recall", "equivalence_p"): "small",
    ("runtimes",): [],
    ("runtimes", FIRST): "pass",
    ("runtimes", FIRST, "ran_on", "kernels"): 1,
    ("runtimes", FIRST, "together"): 1,
    ("labels",): "happy",
    ("labels", "0"): 1,
    ("margins", "auc_macro"): None,
    ("bootstrap", "draws"): "2000",
    ("not_measured",): None,
    ("confidence", "temperature"): "warm",
    ("confidence", "coverage", "test"): {},
    ("confidence", "errors", "test", "before"): None,
    ("curves", "fpr", "0"): None,
    ("curves", "roc", "int8", "sad"): 0.5,
    ("curves", "confusion", "int8", "0", "0"): 0.5,
}


def parent_of(values: dict[str, Any], path: tuple[str, ...]) -> tuple[Any, Any]:
    """The object or list that holds the value at `path`, and its key there."""
    inner: Any = values
    for key in path[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    last = int(path[-1]) if isinstance(inner, list) else path[-1]
    assert isinstance(inner, list) or last in inner, path
    return inner, last


def refusal_of(folder: Path, content: bytes) -> str:
    """The message with which a damaged parity.json is refused."""
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(BundleRefused) as caught:
        read_parity(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / FILE_NAME} is not a parity report (") and message.endswith(
        "make the bundle again"
    )
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("path", "value"), WRONG.items(), ids=map(".".join, WRONG))
def test_a_wrong_value_is_refused_by_the_reader_and_by_the_schema(
    path: tuple[str, ...], value: Any, folder: Path
) -> None:
    values = copy.deepcopy(values_of())
    inner, key = parent_of(values, path)
    inner[key] = value
    assert not Draft202012Validator(SCHEMA).is_valid(values)
    message = refusal_of(folder, json.dumps(values).encode())
    assert next(name for name in reversed(path) if not name.isdecimal()) in message, "the message names the field"


REQUIRED = [
    *((name,) for name in SCHEMA["required"]),
    *(("logits", name) for name in SCHEMA["$defs"]["LogitDifference"]["required"]),
    *(("margins", name) for name in SCHEMA["$defs"]["Margins"]["required"]),
    *(("runtimes", FIRST, name) for name in SCHEMA["$defs"]["RuntimeParity"]["required"]),
    *(("runtimes", FIRST, "ran_on", name) for name in SCHEMA["$defs"]["MeasuredRuntime"]["required"]),
    *(("parts", "test", name) for name in SCHEMA["$defs"]["PartDifference"]["required"]),
    *(("parts", "test", "accuracy", name) for name in SCHEMA["$defs"]["PairedDifference"]["required"]),
    *(("parts", "test", "classes", "sad", name) for name in SCHEMA["$defs"]["ClassDifference"]["required"]),
    *(("confidence", name) for name in SCHEMA["$defs"]["ConfidenceCalibration"]["required"]),
    *(("curves", name) for name in SCHEMA["$defs"]["Curves"]["required"]),
]


@pytest.mark.parametrize("path", REQUIRED, ids=map(".".join, REQUIRED))
def test_a_missing_field_is_refused_by_the_reader_and_by_the_schema(path: tuple[str, ...], folder: Path) -> None:
    values = copy.deepcopy(values_of())
    inner, key = parent_of(values, path)
    del inner[key]
    assert not Draft202012Validator(SCHEMA).is_valid(values)
    assert f"has no “{key}”" in refusal_of(folder, json.dumps(values).encode())


def test_a_message_names_the_field_its_value_and_what_was_expected(folder: Path) -> None:
    values = values_of()
    values["parts"]["test"]["accuracy"]["int8"] = "high"
    assert refusal_of(folder, json.dumps(values).encode()) == (
        f"{folder / FILE_NAME} is not a parity report (parts.test.accuracy.int8 is 'high', not a number); make the bundle again"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe{}", text_of("paper")[:5000].encode()],
    ids=["empty", "cut after a byte", "a list", "null", "a string", "not UTF-8", "cut in the middle"],
)
def test_a_file_that_holds_no_object_is_refused(content: bytes, folder: Path) -> None:
    refusal_of(folder, content)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=rf"{FILE_NAME} cannot be read: No such file"):
        read_parity(tmp_path)


def test_a_report_without_a_float_model_is_not_read_as_one(folder: Path) -> None:
    classifier = Classifier(shipped_path("nano") / "model.tflite")
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48)).astype(np.uint8)
    report = reference_free_report([logits_on_runtime(classifier, images)], None, ("a", "b", "c", "d", "e", "f", "g"))
    assert not Draft202012Validator(SCHEMA).is_valid(report.to_json())
    refusal_of(folder, json.dumps(report.to_json()).encode())
