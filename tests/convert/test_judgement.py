"""Verdicts: what fails, what passes, and what too few images leave open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.parity.tolerances import Margins
from convert.parity.verdict import FAIL, OPEN, PASS, compare, on_faces, on_stand_ins, worst
from fer_edge.errors import UsageError

LABELS = ("a", "b", "c", "d")
M = Margins.load()


def answers(n: int, seed: int = 0, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of float, of an int8 that rounds and errs a little, and labels, of n images of four classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    f = (3 * np.eye(4)[y] + rng.normal(0, 1.5, (n, 4))).astype(np.float32)
    return f, (f + rng.normal(0, noise, f.shape)).astype(np.float32), y


def judge(f: np.ndarray, q: np.ndarray, y: np.ndarray, m: Margins = M):
    part = np.where(np.arange(len(y)) < len(y) // 2, "validation", "test")
    return on_faces(f, q, y, part, LABELS, m)


def test_a_faithful_model_passes_on_many_images_and_is_open_on_few() -> None:
    many = judge(*answers(4000))
    assert (many.verdict, many.failures) == (PASS, [])
    assert set(many.parts) == {"validation", "test", "together"} and many.parts["together"]["n"] == 4000
    few = judge(*answers(120))
    assert few.verdict == OPEN and "accuracy" in few.undecided


def test_two_labels_swapped_fail() -> None:
    f, q, y = answers(4000)
    told = judge(f, q[:, [1, 0, 2, 3]], y)
    assert told.verdict == FAIL
    said = " ".join(told.failures)
    assert "accuracy falls by" in said and "recall of a falls" in said and "recall of c" not in said


def test_logits_five_percent_off_change_no_label_and_fail() -> None:
    f, _, y = answers(4000)
    told = judge(f, f * np.float32(0.95), y)
    assert told.parts["together"]["agreement"] == 1.0 and told.parts["together"]["accuracy"]["difference"] == 0
    assert told.verdict == FAIL and "slope" in told.failures[0]
    assert on_stand_ins(f, f * np.float32(0.95), M).verdict == FAIL


def test_one_class_lost_fails_by_name() -> None:
    f, q, y = answers(4000)
    gone = np.flatnonzero((y == 2) & (q.argmax(1) == 2))[:100]
    q[gone, 2] = q[gone].min(1) - 0.1
    loose = replace(M, labels_agreement=0.5, labels_clear_agreement=0.5, logits_rms=1.0, logits_slope=0.5)
    told = judge(f, q, y, replace(loose, accuracy_overall_pp=5, auc_macro=0.5))
    assert told.verdict == FAIL and any(why.startswith("the recall of c falls") for why in told.failures)
    assert not any("recall of a" in why for why in told.failures)


def test_the_worst_column_speaks() -> None:
    f, q, y = answers(4000)
    columns = {"good": judge(f, q, y), "bad": judge(f, q[:, [1, 0, 2, 3]], y), "best": judge(f, f, y)}
    assert worst(columns) == "bad"
    del columns["bad"]
    assert worst(columns) in ("good", "best")


def test_a_class_without_images_is_null_not_an_error() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    part = compare(logits, logits, np.repeat([0, 1], 25), ("a", "b", "c"), M)
    assert part["classes"]["c"] == {"n": 0, "recall": None, "auc": None}
    assert part["classes"]["a"]["recall"]["difference"] == 0
    assert part["accuracy"]["low"] == part["accuracy"]["high"] == 0
    assert compare(logits, logits, np.zeros(50, int), ("a", "b", "c"), M)["macro_auc"] is None


def test_margins_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[accuracy]\noverall_pp = 0.3\n")
    mine = Margins.load(path)
    assert mine.accuracy_overall_pp == 0.3 and mine.auc_macro == M.auc_macro
    assert mine.recall(10) == 0.2 and mine.recall(10_000) == 0.02


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[accuracy]\noveral_pp = 1\n", "nearest is [accuracy] overall_pp"),
        ("[auc]\nmacro = -1\n", "no margin"),
        ("[auc]\nmacro = 'a'\n", "no margin"),
        ("[labels]\nagreement = 98\n", "a share"),
        ("slope = 1\n", "in no table"),
        ("slope = \n", "no TOML"),
        (None, "cannot be read"),
    ],
)
def test_margins_that_are_none(text: str | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=word.replace("[", r"\[")):
        Margins.load(path)
