"""The JSON Schema that is shipped: it says what the code writes, takes every released line, and refuses what is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fer_edge.errors import UsageError
from fer_edge.events import KINDS, SCHEMA, SCHEMA_FILE, Event
from fer_edge.journal.segments import segments

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
SHIPPED = json.loads(SCHEMA_FILE.read_text())
LINES = {
    version: [
        json.loads(line)
        for path in segments(JOURNALS / version)
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]
    for version in ("v1",)
}


def strict() -> Draft202012Validator:
    """The shipped schema, with fields it does not name refused: what our own lines must not have."""
    return Draft202012Validator(copy.deepcopy(SHIPPED) | {"unevaluatedProperties": False})


def test_the_schema_is_valid_and_has_the_kinds_of_the_code() -> None:
    Draft202012Validator.check_schema(SHIPPED)
    assert SHIPPED["properties"]["kind"]["enum"] == list(KINDS)
    assert [ref["$ref"].removeprefix("#/$defs/") for ref in SHIPPED["oneOf"]] == list(KINDS)
    assert SHIPPED["$defs"]["header"]["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_is_described_in_words(kind: str) -> None:
    fields = set(SHIPPED["$defs"][kind]["properties"]) - {"kind"}
    assert [field for field in sorted(fields) if field not in KINDS[kind]] == []


@pytest.mark.parametrize("version", LINES)
def test_every_line_of_the_fixtures_is_valid_without_unknown_fields(version: str) -> None:
    validator = strict()
    assert len(LINES[version]) > 20
    for line in LINES[version]:
        validator.validate(line)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_allowed(kind: str) -> None:
    line = next(line for line in LINES["v1"] if line["kind"] == kind)
    Draft202012Validator(SHIPPED).validate(line | {"tomorrow": 1})
    assert not strict().is_valid(line | {"tomorrow": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_any_line_may_say_how_many_after_it_were_purged(kind: str) -> None:
    line = next(line for line in LINES["v1"] if line["kind"] == kind)
    strict().validate(line | {"purged": 3})
    assert Event.parse(json.dumps(line | {"purged": 3})).body["purged"] == 3
    for wrong in (-1, 0.5, "3", None):
        assert not strict().is_valid(line | {"purged": wrong})
        with pytest.raises(UsageError, match="purged is"):
            Event.parse(json.dumps(line | {"purged": wrong}))


REQUIRED = [
    (kind, name) for kind in KINDS for name in (*SHIPPED["required"], *SHIPPED["$defs"][kind].get("required", ()))
]


@pytest.mark.parametrize(("kind", "name"), REQUIRED)
def test_a_line_without_a_required_field_is_refused(kind: str, name: str) -> None:
    line = dict(next(line for line in LINES["v1"] if line["kind"] == kind))
    del line[name]
    assert not Draft202012Validator(SHIPPED).is_valid(line)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("header", {"schema": 2}),
        ("header", {"schema": 0}),
        ("header", {"labels": []}),
        ("header", {"labels": ["sad", "sad"]}),
        ("header", {"continues": "../journal-000001.jsonl"}),
        ("camera", {"state": "gone"}),
        ("camera", {"gap_s": -1}),
        ("reading", {"p": [0.5, 1.5]}),
        ("reading", {"xywh": [1, 2, 3]}),
        ("reading", {"xywh": [1.5, 2, 3, 4]}),
        ("episode", {"frames": 0}),
        ("episode", {"ended": "because"}),
        ("episode", {"label": ""}),
        ("tally", {"labels_s": {"happy": "long"}}),
        ("tally", {"drops": {"busy": -1}}),
        ("health", {"throttled_now": ["tired"]}),
        ("health", {"undervoltage": "no"}),
        ("clock", {"to": "right"}),
        ("repair", {"cut_bytes": -1}),
        ("gap", {"lost": {}}),
        ("gap", {"seq": -1}),
        ("resume", {"paused_s": None}),
        ("end", {"frames": {"read": 1}}),
        ("tally", {"kind": "talley"}),
        ("tally", {"wall": "2026-01-01 12:00"}),
        ("tally", {"clock": "set"}),
        ("tally", {"mono_s": "5"}),
    ],
)
def test_a_wrong_value_is_refused(kind: str, wrong: dict[str, Any]) -> None:
    line = next(line for line in LINES["v1"] if line["kind"] == kind)
    assert not Draft202012Validator(SHIPPED).is_valid(line | wrong)
