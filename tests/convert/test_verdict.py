"""Verdicts: what fails, what passes, and what too few images leave open."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.data.samples import Samples
from convert.parity.comparison import compare_on_logits, compare_on_samples
from convert.parity.differences import ClassDifference, LogitDifference, MeasuredRuntime, PartDifference
from convert.parity.paired_comparison import compare_logits, compare_part
from convert.parity.paired_tests import PairedDifference, share_difference
from convert.parity.parity_report import ParityReport
from convert.parity.runtime_logits import RuntimeLogits
from convert.parity.tolerances import Margins
from convert.parity.verdict import FAIL, LOGITS_ONLY, OPEN, PASS, verdict_on_faces, verdict_on_logits
from fer_edge.errors import NotEnoughData, ParityFailed, UsageError

LABELS = ("a", "b", "c", "d")
M = Margins.load()
SAME = PairedDifference(
    n=1000, float=0.7, int8=0.7, difference=0.0, low=0.0, high=0.0, margin=0.01,
    equivalence_p=0.001, inferiority_p=0.999, difference_p=1.0,
)  # fmt: skip
SAME_LOGITS = LogitDifference(
    images="test", n=1000, agreement=1.0, clear_n=900, clear_agreement=1.0, slope=1.0, rms=0.0, rms_logits=0.0,
    spread_logits=1.0,
)  # fmt: skip


def part(
    accuracy: PairedDifference = SAME, macro_auc: PairedDifference | None = SAME, **classes: ClassDifference
) -> PartDifference:
    """The differences of a part of 1,000 images, each of them none unless it is given."""
    return PartDifference(1000, accuracy, macro_auc, 1.0, 0, 0, classes)


def logits_of_both(n: int, seed: int = 0, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of float, of an int8 that rounds and errs a little, and labels, of n images of four classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    f = (3 * np.eye(4)[y] + rng.normal(0, 1.5, (n, 4))).astype(np.float32)
    return f, (f + rng.normal(0, noise, f.shape)).astype(np.float32), y


class FloatModel:
    """A float model whose logits are known: image i gets row i, in the order of the images."""

    def __init__(self, logits: np.ndarray) -> None:
        self._rows = iter(logits)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return np.stack([next(self._rows) for _ in faces])


def measured(name: str, logits: np.ndarray) -> RuntimeLogits:
    return RuntimeLogits(MeasuredRuntime(name, "1", "default", platform.machine()), logits)


def report_of(f: np.ndarray, q: dict[str, np.ndarray] | np.ndarray, y: np.ndarray, m: Margins = M) -> ParityReport:
    """The report on int8 logits, of one runtime or of several, of images half of which are for validation."""
    part = np.where(np.arange(len(y)) < len(y) // 2, "validation", "test")
    samples = Samples(np.zeros((len(y), 8, 8, 1), np.uint8), y, part, tuple(map(str, range(len(y)))), LABELS)
    rows = [measured(name, logits) for name, logits in (q if isinstance(q, dict) else {"litert": q}).items()]
    return compare_on_samples(FloatModel(f), rows, samples, LABELS, m)  # type: ignore[arg-type]


def test_a_faithful_model_passes_on_many_images_and_is_open_on_few() -> None:
    many = report_of(*logits_of_both(4000))
    assert (many.verdict, many.failures, many.passed) == (PASS, [], True)
    assert set(many.parts) == {"validation", "test", "together"} and many.parts["together"].n == 4000
    assert many.logits.images == "validation and test" and many.logits.n == 4000
    many.require_pass()
    few = report_of(*logits_of_both(120))
    assert few.verdict == OPEN and "accuracy" in few.undecided and few.passed
    with pytest.raises(NotEnoughData, match="120 images cannot show accuracy"):
        few.require_pass()
    with pytest.raises(NotEnoughData, match="hold 80 images"):
        report_of(*logits_of_both(80))


def test_two_labels_swapped_fail() -> None:
    f, q, y = logits_of_both(4000)
    report = report_of(f, q[:, [1, 0, 2, 3]], y)
    assert report.verdict == FAIL and not report.passed
    failures = " ".join(report.failures)
    assert "accuracy falls by" in failures and "recall of a falls" in failures and "recall of c" not in failures
    with pytest.raises(ParityFailed, match=r"accuracy falls by .*\(litert 1, default"):
        report.require_pass()


def test_logits_five_percent_off_change_no_label_and_fail() -> None:
    f, _, y = logits_of_both(4000)
    report = report_of(f, f * np.float32(0.95), y)
    together = report.parts["together"]
    assert together.agreement == 1.0 and together.accuracy.difference == 0
    assert report.verdict == FAIL and "slope" in report.failures[0]


def test_without_labels_the_verdict_is_of_the_logits_alone() -> None:
    f, q, _ = logits_of_both(4000)
    images = np.zeros((4000, 8, 8), np.uint8)
    good, scaled = (
        compare_on_logits(FloatModel(f), [measured("litert", logits)], images, LABELS, M)  # type: ignore[arg-type]
        for logits in (q, f * np.float32(0.95))
    )
    assert (good.verdict, good.passed, good.parts, good.confidence) == (LOGITS_ONLY, True, {}, None)
    assert "accuracy" in good.not_measured and good.logits.n == 4000
    assert scaled.verdict == FAIL and "slope" in scaled.failures[0]


@pytest.mark.parametrize(("moved", "verdict"), [(0, PASS), (100, PASS), (140, FAIL)])
def test_other_labels_on_images_that_both_models_get_wrong_fail(moved: int, verdict: str) -> None:
    """Of 4,000 images some, which neither model gets right, get another wrong label: only the agreement of labels falls."""
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 4
    f = (3 * np.eye(4)[y] + rng.normal(0, 1.0, (4000, 4))).astype(np.float32)
    rows = np.arange(150)
    first, second = (y[rows] + 1) % 4, (y[rows] + 2) % 4
    f[rows] = np.float32(-1)
    f[rows, first], f[rows, second] = 3.0, 2.99
    q = f.copy()
    q[rows[:moved], second[:moved]] = 3.01
    report = report_of(f, q, y)
    assert report.parts["together"].accuracy.difference == 0 and report.verdict == verdict
    assert any(why.startswith("the labels agree on") for why in report.failures) == (verdict == FAIL)


@pytest.mark.parametrize("change", [{"equivalence_p": 0.2}, {"equivalence_p": None, "inferiority_p": None}])
def test_a_figure_that_too_few_images_decide_leaves_the_verdict_open(change: dict[str, float | None]) -> None:
    assert verdict_on_faces(SAME_LOGITS, part(), M) == (PASS, [], [])
    undecided = replace(SAME, **change)  # type: ignore[arg-type]
    assert verdict_on_faces(SAME_LOGITS, part(accuracy=undecided), M) == (OPEN, [], ["accuracy"])
    assert verdict_on_faces(SAME_LOGITS, part(macro_auc=undecided), M) == (OPEN, [], ["macro AUC"])


def test_the_area_of_one_class_that_is_lost_fails_by_name() -> None:
    lost = replace(SAME, difference=-0.05, equivalence_p=1.0, inferiority_p=1e-6)
    classes = {"a": ClassDifference(500, SAME, SAME), "c": ClassDifference(500, SAME, lost)}
    verdict, failures, _ = verdict_on_faces(SAME_LOGITS, part(**classes), M)
    assert (verdict, failures) == (FAIL, ["the AUC of c falls by more than 0.01"])


def test_one_of_fourteen_figures_that_is_below_the_level_is_chance() -> None:
    chance = replace(SAME, inferiority_p=0.03)
    classes = {label: ClassDifference(100, chance if label == "a" else SAME, SAME) for label in "abcdefg"}
    assert verdict_on_faces(SAME_LOGITS, part(**classes), M)[:2] == (PASS, [])


@pytest.mark.parametrize(("inferiority_p", "undecided"), [(0.03, True), (0.5, True), (0.94, True), (0.96, False)])
def test_a_class_is_undecided_until_it_is_shown_to_be_within_its_margin(inferiority_p: float, undecided: bool) -> None:
    classes = {label: ClassDifference(100, SAME, SAME) for label in "abcdef"}
    classes["g"] = ClassDifference(100, replace(SAME, inferiority_p=inferiority_p), SAME)
    assert verdict_on_faces(SAME_LOGITS, part(**classes), M) == (PASS, [], ["the recall of g"] * undecided)


def test_a_loss_beyond_the_margin_that_may_be_chance_is_open_and_no_failure() -> None:
    """Of 120 images 4 are lost and 2 won: −1.7 points, by chance in two of three cases."""
    float_hits = np.arange(120) < 90
    int8_hits = float_hits.copy()
    int8_hits[:4], int8_hits[118:] = False, True
    accuracy = share_difference(float_hits, int8_hits, margin=0.01)
    assert accuracy.difference < -accuracy.margin and not accuracy.is_worse
    assert verdict_on_faces(SAME_LOGITS, part(accuracy=accuracy), M) == (OPEN, [], ["accuracy"])


@pytest.mark.parametrize(
    ("slope", "rms", "verdict"),
    [
        (1.5, 0.5, LOGITS_ONLY),  # the margins themselves
        (0.5, 0.5, LOGITS_ONLY),
        (1.51, 0.5, FAIL),
        (1.5, 0.51, FAIL),
        (float("nan"), 0.5, FAIL),  # of float logits without a difference between labels
        (1.5, float("nan"), FAIL),
    ],
)
def test_logits_within_both_margins_pass_and_what_is_no_number_fails(slope: float, rms: float, verdict: str) -> None:
    margins = replace(M, logits_slope=0.5, logits_rms=0.5)
    assert verdict_on_logits(replace(SAME_LOGITS, slope=slope, rms=rms), margins)[0] == verdict


def test_what_all_logits_of_an_image_have_in_common_is_no_difference() -> None:
    f = np.random.default_rng(0).normal(0, 2, (500, 4))
    found = compare_logits("test", f, f + np.arange(500)[:, None], 1.0)
    assert found.slope == pytest.approx(1) and found.rms == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("flipped", "verdict"), [(0, LOGITS_ONLY), (1, LOGITS_ONLY), (2, FAIL)])
def test_one_of_a_few_clear_images_is_no_failure(flipped: int, verdict: str) -> None:
    """Of 60 images one is 1.7 %, and 1 % may differ."""
    f = np.eye(4)[np.arange(60) % 4]
    q = f.copy()
    q[:flipped] = np.roll(f[:flipped], 1, 1)
    logits = compare_logits("synthetic images", f, q, 1.0)
    assert logits.clear_n == 60 and logits.agreement == 1 - flipped / 60
    reached, failures, _ = verdict_on_logits(logits, replace(M, logits_rms=10.0, logits_slope=10.0))
    assert reached == verdict and ("the labels agree on 0.9667" in " ".join(failures)) == (flipped == 2)


def test_one_class_lost_fails_by_name() -> None:
    f, q, y = logits_of_both(4000)
    gone = np.flatnonzero((y == 2) & (q.argmax(1) == 2))[:100]
    q[gone, 2] = q[gone].min(1) - 0.1
    loose = replace(M, labels_agreement=0.5, labels_clear_agreement=0.5, logits_rms=1.0, logits_slope=0.5)
    report = report_of(f, q, y, replace(loose, accuracy_overall_pp=5, auc_macro=0.5))
    assert report.verdict == FAIL and any(why.startswith("the recall of c falls") for why in report.failures)
    assert not any("recall of a" in why for why in report.failures)


def test_the_verdict_is_that_of_the_worst_runtime() -> None:
    f, q, y = logits_of_both(4000)
    rows = {"good": q, "bad": q[:, [1, 0, 2, 3]], "best": f}
    report = report_of(f, rows, y)
    assert report.runtime.startswith("bad 1,") and report.verdict == FAIL
    bad = report.runtimes[report.runtime]
    assert (report.logits, report.parts["together"], report.failures) == (bad.logits, bad.together, bad.failures)
    assert [row.verdict for row in report.runtimes.values()] == [PASS, FAIL, PASS]
    assert [agreement for _, _, agreement in report.measured_runtimes][2] == 1.0
    del rows["bad"]
    assert report_of(f, rows, y).runtime.split()[0] in ("good", "best")


def test_a_class_without_images_is_null_not_an_error() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    part = compare_part(logits, logits, np.repeat([0, 1], 25), ("a", "b", "c"), M)
    assert part.classes["c"] == ClassDifference(n=0, recall=None, auc=None)
    recall = part.classes["a"].recall
    assert recall is not None and recall.difference == 0
    assert part.accuracy.low == part.accuracy.high == 0
    assert compare_part(logits, logits, np.zeros(50, int), ("a", "b", "c"), M).macro_auc is None


def test_a_toml_file_of_the_user_overrides_margins(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[accuracy]\noverall_pp = 0.3\n")
    mine = Margins.load(path)
    assert mine.accuracy_overall_pp == 0.3 and mine.auc_macro == M.auc_macro
    assert mine.recall(10) == 0.2 and mine.recall(10_000) == 0.02
    assert mine.recall(1) == mine.recall(2) == 0.99, "two images are all that such a class has"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[accuracy]\noveral_pp = 1\n", "nearest is [accuracy] overall_pp"),
        ("[auc]\nmacro = -1\n", "not a margin"),
        ("[auc]\nmacro = 'a'\n", "not a margin"),
        ("[labels]\nagreement = 98\n", "a share"),
        ("slope = 1\n", "outside a table"),
        ("slope = \n", r":1: .*; a line is `name = value`"),
        ("a = " + "[" * 5000, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_margins_that_cannot_be_used_are_refused(text: str | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=word.replace("[", r"\[")):
        Margins.load(path)
