"""Every error the toolkit raises on purpose, and the exit code each one ends a command with.

    (none)                0   done
    FerEdgeError          1   a bug, or a state nobody foresaw
    ├── UsageError        2   an argument or an input is wrong
    │   └── DataError     2   a data set cannot be read as one
    ├── ParityFailed      3   int8 does not do what float does
    ├── CameraNotOpened   4   the camera never gave a frame
    ├── BundleRefused     5   a bundle is damaged, incomplete or not for this runtime
    ├── NotEnoughData     6   too little data to decide, or no face seen
    ├── Unhealthy         7   it runs, but its camera, its journal or the machine needs attention; a journal is not whole
    ├── NotRunning        8   no instance of that name runs
    └── RestartNeeded    75   start the process again (EX_TEMPFAIL, which systemd can be told to act on)
    (Ctrl-C)            130   interrupted, by a host command; the camera loop ends with 0

A message is a sentence: what is wrong, which value, what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from fer_edge.console import message

EXIT_CODES = {
    0: "done",
    1: "a bug",
    2: "usage or bad input",
    3: "parity failed",
    4: "camera never opened",
    5: "bundle refused",
    6: "not enough data to tell, or no face seen",
    7: "runs, but is not well; a journal is not whole",
    8: "not running",
    75: "restart me",
    130: "interrupted",
}
EXIT_DONE = 0
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells report it; only for host commands, the loop ends with 0


class FerEdgeError(Exception):
    """Something that a user can read about in one sentence."""

    exit_code = 1


class UsageError(FerEdgeError):
    """An argument, a file or a value given by the user is wrong."""

    exit_code = 2


class DataError(UsageError):
    """A path does not hold a data set that can be read; the message names the file and the row."""


class ParityFailed(FerEdgeError):
    """The quantized model is outside the written tolerances of the float model."""

    exit_code = 3


class CameraNotOpened(FerEdgeError):
    """The camera could not be opened, or opened and never gave a frame."""

    exit_code = 4


class BundleRefused(FerEdgeError):
    """A bundle is incomplete, altered, or asks for what this version cannot do."""

    exit_code = 5


class NotEnoughData(FerEdgeError):
    """There are too few data to give a verdict, or no face was seen in the time allowed."""

    exit_code = 6


class Unhealthy(FerEdgeError):
    """An instance runs, but its camera, its journal or the machine needs attention; or something is missing of a journal."""

    exit_code = 7


class NotRunning(FerEdgeError):
    """No instance of the name that was asked for runs here."""

    exit_code = 8


class RestartNeeded(FerEdgeError):
    """The process cannot recover by itself and asks to be started again."""

    exit_code = 75


def exit_code_of(command: Callable[[], int]) -> int:
    """The exit code of `command`: its own, or that of the error it raised, which is said on stderr in one line."""
    try:
        return command()
    except FerEdgeError as error:
        message(str(error))
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away: `… | head`
        sys.stderr.close()
        return EXIT_DONE
    except OSError as error:
        if error.filename is None:
            raise
        message(f"{error.filename}: {error.strerror}")
        return UsageError.exit_code
    except KeyboardInterrupt:
        message("interrupted")
        return EXIT_INTERRUPTED
