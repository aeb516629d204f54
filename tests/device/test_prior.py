"""The device's own prior: EM finds shares that were hidden, within bounds, from readings that are confident and distinct."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import journal_events, write_video
from fakes import FakeClock
from jsonschema import Draft202012Validator

from convert.data.samples import Samples
from device.config import Settings
from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.tally import FrameCounts
from device.run import run
from device.system.status import StatusFile, read_instance
from device.system.status_record import Status
from device.vision.prior import (
    HALF_LIFE_S,
    MAX_CHANGE,
    MIN_READINGS,
    UPDATE_S,
    PriorEstimate,
    bounded_prior,
    estimate_prior,
    prior_by_label,
    update_prior,
)
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.events import SCHEMA_FILE
from fer_edge.label_priors import training_prior
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_frame
from tests.bench import prior as prior_bench

TRAINING = np.array([0.5, 0.3, 0.2])
S = 1_000_000_000


def readings(n: int, shares: np.ndarray, seed: int = 0, sharp: float = 2.0) -> np.ndarray:
    """Probabilities float32 (n, 3) by Bayes' rule under TRAINING, of faces whose classes have other shares."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=shares)
    x = rng.normal(sharp * np.eye(3)[y], 1.0)  # Gaussian classes: the log-likelihoods are linear in x
    odds = TRAINING * np.exp(sharp * x)
    return np.asarray(odds / odds.sum(1, keepdims=True), np.float32)


def estimated(
    rows: np.ndarray, start: PriorEstimate | None = None, from_s: int = 1, step_s: float = 1.0
) -> PriorEstimate:
    """The estimate after one reading after the other."""
    estimate = start or PriorEstimate.start(TRAINING)
    for n, row in enumerate(rows):
        estimate = update_prior(estimate, row[None], round((from_s + n * step_s) * S))
    return estimate


@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.2], [0.15, 0.7, 0.15], [0.2, 0.2, 0.6], [0.3, 0.1, 0.6]])
def test_em_finds_hidden_shares(shares: list[float]) -> None:
    rows = readings(4000, np.array(shares))
    for start in (TRAINING, np.full(3, 1 / 3)):
        assert estimate_prior(rows, np.ones(4000), TRAINING, start) == pytest.approx(shares, abs=0.03)


def test_the_prior_stays_within_a_quarter_and_four_times_the_training_shares() -> None:
    training = np.array([0.05, 0.05, 0.9])
    prior = bounded_prior(np.array([0.98, 0.001, 0.019]), training)
    expected = np.array([0.05 * MAX_CHANGE, 0.05 / MAX_CHANGE, 0.9 / MAX_CHANGE])
    assert prior == pytest.approx(expected / expected.sum())


def test_nothing_is_estimated_before_there_are_enough_readings() -> None:
    rows = readings(400, np.array([0.1, 0.8, 0.1]))
    rows = rows[rows.max(1) >= 0.5]
    before = estimated(rows[: MIN_READINGS - 1])
    assert before.updated_ns is None and before.logit_shift is None and before.prior is TRAINING
    after = estimated(rows[MIN_READINGS - 1 : MIN_READINGS], before, MIN_READINGS)
    assert after.logit_shift is not None and after.prior[1] > 0.6
    assert after.logit_shift == pytest.approx(np.log(after.prior / TRAINING))


def test_the_prior_is_updated_at_most_once_a_minute() -> None:
    rows = readings(600, np.array([0.1, 0.8, 0.1]))
    estimate, updates = PriorEstimate.start(TRAINING), set()
    for n, row in enumerate(rows):
        estimate = update_prior(estimate, row[None], n * S)
        updates.add(estimate.updated_ns)
    times = sorted(update for update in updates if update is not None)
    assert len(times) >= 5 and min(np.diff(times)) >= UPDATE_S * S


def test_readings_that_are_not_confident_or_of_the_same_second_do_not_count() -> None:
    estimate = update_prior(PriorEstimate.start(TRAINING), np.full((1, 3), 1 / 3, np.float32), S)
    assert len(estimate.rows) == 0
    assert update_prior(estimate, np.empty((0, 3), np.float32), S) is estimate
    rows = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]], np.float32)
    estimate = update_prior(estimate, rows, S)
    assert len(estimate.rows) == 2, "two faces of a frame are two readings"
    assert len(update_prior(estimate, rows, S + S // 10).rows) == 2
    assert len(update_prior(estimate, rows, 2 * S).rows) == 4


def test_a_reading_of_yesterday_weighs_half() -> None:
    rows = [
        readings(1500, np.array(shares), seed, 4.0) for seed, shares in enumerate(([0.1, 0.8, 0.1], [0.8, 0.1, 0.1]))
    ]
    yesterday = estimated(rows[0])
    assert yesterday.prior[1] > 0.7
    today = estimated(rows[1][:400], yesterday, round(HALF_LIFE_S), 6.0)
    assert 0.3 < today.prior[1] < 0.75
    later = estimated(rows[1][:400], yesterday, round(6 * HALF_LIFE_S))
    assert len(later.rows) <= 400 and later.prior[0] > 0.7, "after five days it is forgotten"


def test_the_memory_is_bounded_and_the_readings_stay_spread_over_time() -> None:
    estimate = estimated(readings(9000, np.array([0.1, 0.8, 0.1]), sharp=4.0))
    assert 900 <= len(estimate.rows) <= 2000 and len(estimate.rows) == len(estimate.times_ns)
    assert estimate.times_ns[0] < 20 * S and estimate.times_ns[-1] > 8900 * S
    assert estimate.interval_s == 8.0 and estimate.prior[1] > 0.7


def test_two_people_in_view_count_alike_for_hours() -> None:
    a, b = (np.array([row], np.float32) for row in ([0.9, 0.05, 0.05], [0.05, 0.9, 0.05]))
    estimate = PriorEstimate.start(np.full(3, 1 / 3))
    for second in range(4000):
        estimate = update_prior(estimate, np.concatenate([a, b]), second * 10**9)
        if estimate.updated_ns is not None:
            assert estimate.prior[0] == pytest.approx(estimate.prior[1], abs=0.01), second


def test_a_crowded_day_does_not_end_the_estimate() -> None:
    """One day of ten hours with three faces, then few visitors: a dozen visits of three minutes a day."""
    day_s, estimate = 86_400, PriorEstimate.start(TRAINING)
    crowd = readings(36_000, np.array([0.8, 0.1, 0.1]), sharp=4.0)
    for second in range(0, 36_000, 3):
        estimate = update_prior(estimate, crowd[second : second + 3], second * S)
    assert estimate.interval_s >= 16
    for day in range(1, 11):
        rows = readings(12 * 180, np.array([0.1, 0.1, 0.8]), day, 4.0)
        for n, row in enumerate(rows):
            estimate = update_prior(estimate, row[None], (day * day_s + n // 180 * 2400 + n % 180) * S)
    assert estimate.interval_s <= 8 and len(estimate.rows) >= MIN_READINGS
    assert estimate.updated_ns is not None and estimate.updated_ns > 10 * day_s * S
    assert estimate.prior[2] > 0.55


def test_a_reset_of_the_search_keeps_the_estimate() -> None:
    estimate = PriorEstimate.start(TRAINING)
    assert SearchState(prior=estimate).reset().prior is estimate


def test_the_training_prior_is_that_of_the_counts_else_uniform() -> None:
    spec = Bundle.load(shipped_path("nano")).spec
    without = replace(spec, provenance=replace(spec.provenance, train_counts=None))
    assert training_prior(without).tolist() == [1 / 7] * 7
    counted = replace(spec, provenance=replace(spec.provenance, train_counts=dict(zip(LABELS, range(7), strict=True))))
    assert training_prior(counted) == pytest.approx(np.arange(1, 8) / 28)


def test_a_run_writes_its_prior_to_the_journal_and_weights_its_readings(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(320)), fps=1.0)
    bodies = {}
    for prior in ("training", "estimate"):
        folder = tmp_path / prior
        settings = Settings(
            str(clip),
            bundle=shipped_path("nano"),
            log=folder / "log",
            runtime=folder / "run",
            per_frame=True,
            min_quality=0.0,
            prior=prior,
        )
        assert run(settings) == 0
        bodies[prior] = journal_events(folder / "log")
    schema = Draft202012Validator(copy.deepcopy(json.loads(SCHEMA_FILE.read_text())) | {"unevaluatedProperties": False})
    for event in bodies["estimate"]:
        schema.validate(json.loads(event.line()))
    assert not any("prior" in event.body for event in bodies["training"])
    for events in bodies.values():  # a reload may begin to use a prior in any run
        assert sum(events[0].body["training_prior"].values()) == pytest.approx(1, abs=0.01)
    tallies = [event.body for event in bodies["estimate"] if event.kind == "tally"]
    assert "prior" not in tallies[0] and sum(tallies[-1]["prior"].values()) == pytest.approx(1, abs=0.01)
    plain, weighted = ([event.body["p"] for event in bodies[name] if event.kind == "reading"] for name in bodies)
    assert plain[:100] == weighted[:100] and plain[-1] != weighted[-1]
    spec = Bundle.load(shipped_path("nano")).spec
    last = tallies[-1]["prior"]
    expected = np.array(plain[-1]) * np.array([last[label] for label in spec.labels]) / training_prior(spec)
    assert weighted[-1] == pytest.approx(expected / expected.sum(), abs=0.01)


def test_health_shows_the_prior(tmp_path: Path) -> None:
    clock = FakeClock()
    prior = prior_by_label(("happy", "neutral"), np.array([0.25, 0.75]))
    with StatusFile(tmp_path, "front", clock, every_s=10.0, stall_s=5.0) as file:
        file.write(Status("running", "usb:0", "/log", 5.0, prior=prior))
        found = read_instance("front", [tmp_path], clock)
    assert "prior: neutral 75%, happy 25%" in found.text()
    assert found.to_json()["prior"] == {"happy": 0.25, "neutral": 0.75}


def test_a_tally_has_the_prior_only_where_there_is_one() -> None:
    bodies: list[dict[str, object]] = []

    def record(kind: str, body: dict[str, object], mono_ns: int | None = None) -> None:
        bodies.append(body)

    priors = [{"happy": 1.0}, None]  # one for each tally, the last one first
    aggregator = EventAggregator(record, FakeClock(), EpisodeRules(), 0, 2.0, priors.pop)  # type: ignore[arg-type]
    for second in (1, 61, 62, 121):
        aggregator.add_frame([], second * S, FrameCounts(second))
    assert [body.get("prior") for body in bodies] == [None, {"happy": 1.0}]
    assert priors == [], "it is built for a tally alone"


def test_the_accuracy_on_neutral_streams_rises_and_on_others_stays(fer2013_samples: Samples) -> None:
    bundle, samples = Bundle.load(shipped_path("nano")), fer2013_samples
    neutral = prior_bench.measure_bundle(bundle, samples, True, share=0.8, streams=6)
    (before, after), (worst, _) = neutral.accuracy, neutral.accuracy_change
    assert 0.6 < neutral.estimated < 0.8 and after > before + 0.12 and worst > 0.08
    assert neutral.balanced_accuracy[1] > 0.45, "rarer labels are still found"
    unknown = prior_bench.measure_bundle(bundle, samples, False, share=0.8, streams=6)
    assert unknown.accuracy[1] > unknown.accuracy[0] + 0.12, "also where the training shares are not known"
    usual = prior_bench.measure_bundle(bundle, samples, True, share=0.17, streams=6)
    assert usual.accuracy[1] > usual.accuracy[0] - 0.025 and 0.1 < usual.estimated < 0.26
