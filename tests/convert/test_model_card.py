"""The card of a model: what it states of its training, and no number that is not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builders import external_history, training_history

from convert.data.ferplus import FERPLUS_LABELS, LABEL_RULE
from convert.parity.parity_report import read_parity
from convert.report.model_card import bundle_card
from fer_edge.bundle import Bundle
from fer_edge.bundle_spec import BundleSpec

EDGE = Path(__file__).parents[2] / "models" / "edge"


def test_the_card_of_an_external_run_states_how_it_was_made() -> None:
    spec, parity = Bundle.load(EDGE).spec, read_parity(EDGE)
    card = bundle_card(spec, parity, external_history())
    assert "22 epochs on 700 training images" in card and "epoch 20, the best on 70" in card
    assert "(accuracy 0.7000)" in card and "None" not in card and "nan" not in card
    for words in (
        "not made by `python -m convert.train`",
        "train.py (SHA-256 4444444444444444…) with PyTorch 2.11 on one NVIDIA H200, in 552 s for the whole run",
        "Data: Training only. The epoch was chosen on PublicTest, epoch 20 of 22.",
        "Outside labels: FER+ votes (MIT).",
        "Teachers: wide, validation accuracy 0.7100, 0.7200 (with the outside labels).",
        "Half of the views are mixed.",
    ):
        assert words in card, words
    assert "not made by" not in bundle_card(spec, parity, training_history())


def test_the_card_states_the_score_that_chose_the_epoch_beside_its_accuracy() -> None:
    spec, parity, history = Bundle.load(EDGE).spec, read_parity(EDGE), training_history()
    assert "on 70 validation images (accuracy 0.2600). This" in bundle_card(spec, parity, history)
    scored = replace(history, epochs=tuple(replace(row, val_score=0.7) for row in history.epochs))
    score = "score 0.7000, which is half accuracy, half the mean share of FER+'s votes"
    assert f"({score}; accuracy 0.2600). This" in bundle_card(spec, parity, scored)
    unknown = replace(scored, epochs=tuple(replace(row, val_accuracy=None) for row in scored.epochs))
    assert f"({score}). This" in bundle_card(spec, parity, unknown)


def test_the_card_states_where_the_labels_of_the_data_are_from() -> None:
    spec, parity = Bundle.load(EDGE).spec, read_parity(EDGE)
    assert "labels of the data" not in bundle_card(spec, parity, None)
    provenance, thresholds = replace(spec.provenance, labels_from=LABEL_RULE), spec.thresholds._replace(labels=None)
    voted = replace(spec, labels=FERPLUS_LABELS, provenance=provenance, thresholds=thresholds)
    card = bundle_card(voted, parity, None)
    assert (
        f"| labels of the data | {LABEL_RULE} |" in card
        and "A displayed facial expression, one of angry, contempt" in card
    )
    assert BundleSpec.from_json(voted.to_json(), "here") == voted


def test_the_card_names_settings_of_teachers_only_where_there_were_some() -> None:
    spec, parity = Bundle.load(EDGE).spec, read_parity(EDGE)
    recipe = {**training_history().recipe, "teacher_share": 0.75, "temperature": 4.0, "teachers_see": "views"}
    alone = replace(training_history(), recipe=recipe)
    assert "teacher" not in bundle_card(spec, parity, alone) and "temperature 4" not in bundle_card(spec, parity, alone)
    card = bundle_card(spec, parity, replace(alone, teachers=("ab" * 32,)))
    assert "teacher share 0.75, temperature 4.0, teachers see views" in card
