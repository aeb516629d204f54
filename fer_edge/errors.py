"""Every error that is raised on purpose, and the exit code of a command that it ends.

    (none)                0   done
    FerEdgeError          1   a bug
    ├── UsageError        2   an argument or an input is wrong
    │   └── DataError     2   a path does not hold a readable data set
    ├── ParityFailed      3   the int8 model is outside the margins of its float model
    ├── CameraNotOpened   4   the camera could not be opened, or gave no frame
    ├── BundleRefused     5   a bundle is damaged, incomplete or not for this runtime
    ├── NotEnoughData     6   too little data to decide, or no face seen
    ├── Unhealthy         7   an instance runs but its camera, journal or machine needs attention; a journal is not whole
    ├── NotRunning        8   no instance of that name runs
    └── RestartNeeded    75   the process must be started again (EX_TEMPFAIL; systemd restarts it); a host did not answer
    (Ctrl-C)            130   a host command was interrupted; the camera loop ends with 0

A message is a sentence: what is wrong, which value, what to do.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable

from fer_edge.console import discard_stdout, message, open_closed_streams, print_any_text

EXIT_CODES = {
    0: "done",
    1: "a bug",
    2: "usage or bad input",
    3: "parity failed",
    4: "camera never opened",
    5: "bundle refused",
    6: "not enough data, or no face seen",
    7: "unhealthy; a journal is not whole",
    8: "not running",
    75: "restart needed; a host did not answer",
    130: "interrupted",
}
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # of the disk behind an output
_FULL_TEXTS = tuple(os.strerror(code) for code in _FULL_ERRORS)
_ADVICE = {  # on a file that cannot be opened
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of this path is a file; name another place",
    errno.EISDIR: "this is a folder; name a file",
    errno.EACCES: "you may not read or write here; name another place, or change the permissions",
    errno.EPERM: "you may not read or write here; name another place, or change the permissions",
    errno.EROFS: "nothing can be written here; name another place",
    errno.ENOSPC: "free some space, and run the command again",
    errno.ENAMETOOLONG: "give a shorter name",
}
_PARTLY_WRITTEN = re.compile(r"\d+ requested and \d+ written")  # of numpy.ndarray.tofile
HOST_EXTRA = "the extra `host` (TensorFlow, 2 GB): pip install 'fer-edge[host]', in a checkout pip install '.[host]'"
_HOST_MODULES = {"tensorflow", "keras", "h5py", "litert_quantizer", "flatbuffers", "sklearn", "scipy", "matplotlib"}
_HOST_MODULES |= {"jinja2", "tqdm"}  # what the commands of the host import, beside the base install
EXIT_DONE = 0
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells report it; host commands only, the loop ends with 0


def host_extra_missing(error: ImportError) -> str:
    """The sentence for a command of the host where a package of the extra `host` cannot be imported."""
    return f"this command needs {HOST_EXTRA} ({error})"


class FerEdgeError(Exception):
    """An error that is explained to the user in one sentence."""

    exit_code = 1


class UsageError(FerEdgeError):
    """An argument, a file or a value given by the user is wrong."""

    exit_code = 2


class DataError(UsageError):
    """A path does not hold a readable data set; the message names the file and the row."""


class ParityFailed(FerEdgeError):
    """The quantized model is outside the margins of its float model."""

    exit_code = 3


class CameraNotOpened(FerEdgeError):
    """The camera could not be opened, or gave no frame."""

    exit_code = 4


class BundleRefused(FerEdgeError):
    """A bundle is incomplete, altered, or needs another version."""

    exit_code = 5


class NotEnoughData(FerEdgeError):
    """There is too little data for a verdict, or no face was seen in the time allowed."""

    exit_code = 6


class Unhealthy(FerEdgeError):
    """An instance runs, but its camera, its journal or the machine needs attention; or a journal is incomplete."""

    exit_code = 7


class NotRunning(FerEdgeError):
    """No instance of the given name runs here."""

    exit_code = 8


class RestartNeeded(FerEdgeError):
    """The process cannot recover and must be started again; or a host did not answer, and may do so later."""

    exit_code = 75


def exit_code_of(command: Callable[[], int]) -> int:
    """The exit code that `command` returned, or that of the error it raised, which is reported on stderr in one line.

    It is 2 instead of 0 if the output could not be written completely. A closed stdout or stderr counts as /dev/null.
    """
    open_closed_streams()
    print_any_text()
    code = _exit_code_of(command)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        return code or _report_full(error.strerror)
    return code


def _exit_code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except FerEdgeError as error:
        message(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _HOST_MODULES:
            raise
        message(host_extra_missing(error))
        return UsageError.exit_code
    except BrokenPipeError:  # the reader of the output closed it, as in `… | head`, and the command only prints
        sys.stderr.close()
        return EXIT_DONE
    except KeyboardInterrupt:
        message("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
            message(f"{error.filename2 or error.filename}: {error.strerror}{advice}")
            return UsageError.exit_code
        if reason := _full_disk(error):
            return _report_full(reason)
        raise


def _full_disk(error: BaseException | None) -> str | None:
    """Why an output could not be written, where the disk is the reason of the error or of one that led to it; else None.

    Libraries lose the number of the error: numpy counts the items that were written, shutil lists the files, TensorFlow and
    HDF5 quote the text. A zip file that cannot be closed raises an error of its own after that of the disk.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno in _FULL_ERRORS:
                place = error.filename2 or error.filename
                return f"{place}: {error.strerror}" if place else error.strerror
        else:
            text = str(error)
            if found := next((words for words in _FULL_TEXTS if words in text), None):
                return found
            if isinstance(error, OSError) and _PARTLY_WRITTEN.fullmatch(text):
                return text
        error = error.__cause__ or error.__context__
    return None


def _report_full(reason: str | None) -> int:
    discard_stdout()
    message(f"the output cannot be written completely ({reason}); free some space, and run the command again")
    return UsageError.exit_code
