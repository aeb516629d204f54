"""The setting prior = "LABEL=SHARE": readings are weighted by it, journal and health show it, a wrong one is refused."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from builders import journal_events, write_video
from jsonschema import Draft202012Validator
from processes import run_state, start_run, wait_until

from device.camera.frame import Frame
from device.config import Settings
from device.config_sources import load_settings
from device.run import run
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.cli import main
from fer_edge.detection.registry import find_detector
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA_FILE, Event
from fer_edge.label_priors import parse_stated_prior, stated_prior, training_prior
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", (face_frame(n / 10) for n in range(40)), fps=10.0)


def settings_of(folder: Path, clip: Path, prior: str) -> Settings:
    return Settings(
        str(clip), bundle=shipped_path("nano"), log=folder / "log", runtime=folder / "run", per_frame=True, prior=prior
    )


def events_with(folder: Path, clip: Path, prior: str) -> list[Event]:
    assert run(settings_of(folder, clip, prior)) == 0
    return list(journal_events(folder / "log"))


def test_every_reading_is_weighted_by_the_stated_shares(clip: Path, tmp_path: Path) -> None:
    plain, stated = (events_with(tmp_path / name, clip, name) for name in ("training", "neutral=0.6"))
    spec = Bundle.load(shipped_path("nano")).spec
    shares, training = stated_prior(spec, parse_stated_prior("neutral=0.6")), training_prior(spec)
    pairs = [[e.body["p"] for e in events if e.kind == "reading"] for events in (plain, stated)]
    assert len(pairs[0]) == len(pairs[1]) > 30
    for before, after in zip(*pairs, strict=True):
        expected = np.array(before) * shares / training
        assert after == pytest.approx(expected / expected.sum(), abs=0.01)
    (tally,) = (event.body for event in stated if event.kind == "tally")
    assert tally["prior"] == pytest.approx(dict(zip(spec.labels, shares, strict=True)), abs=0.001)
    assert stated[0].body["training_prior"] == pytest.approx(dict(zip(spec.labels, training, strict=True)), abs=0.001)
    schema = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    for event in stated:
        schema.validate(json.loads(event.line()))


def test_the_shares_weigh_the_probabilities_after_the_temperature() -> None:
    """Of a bundle whose temperature is far from 1, as those of other bundles are not."""
    bundle = Bundle.load(shipped_path("edge-votes"))
    assert bundle.temperature < 0.8
    pipeline, frame = Pipeline(find_detector(), bundle), Frame(0, 10**9, face_frame(0.0))
    before, after = (
        pipeline.process(SearchState(), frame, Settings(prior=prior))[1].readings[0].probs
        for prior in ("training", "neutral=0.05")
    )
    shares, training = stated_prior(bundle.spec, parse_stated_prior("neutral=0.05")), training_prior(bundle.spec)
    expected = before * shares / training
    assert after == pytest.approx(expected / expected.sum(), abs=1e-4)


def test_a_label_that_the_bundle_lacks_ends_the_start(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the prior names “calm”; the bundle's labels are angry"):
        run(settings_of(tmp_path, clip, "calm=0.5"))
    assert not list((tmp_path / "log").glob("*.jsonl"))


@pytest.mark.parametrize("value", ["neutral", "neutral=1.5", "often"])
def test_another_value_is_refused_with_what_is_accepted(value: str) -> None:
    with pytest.raises(
        UsageError, match=r"prior must be training, estimate, or a label and its share like neutral=0\.3, not"
    ):
        Settings(prior=value)


def test_equal_priors_are_one_setting(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('prior = "neutral=0.30"')
    of_file = load_settings({}, tmp_path / "s.toml", {}).settings
    assert of_file.prior == load_settings({"prior": "neutral=.3"}, None, {}).settings.prior == "neutral=0.3"


def test_a_reload_that_changes_the_prior_ends_the_tally(tmp_path: Path) -> None:
    process = start_run(tmp_path, "synthetic", "--bundle", "nano", "--json", "--per-frame")
    assert process.stderr is not None and process.stdout is not None
    wait_until(process, lambda: run_state(tmp_path) == "running")
    for prior in ("neutral=0.6", "neutral=0.60", "training"):
        (tmp_path / "settings.toml").write_text(f'prior = "{prior}"\n')
        process.send_signal(signal.SIGHUP)
        assert next(line for line in process.stderr if "settings read again" in line)
        assert len(list(itertools.islice((line for line in process.stdout if '"reading"' in line), 15))) == 15
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    tallies = [event.body for event in journal_events(tmp_path / "log") if event.kind == "tally"]
    assert [body.get("prior", {}).get("neutral") for body in tallies] == [None, 0.6, None]
    for before, after in itertools.pairwise(tallies):
        assert before["from_mono_s"] + before["seconds"] == pytest.approx(after["from_mono_s"], abs=0.002)


def test_an_estimate_is_kept_while_another_prior_is_stated(bundle_path: Path) -> None:
    pipeline, state, kept = Pipeline(find_detector(), Bundle.load(bundle_path)), SearchState(), []
    for n, prior in enumerate(["estimate"] * 3 + ["neutral=0.3"] * 2 + ["estimate"]):
        frame = Frame(n, (n + 1) * 2_000_000_000, face_frame(2.0))
        state, _ = pipeline.process(state, frame, Settings(prior=prior, min_quality=0.0))
        assert state.prior is not None
        kept.append(len(state.prior.rows))
    assert kept[2] == kept[3] == kept[4] > 0 and kept[5] >= kept[4]


def test_only_one_of_both_priors_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--camera", "synthetic", "--once", "--prior", "neutral=0.5", "--estimate-prior"]
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2 and "--estimate-prior" in capsys.readouterr().err
