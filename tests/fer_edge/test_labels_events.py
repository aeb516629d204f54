"""Labels by their many spellings, and events to a line and back."""

from __future__ import annotations

import pytest

from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.labels import LABELS, canonical_label, require_printable_label


@pytest.mark.parametrize(
    ("spelling", "label"),
    [
        ("anger", "angry"),
        ("Disgusted", "disgust"),
        ("fearful", "fear"),
        ("HAPPINESS", "happy"),
        ("sadness", "sad"),
        ("surprised", "surprise"),
        ("0_Angry", "angry"),
        ("06-surprise", "surprise"),
        ("neutral ", "neutral"),
        ("Suprise", "surprise"),
        ("HAP", "happy"),
        ("contempt", None),
        ("", None),
    ],
)
def test_each_spelling_has_its_label(spelling: str, label: str | None) -> None:
    assert canonical_label(spelling) == label
    assert label is None or label in LABELS


def event(kind: str = "reading", **body: object) -> Event:
    return Event(kind, 7, "b0", 12.3456, "2026-01-02T03:04:05.678Z", "synced", dict(body))


def test_an_event_is_read_back_from_its_line() -> None:
    line = event(label="fear", p=[0.1, 0.9], who="Zoë").line()
    assert "\n" not in line
    back = Event.parse(line)
    assert back.body == {"label": "fear", "p": [0.1, 0.9], "who": "Zoë"}
    assert (back.kind, back.seq, back.mono_s) == ("reading", 7, 12.346)
    assert Event.parse(back.line()) == back


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "not a line"),
        ('{"kind":"reading"', "not a line"),
        ("[1]", "not a line"),
        (event("header", schema=SCHEMA + 1).line(), "update fer-edge"),
    ],
)
def test_a_line_that_is_not_an_event_is_refused(line: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Event.parse(line)


@pytest.mark.parametrize(
    "label", ["", " sad", "sad\n", "a\tb", "\x1b[2J", "a\u202eb", "x" * 65, "Unsure", "none", "NONE"]
)
def test_a_label_that_cannot_be_shown_or_means_something_else_is_refused(label: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_printable_label(label, UsageError)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("label", [*LABELS, "contempt", "sehr glücklich", "=1+1", "怒り", "unsure of it"])
def test_a_label_that_can_be_shown_is_itself(label: str) -> None:
    assert require_printable_label(label, UsageError) == label
