"""The setting prior = "LABEL=SHARE": readings are weighted by it, journal and health show it, a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import journal_events, write_video
from jsonschema import Draft202012Validator

from device.config import Settings
from device.run import run
from fer_edge.bundle import Bundle
from fer_edge.cli import main
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


def test_a_label_that_the_bundle_lacks_ends_the_start(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the prior names “calm”, and the bundle's labels are angry"):
        run(settings_of(tmp_path, clip, "calm=0.5"))
    assert not list((tmp_path / "log").glob("*.jsonl"))


@pytest.mark.parametrize("value", ["neutral", "neutral=1.5", "often"])
def test_another_value_is_refused_with_what_is_accepted(value: str) -> None:
    with pytest.raises(UsageError, match=r"prior must be training, estimate or LABEL=SHARE: .* like neutral=0\.7"):
        Settings(prior=value)


def test_only_one_of_both_priors_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--camera", "synthetic", "--once", "--prior", "neutral=0.5", "--estimate-prior"]
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2 and "--estimate-prior" in capsys.readouterr().err
