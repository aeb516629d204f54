"""`collect` runs the camera loop and stores crops of the faces that it sees, which `run` never does."""

from __future__ import annotations

from collections.abc import Callable

from device.config import Settings
from device.output.collected.face_folder import FaceFolder
from device.output.collected.face_store import FaceCollection
from device.run import run
from fer_edge.console import message


def collect(settings: Settings, collection: FaceCollection, read_settings: Callable[[], Settings] | None = None) -> int:
    """The exit code of the run, after the number of waiting crops was reported."""
    code = run(settings, read_settings=read_settings, limit_memory=True, collection=collection)
    waiting = len(FaceFolder.open(collection.folder).waiting())
    message(f"{waiting:,} faces wait for a label: `fer-edge collect review {collection.folder}`")
    return code
