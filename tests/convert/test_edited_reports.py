"""Stored reports that were edited by hand: report.json and parity.json whose values do not fit each other are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.parity.parity_report import FILE_NAME, read_parity
from convert.report.__main__ import main
from fer_edge.errors import BundleRefused
from fer_edge.shipped_bundles import shipped_path

REPORT = Path(__file__).parents[2] / "models" / "nano" / "report" / "report.json"


def stored() -> dict[str, Any]:
    """The values of a stored report."""
    values: dict[str, Any] = json.loads(REPORT.read_text())
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["curves"]["fpr"].pop(), "curves: tpr.angry has 201 values, not 200: as many as fpr"),
        (lambda r: r["curves"]["tpr"]["sad"].pop(), "curves: tpr.sad has 200 values, not 201"),
        (lambda r: r["curves"]["macro"].pop(), "curves: macro has 200 values, not 201"),
        (lambda r: r["curves"]["tpr"].update(glad=r["curves"]["fpr"]), "curves.tpr has 'glad', which is none of"),
        (lambda r: r["scores"]["classes"][2].update(auc=None), "curves.tpr has 'fear', which has no auc"),
        (lambda r: r["scores"]["confusion"][3].pop(), "scores: confusion[3] has 6 values, not 7: a column for"),
        (lambda r: r["scores"]["confusion"].pop(), "scores: confusion has 6 values, not 7: a row for each class"),
        (lambda r: r["scores"]["classes"].pop(), "scores: confusion has 7 values, not 6"),
        (lambda r: r["scores"].update(classes=[]), "scores: classes are none"),
        (lambda r: r["unseen"]["confusion"][0].append(1), "unseen: confusion[0] has 8 values, not 7"),
        (lambda r: r["scores"]["macro_auc"].update(high=10**400), "scores.macro_auc.high is '100"),
        (lambda r: r["scores"]["accuracy"].update(value=1e308), "scores.accuracy.value is '1e+308', not a number from"),
        (lambda r: r["cost"].update(parameters=10**400), "cost.parameters is '100"),
        (lambda r: r["cost"].update(load=float("nan")), "NaN is not a number of JSON"),
        (lambda r: r["scores"]["confusion"][0].__setitem__(0, -1), "scores: confusion has a count below 0"),
        (lambda r: r["bootstrap"].pop("draws"), "bootstrap has no “draws”"),
        (lambda r: r["history"].update(epochs=[]), " of 0 epochs"),
        (lambda r: r["history"].update(best_epoch=9999), "history: best_epoch is 9999 of "),
        (lambda r: r.update(format=[1]), "it has no “format”"),
    ],
)
def test_an_edited_report_is_refused_with_the_place_of_the_fault(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = stored()
    change(values)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(values))
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and str(path) in err and message in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_control_characters_of_an_edited_report_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = stored()
    bad = "\x1b[2J\n# heading\u202e\ud800"
    values["subject"]["name"] = values["unseen_why"] = bad
    values["doubts"] = [bad]
    values["versions"][bad] = bad
    values["data"]["left_out"] = {bad: 1}
    values["scores"]["classes"][0]["label"] = bad
    values["curves"]["tpr"] = {bad if name == "angry" else name: row for name, row in values["curves"]["tpr"].items()}
    (tmp_path / "report.json").write_text(json.dumps(values))
    assert main([str(tmp_path / "report.json"), "--out", str(tmp_path / "out")]) == 0
    for text in (capsys.readouterr().out, (tmp_path / "out" / "report.md").read_text()):
        assert r"\x1b[2J\x0a# heading\u202e\ud800" in text
        assert all(line.isprintable() and not line.startswith("# heading") for line in text.splitlines())


def test_the_content_of_a_file_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + b"secret" * 1000)
    assert main([str(path)]) == 2
    err = capsys.readouterr().err
    assert "is not a report of" in err and "not text in UTF-8" in err and "secret" not in err and len(err) < 300


def parity_of(name: str) -> dict[str, Any]:
    """The values of a shipped bundle's parity.json."""
    values: dict[str, Any] = json.loads((shipped_path(name) / FILE_NAME).read_text(encoding="utf-8"))
    return values


def refusal_of(folder: Path, content: bytes) -> str:
    """The message with which a damaged parity.json is refused."""
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(BundleRefused, match=r"is not a parity report .*; make the bundle again") as caught:
        read_parity(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["curves"]["roc"]["int8"]["sad"].pop(), "curves: roc.int8.sad has "),
        (lambda r: r["curves"]["fpr"].pop(), "curves: roc.float.angry has "),
        (lambda r: r["curves"]["roc"]["int8"].pop("sad"), "curves: roc has other labels of int8 than of float"),
        (lambda r: r["curves"]["roc"].pop("int8"), "curves: roc has no “int8”"),
        (lambda r: r["curves"]["confusion"].pop("float"), "curves: confusion has no “float”"),
        (lambda r: r["curves"]["confusion"]["int8"][2].pop(), "curves.confusion.int8[2] has 6 values, not 7"),
        (lambda r: r["curves"]["confusion"]["float"].pop(), "curves.confusion.float has 6 values, not 7"),
        (lambda r: r["labels"].pop(), "which is none of the labels"),
        (lambda r: r["curves"]["roc"]["int8"]["sad"].__setitem__(0, 10**400), "curves.roc.int8.sad[0] is '100"),
        (lambda r: r["curves"]["confusion"]["int8"][0].__setitem__(0, 10**400), "curves.confusion.int8[0][0] is '100"),
        (lambda r: r["parts"].pop("together"), "parts has no “together”"),
        (lambda r: r.update(parts={}), "parts is empty"),
        (
            lambda r: r["parts"]["test"]["accuracy"].update(difference_p=None),
            "parts.test: accuracy.difference_p is null",
        ),
        (lambda r: r.update(verdict="good"), "verdict is 'good', not one of"),
        (lambda r: r["runtimes"][r["runtime"]].update(verdict="good"), "verdict is 'good', not one of"),
        (lambda r: r.update(runtime="none"), "runtime is 'none', which is none of runtimes"),
        (lambda r: r["confidence"]["coverage"]["test"].pop(), "confidence: coverage.test has 14 values, not 15"),
        (lambda r: r.update(not_measured=[float("inf")]), "Infinity is not a number of JSON"),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    values = parity_of("paper")
    change(values)
    assert message in refusal_of(tmp_path, json.dumps(values).encode())


def test_the_thresholds_of_labels_are_of_the_same_labels(tmp_path: Path) -> None:
    values = parity_of("edge")
    del values["confidence"]["labels"]["coverage"]["test"]["sad"]
    message = refusal_of(tmp_path, json.dumps(values).encode())
    assert "confidence.labels: below has 'sad', which is none of the labels" in message
