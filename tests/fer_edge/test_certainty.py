"""Which label is reported: by a threshold of each label, by a single one, or by the user's setting."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from convert.bundle.bundle_update import update_bundle
from fer_edge.bundle import Bundle
from fer_edge.bundle_spec import SCHEMA_FILE, BundleSpec
from fer_edge.certainty import NEVER, thresholds_by_label, thresholds_sentence
from fer_edge.cli import main
from fer_edge.errors import BundleRefused
from fer_edge.events import UNSURE
from fer_edge.labels import LABELS
from fer_edge.quality import Quality, unsure_reason
from fer_edge.shipped_bundles import shipped_path
from fer_edge.thresholds import LabelThresholds, StatedPrior

BELOW = {"angry": 0.9, "disgust": None, "fear": None, "happy": 0.25, "neutral": 0.0, "sad": 1.0, "surprise": 0.7}
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


@pytest.fixture(scope="module")
def single() -> BundleSpec:
    """A spec with one threshold for all labels."""
    spec = Bundle.load(shipped_path("nano")).spec
    return replace(spec, thresholds=spec.thresholds._replace(unsure_below=0.59, labels=None))


@pytest.fixture(scope="module")
def by_label(single: BundleSpec) -> BundleSpec:
    labels = LabelThresholds(0.8, StatedPrior("neutral", 0.7), BELOW)
    return replace(single, thresholds=single.thresholds._replace(labels=labels))


def is_unsure(spec: BundleSpec, label: str, p: float, unsure_below: float | None = None) -> bool:
    """Whether a good crop whose best label has that probability is unsure."""
    threshold = thresholds_by_label(spec, unsure_below)[LABELS.index(label)]
    return unsure_reason(p, Quality(1.0, ""), threshold) == "confidence"


@pytest.mark.parametrize(
    ("label", "p", "reported"),
    [
        ("happy", 0.3, "happy"),
        ("happy", 0.24, UNSURE),
        ("angry", 0.89, UNSURE),
        ("angry", 0.91, "angry"),
        ("fear", 0.999, UNSURE),
        ("disgust", 1.0, UNSURE),
        ("neutral", 0.2, "neutral"),
        ("sad", 1.0, "sad"),
    ],
)
def test_each_label_has_its_own_threshold(by_label: BundleSpec, label: str, p: float, reported: str) -> None:
    assert (UNSURE if is_unsure(by_label, label, p) else label) == reported


def test_a_bundle_with_one_threshold_keeps_it_for_all_labels(single: BundleSpec) -> None:
    assert thresholds_by_label(single) == (0.59,) * 7


def test_the_setting_replaces_the_thresholds_of_either_kind(single: BundleSpec, by_label: BundleSpec) -> None:
    assert thresholds_by_label(single, 0.1) == thresholds_by_label(by_label, 0.1) == (0.1,) * 7
    assert not is_unsure(by_label, "fear", 0.5, unsure_below=0.0)


def test_the_thresholds_are_told_in_words(by_label: BundleSpec) -> None:
    assert thresholds_by_label(by_label)[1] == NEVER
    assert thresholds_sentence(LABELS, thresholds_by_label(by_label)) == (
        "angry from 0.9, happy from 0.25, neutral always, sad from 1, surprise from 0.7; disgust, fear are never reported"
    )


def test_the_thresholds_are_read_and_written_and_described_by_the_schema(by_label: BundleSpec) -> None:
    values = by_label.to_json()
    assert values["thresholds"]["labels"]["below"] == BELOW and values["thresholds"]["labels"]["prior"]["share"] == 0.7
    SCHEMA.validate(values)
    assert BundleSpec.from_json(json.loads(json.dumps(values))) == by_label
    unstated = replace(by_label, thresholds=by_label.thresholds._replace(labels=LabelThresholds(0.8, None, BELOW)))
    SCHEMA.validate(unstated.to_json())
    assert BundleSpec.from_json(unstated.to_json()) == unstated


def test_a_spec_without_them_is_written_without_the_field(single: BundleSpec) -> None:
    assert set(single.to_json()["thresholds"]) == {"temperature", "unsure_below"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("below", {**BELOW, "sad": 1.5}, "thresholds.labels.below.sad is 1.5"),
        ("below", {"happy": 0.5}, "thresholds.labels.below.angry is missing"),
        ("prior", {"label": "bored", "share": 0.5}, "thresholds.labels.prior.label is 'bored'"),
        ("right", 2, "thresholds.labels.right is 2"),
    ],
)
def test_wrong_thresholds_are_refused(by_label: BundleSpec, name: str, value: object, words: str) -> None:
    values = by_label.to_json()
    values["thresholds"]["labels"][name] = value
    with pytest.raises(BundleRefused, match=words):
        BundleSpec.from_json(values)


def test_verify_lists_the_thresholds_of_labels_only_where_there_are_some(
    by_label: BundleSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shipped_path("nano"), tmp_path / "nano")

    def add_thresholds(folder: Path, spec: BundleSpec) -> BundleSpec:
        parity = json.loads((folder / "parity.json").read_text())
        prior = {"label": "neutral", "share": 0.7}
        parity["confidence"]["labels"] = {"right": 0.8, "prior": prior, "below": BELOW}
        (folder / "parity.json").write_text(json.dumps(parity))
        own = spec.thresholds._replace(labels=by_label.thresholds.labels)
        return replace(spec, thresholds=own)

    bundle = update_bundle(tmp_path / "nano", add_thresholds)
    assert bundle.spec.thresholds.labels == by_label.thresholds.labels
    assert main(["verify", str(tmp_path / "nano")]) == 0
    assert "disgust, fear are never reported" in capsys.readouterr().out.splitlines()[1]
    assert main(["verify", str(tmp_path / "nano"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thresholds"] == BELOW
