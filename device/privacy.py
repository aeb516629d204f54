"""What `fer-edge run --explain-privacy` and that of `label` print: what is stored, where, for how long, and what never is."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from device.address import Address
from device.camera.factory import URL_SCHEMES
from device.camera.source import redact_url
from device.config import Settings
from device.default_folders import default_journal_folder, default_runtime_folder
from device.output.mqtt.broker import broker_from_settings
from fer_edge.events import KINDS


def explain_run(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """The whole text, true of a run with `settings`; each line about this run follows from one of them."""
    journal = settings.log or default_journal_folder(environ, settings.name)
    runtime = settings.runtime or default_runtime_folder(environ)
    sections = [
        ("Looked at", _looked_at(settings)),
        ("Stored", _stored(settings, journal, runtime)),
        ("For how long", _how_long(settings, journal)),
        ("Sent", _sent(settings)),
        ("Never stored, never sent", _never(settings)),
        ("To stop it", _to_stop(settings)),
        ("What a label is", _LABEL),
    ]
    return _text(sections)


def explain_label(out: Path, form: str, annotate: bool, show_faces: bool) -> str:
    """The same of `fer-edge label`, with what it is told there: what it makes of recordings that are there already."""
    stored = [
        f"in {out}, as {form}: a row for each face of each frame, with its time, place, expression and probabilities",
        "beside each: the recording's file name, size and time, what it was read with, and counts of frames",
    ]
    never = _NEVER
    if annotate:
        never = _NEVER[1:]
        hidden = "faces as they are" if show_faces else "each face that was found pixelated; one that was not is seen"
        stored += [
            f"beside each: a copy of its pictures, in gray, without sound, {hidden}; whoever knows a person may know them "
            "by what is left"
        ]
    sections = [
        ("Looked at", ["every frame of the recordings that are named, in gray; they stay as they are"]),
        ("Stored", stored),
        ("For how long", ["until you remove it"]),
        ("Sent", [_NOTHING_SENT]),
        ("Never stored, never sent", never),
        ("What a label is", _LABEL),
    ]
    return _text(sections)


def _text(sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    return "\n\n".join("\n".join([title, *map(_wrapped, lines)]) for title, lines in sections)


_NOTHING_SENT = "nothing, to nobody: no network socket is opened"
_INNER = "    "
_NEVER = [
    "a picture, a part of one, or anything a picture could be made from: pixels live in memory until the next frame",
    "who somebody is: nothing is recognised, no face is compared with another one of another time",
    "a name, a number or a measure that follows a person: track numbers begin anew at each start",
    "sound",
]
_COUNTS = (
    "sums since the start, by expression among others, how many faces are there, and how the run and the machine are; who "
    "reads them often can tell what was shown when"
)
_LABEL = [
    "an expression that a face displayed, by a model that is often wrong; not what the person felt, meant or is",
    "in the European Union, Article 5(1)(f) of the AI Act forbids inferring emotions of people at work and in education, "
    "except for medical or safety reasons; elsewhere other law may forbid it; tell the people in view",
]


def _looked_at(settings: Settings) -> list[str]:
    lines = [f"camera {_shown(settings.camera)}, about {settings.fps:g} pictures a second, in gray"]
    if settings.region:
        lines.append(f"only the region {list(settings.region)} of each picture (x, y, width, height, in shares of it)")
    if settings.paused:
        lines.append("nothing at first: it starts paused")
    return lines


def _stored(settings: Settings, journal: Path, runtime: Path) -> list[str]:
    per_frame = {} if settings.per_frame else {"reading"}
    lines = [f"in {journal}, readable for the user it runs as alone, lines of these kinds:"]
    lines += [f"{_INNER}{kind}: {what}" for kind, what in KINDS.items() if kind not in per_frame]
    if not settings.per_frame:
        lines.append("no line for each face of each frame, only sums and episodes; `per_frame` would add them")
    lines.append(f"in {runtime}, in memory, while it runs: state, counts of frames, and the machine's health")
    if settings.metrics_file is not None:
        every = f"every {settings.metrics_every_s:g} s while it runs"
        lines.append(f"in {settings.metrics_file}, {every}, for who may read that file: {_COUNTS}")
    lines.append("on stdout: a line for each face of each frame; systemd keeps that where the unit does not discard it")
    return lines


def _how_long(settings: Settings, journal: Path) -> list[str]:
    lines = [f"until the journal is larger than {settings.budget_bytes / 1e6:g} MB: the oldest goes first"]
    if settings.keep_days is None:
        lines.append("no limit by age; set keep_days where the law or a promise asks for one")
    else:
        lines.append(f"{settings.keep_days:g} days at the most (keep_days)")
    lines.append(f"`fer-edge log purge --before` removes earlier lines at once; all of it is in {journal}")
    return lines


def _never(settings: Settings) -> list[str]:
    if settings.live is not None and settings.show_pixels_s is not None:
        return [
            "a picture, but for the small ones told of above; pixels else live in memory until the next frame",
            *_NEVER[1:],
        ]
    return _NEVER


def _sent(settings: Settings) -> list[str]:
    lines = _live(settings)
    if _is_address(settings.camera):
        lines.append(
            f"to the camera at {_shown(settings.camera)}: what asking it for its video takes; who else sees that network "
            "may see the video too, unless it is encrypted"
        )
    if settings.metrics is not None:
        at = Address.parse(settings.metrics)
        lines.append(f"to whoever asks at {at}, which has no password and no encryption: {_COUNTS}")
    if settings.mqtt is not None:
        lines += _to_broker(settings)
    return [*lines, "nothing else, to nobody"] if lines else [_NOTHING_SENT]


def _to_broker(settings: Settings) -> list[str]:
    broker = broker_from_settings(settings)
    told = [
        "once a run: software, bundle, runtime, detector, labels, and what Home Assistant's discovery takes",
        "when it changes, and each minute: the expression of the largest face, whether one is there, how many are, and "
        "whether it runs, is paused or lost its camera",
        "each minute, and when a problem comes or goes: the machine's health",
        f"each minute: tally: {KINDS['tally']}; and what follows from it, majority and unsure_percent",
    ]
    if settings.mqtt_readings:
        told.append(f"for each face of each frame: reading: {KINDS['reading']}")
    kept = "encrypted on the way" if broker.tls else "not encrypted: who else sees that network can read it"
    return [
        f"to the broker at {broker}, {kept}:",
        *(f"{_INNER}{line}" for line in told),
        "whom the broker lets read that, and for how long others keep it, is the broker's and theirs to say; it keeps the "
        "newest of each itself, minutes and readings left out; what it cannot be told waits in memory, never on a card",
    ]


def _live(settings: Settings) -> list[str]:
    """What the live page sends, and to whom."""
    if settings.live is None:
        return []
    from device.output.live.allowed_hosts import is_loopback

    address = Address.parse(settings.live)
    who = "whoever opens it on this machine"
    if not is_loopback(address.host):
        who = "whoever reaches that address and has its token, unencrypted, so that who else sees that network may see it too"
    elif settings.live_token_file is not None:
        who = "whoever opens it on this machine and has its token"
    lines = [
        f"the live page, at {address}, to {who}: what each face shows now and where it is, the last ten "
        "minutes' sums, counts of frames, and the machine's health; all of it in memory, none of it kept"
    ]
    if settings.show_pixels_s is not None:
        lines.append(
            f"on that page, for {settings.show_pixels_s / 60:g} minutes after the start: a small gray picture a second, in "
            "which the faces that were found are made too coarse to be known; a face that was not found, and all else in "
            "view, is shown as it is; held in memory until the next one, never written"
        )
    else:
        lines.append("no picture on that page; `--show-pixels` would show small ones for a while")
    return lines


def _to_stop(settings: Settings) -> list[str]:
    name = "" if settings.name == "camera" else f" --name {settings.name}"
    return [
        f"`fer-edge pause{name}` closes the camera until `fer-edge resume{name}`; restarts and power cuts do not end it",
        "the journal says from when to when it was paused",
    ]


def _is_address(camera: str) -> bool:
    return camera.strip().lower().startswith(tuple(f"{scheme}://" for scheme in URL_SCHEMES))


def _wrapped(line: str) -> str:
    first = "    · " if line.startswith(_INNER) else "  - "
    return textwrap.fill(line.strip(), 110, initial_indent=first, subsequent_indent=" " * len(first))


def _shown(camera: str) -> str:
    if _is_address(camera):
        return redact_url(camera)
    path = Path(camera).expanduser()
    # As the journal has it: a folder may name a person.
    return path.name if len(path.parts) > 1 and not camera.startswith("/dev/") else camera
