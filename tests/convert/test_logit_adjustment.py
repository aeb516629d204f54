"""Offsets raise what is given too seldom, never much at accuracy's cost, and stand in the last layer and the history."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import class_tree

from convert.logit_adjustment import main
from convert.tflite.keras_export import load_keras
from convert.train.logit_adjustment import MAX_ACCURACY_LOSS, choose_offsets
from fer_edge.errors import NotEnoughData, UsageError
from fer_edge.labels import LABELS


def shy(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that give class 2 too seldom, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    logits = 2 * np.eye(4)[y] + rng.normal(0, 1.2, (n, 4))
    logits[:, 2] -= 1.5
    return logits, y


def test_a_class_that_is_predicted_too_seldom_is_raised() -> None:
    logits, y = shy()
    found = choose_offsets(logits, y)
    assert found.values[2] == max(found.values) > 0.3 and 0 < found.strength <= 1
    assert found.weakest_recall[1] > found.weakest_recall[0] + 0.1
    assert found.accuracy[1] >= found.accuracy[0] - MAX_ACCURACY_LOSS
    again, truth = shy(seed=1)
    hits = (again + np.array(found.values)).argmax(1) == truth
    assert hits[truth == 2].mean() > (again.argmax(1) == truth)[truth == 2].mean() + 0.1, "on images it did not see too"


def test_a_balanced_model_gets_small_offsets() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(800) % 4
    found = choose_offsets(6 * np.eye(4)[y] + rng.normal(0, 1, (800, 4)), y)
    assert max(map(abs, found.values)) < 0.05


def test_too_few_images_of_a_class_are_refused() -> None:
    logits, y = shy(100)
    with pytest.raises(NotEnoughData, match="of each"):
        choose_offsets(logits, y)


def test_the_command_changes_the_last_biases_only(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    before = load_keras(run / "model.keras").get_weights()
    assert main([str(run), "--data", str(data)]) == 0
    assert "weakest recall" in capsys.readouterr().out
    after = load_keras(run / "model.keras").get_weights()
    report = json.loads((run / "history.json").read_text())["offsets"]
    assert all(np.array_equal(a, b) for a, b in zip(before[:-1], after[:-1], strict=True))
    assert np.allclose(after[-1] - before[-1], [report["values"][label] for label in LABELS], atol=1e-5)
    assert main([str(run), "--data", str(data)]) == UsageError.exit_code
    assert "has offsets already" in capsys.readouterr().err
    of_votes = json.loads((trained / "history.json").read_text())
    of_votes["recipe"]["targets"] = "votes"
    (run / "history.json").write_text(json.dumps(of_votes))
    assert main([str(run), "--data", str(data)]) == UsageError.exit_code
    assert "was trained on people's votes in place of labels" in capsys.readouterr().err
    of_votes["recipe"]["targets"] = "labels"
    (run / "history.json").write_text(json.dumps({**of_votes, "offsets": report}))
    other = class_tree(tmp_path / "other", {p: dict.fromkeys(LABELS, 20) for p in ("train", "validation")})
    history = json.loads((run / "history.json").read_text())
    del history["offsets"]
    (run / "history.json").write_text(json.dumps(history))
    assert main([str(run), "--data", str(other)]) == UsageError.exit_code
    assert "not the set" in capsys.readouterr().err
