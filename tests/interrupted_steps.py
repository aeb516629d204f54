"""A change of files, made over and over from the same beginning, and cut off at each of its steps in turn.

    python tests/interrupted_steps.py FOLDER WHAT HOW ARGUMENT

A step is whatever changes files (opening one to write, renaming, making, removing, chmod), seen through Python's own audit
events. HOW: `killed` ends the process at the step, as a power cut does; `failing` has the step fail as a broken card does.
Each attempt is a fork, so that what takes long to import is imported once. stdout: a JSON line for each attempt.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from device.system.bundles import BundleStore
from fer_edge.active_bundle import active_bundle_path
from fer_edge.bundle import Bundle
from fer_edge.errors import FerEdgeError

CHANGING = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "fcntl.flock"}


def cut(folder: Path, at: int, how: str) -> None:
    """From now on, the step number `at` (from 1) below `folder` ends this process, or fails, and so do all after it."""
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        opens = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event not in CHANGING and not opens:
            return
        path = Path(f"/proc/self/fd/{args[0]}").readlink() if isinstance(args[0], int) else os.fspath(args[0])
        if not str(path).startswith(str(folder)):
            return
        seen += 1
        if seen >= at:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    sys.addaudithook(hook)


def attempt(folder: Path, what: str, argument: str, at: int, how: str) -> dict[str, Any]:
    """What came of one attempt: how it ended, what is in use after it, and what a second run, left alone, makes of it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            cut(folder, at, how)
            change(folder, what, argument)
            code = 0
        except FerEdgeError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    ended = "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    then = in_use(folder)
    change(folder, what, argument) if ended != 0 and not (what == "rollback" and then == argument) else None
    left = sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith((".new", ".in-use"))
    )
    return {"at": at, "ended": ended, "in_use": then, "again": in_use(folder), "left": left}


def change(folder: Path, what: str, argument: str) -> None:
    bundles = BundleStore(folder)
    if what == "install":
        bundles.install(Path(argument))
    elif what == "use":
        bundles.use(argument)
    else:
        bundles.rollback()


def in_use(folder: Path) -> str:
    """The name of the bundle that a run would take, read as a run reads it."""
    path = active_bundle_path({"FER_EDGE_BUNDLES": str(folder)})
    Bundle.load(path)
    return path.name


def main(folder: Path, what: str, how: str, argument: str) -> None:
    import ai_edge_litert.interpreter  # noqa: F401 - so that no attempt has to
    import cv2  # noqa: F401
    import numpy  # noqa: F401

    for at in range(1, 1000):
        here = Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-{at}"))) / "bundles"
        found = attempt(here, what, argument, at, how)
        print(json.dumps(found), flush=True)
        shutil.rmtree(here.parent)
        if found["ended"] == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
