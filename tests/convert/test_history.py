"""history.json: read and written without a difference, described by its schema, and refused with the place of the fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import external_history, training_history
from jsonschema import Draft202012Validator

from convert.train.history import SCHEMA_FILE, InitialModel, InterpolationRecord, OffsetsRecord, TrainingHistory
from fer_edge.errors import UsageError

MODELS = Path(__file__).parents[2] / "models"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
SHIPPED = sorted(path.parent.name for path in MODELS.glob("*/history.json"))
OFFSETS = OffsetsRecord("validation", 0.1, {"yes": 0.2, "no": -0.2}, (0.7, 0.7), (0.4, 0.5))
INTERPOLATION = InterpolationRecord(0.8, "validation", (0.7, 0.6, 0.69), (0.5, 0.7, 0.65))


def full() -> TrainingHistory:
    """A history with everything that one may hold: a teacher, an initial model with its history, interpolation, offsets."""
    first = replace(training_history(["yes", "no"]), offsets=OFFSETS, interpolation=INTERPOLATION)
    known = {"framework": "JAX 0.6", "hardware": "1 × GPU", "outside_labels": "votes"}
    return replace(
        first, teachers=("1" * 64,), teachers_policy="mixed_bfloat16", init=InitialModel("2" * 64, first), **known
    )


def strict() -> Draft202012Validator:
    """The schema with fields that it does not name refused, as our own files must not have any."""
    schema = copy.deepcopy(SCHEMA)
    for name, definition in schema["$defs"].items():
        if definition.get("type") == "object":
            assert (
                name in ("history", "fingerprint", "initial_model", "epoch", "offsets", "interpolation", "file")
                or "external" in name
            )
            definition["additionalProperties"] = False
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_history_fits_the_schema_and_is_written_as_it_was_read(name: str, tmp_path: Path) -> None:
    assert len(SHIPPED) >= 3
    path = MODELS / name / "history.json"
    strict().validate(json.loads(path.read_text()))
    TrainingHistory.read(path).write(tmp_path / "history.json")
    assert (tmp_path / "history.json").read_text() == path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["history.json"]


def test_everything_that_a_history_may_hold_fits_the_schema_and_comes_back() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    values = json.loads(json.dumps(full().to_json()))
    strict().validate(values)
    assert TrainingHistory.from_json(values) == full()
    assert "offsets" not in training_history().to_json()
    Draft202012Validator(SCHEMA).validate(values | {"added later": 1})
    assert TrainingHistory.from_json(values | {"added later": 1}) == full()


def test_an_external_run_may_know_nothing_but_the_validation_accuracy_of_some_epochs() -> None:
    history = external_history(["yes", "no"])
    values = json.loads(json.dumps(history.to_json()))
    strict().validate(values)
    assert values["epochs"][0]["loss"] is None and TrainingHistory.from_json(values) == history
    assert (history.best.epoch, history.best.val_accuracy, history.last_epoch) == (20, 0.7, 22)
    assert {row.val_loss for row in history.summary().epochs} == {None}
    assert "external" not in training_history().to_json()


def test_an_epoch_with_a_score_may_have_no_accuracy_and_is_judged_by_the_score() -> None:
    history = training_history(["yes", "no"])
    rows = [replace(row, val_score=1 - row.epoch / 10, val_accuracy=None) for row in history.epochs]
    scored = replace(history, epochs=(*rows[:-1], replace(rows[-1], val_accuracy=0.9)), best_epoch=1)
    values = json.loads(json.dumps(scored.to_json()))
    strict().validate(values)
    assert TrainingHistory.from_json(values) == scored
    assert [row.judged_by for row in scored.summary().epochs] == [0.9, 0.8, 0.7]
    assert "val_score" not in history.to_json()["epochs"][0] and history.best.judged_by == history.best.val_accuracy
    del values["epochs"][0]["val_score"]
    assert not strict().is_valid(values), "neither"


def test_outside_labels_are_known_of_an_external_run_and_of_one_that_learned_votes() -> None:
    ours, votes = training_history(["yes", "no"]), "FER+ votes (microsoft/FERPlus, MIT)"
    assert ours.known_outside_labels is None
    assert replace(ours, recipe={**ours.recipe, "targets": "votes"}).known_outside_labels == votes
    assert replace(ours, recipe={**ours.recipe, "votes_weight": 1.0}).known_outside_labels == votes
    assert replace(ours, outside_labels="through a teacher: votes").known_outside_labels == "through a teacher: votes"
    shipped = {name: TrainingHistory.read(MODELS / name / "history.json").known_outside_labels for name in SHIPPED}
    assert shipped["paper"] is None
    for name in set(SHIPPED) - {"paper"}:
        assert votes in str(shipped[name]), name


@pytest.mark.parametrize("name", [*SCHEMA["$defs"]["external"]["required"], "teachers.val_accuracy", "script.sha256"])
def test_an_external_run_without_a_field_is_refused(name: str) -> None:
    values = json.loads(json.dumps(external_history().to_json()))
    place, _, field = name.rpartition(".")
    inner = values["external"]
    inner = inner["teachers"][0] if place == "teachers" else inner[place] if place else inner
    del inner[field]
    assert not strict().is_valid(values)
    with pytest.raises(ValueError, match=f"has no “{field}”"):
        TrainingHistory.from_json(values)


@pytest.mark.parametrize("name", [*SCHEMA["$defs"]["history"]["required"], "epochs.loss", "data.sha256"])
def test_a_history_without_a_field_is_refused(name: str) -> None:
    values = json.loads(json.dumps(full().to_json()))
    place, _, field = name.rpartition(".")
    inner = values["epochs"][1] if place == "epochs" else values[place] if place else values
    del inner[field]
    assert not strict().is_valid(values)
    with pytest.raises(ValueError, match=f"has no “{field}”"):
        TrainingHistory.from_json(values)


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    values = json.loads(json.dumps(full().to_json()))
    change(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting"),
        ("[]", "it is '[]', not an object"),
        (edited(lambda h: h.update(epochs=[])), "best_epoch is 3 of 0 epochs"),
        (edited(lambda h: h.update(best_epoch=4)), "best_epoch is 4 of 3 epochs"),
        (edited(lambda h: h.update(best_epoch="3")), "best_epoch is '3', not a whole number"),
        (edited(lambda h: h.update(labels="yes")), "labels is 'yes', not a list"),
        (edited(lambda h: h.update(recipe={})), "seed"),
        (edited(lambda h: h["epochs"][1].update(loss="low")), "epochs[1].loss is 'low', not a number"),
        (edited(lambda h: h["epochs"][1].update(loss=None)), "epochs lack scores, which only an external run may"),
        (
            edited(lambda h: h["epochs"][1].update(val_accuracy=None)),
            "epochs have neither val_accuracy nor val_score",
        ),
        (edited(lambda h: h["recipe"].update(targets="both")), "epochs lack val_score"),
        (edited(lambda h: h["epochs"][1].update(epoch=3)), "epochs are not numbered upwards from 1"),
        (edited(lambda h: h["offsets"].update(val_accuracy=[0.5])), "offsets.val_accuracy is '[0.5]', not a list of 2"),
        (edited(lambda h: h["init"]["history"]["data"].update(train=1.5)), "init.history.data.train is '1.5'"),
        (edited(lambda h: h["epochs"][1].update(loss=float("nan"))), "NaN is not a number of JSON"),
        (edited(lambda h: h["epochs"][1].update(loss=10**400)), "epochs[1].loss is '1000"),
        (edited(lambda h: h["recipe"].update(learning_rate=10**400)), "recipe.learning_rate is '1000"),
        (edited(lambda h: h.update(recipe=5)), "recipe is '5', not an object"),
        (edited(lambda h: h["init"]["history"].update(best_epoch=99)), "init.history: best_epoch is 99 of"),
    ],
)
def test_a_file_that_is_no_history_is_refused_with_the_place_of_the_fault(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "history.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="not a history of") as refused:
        TrainingHistory.read(path)
    assert message in str(refused.value) and str(path) in str(refused.value)
