"""Processes that label recordings, each with its own networks; what they say, and what becomes of one that ends by itself.

They are spawned, not forked: an interpreter does not survive a fork. A process that loses the one that started it stops at
the next frame. A decoder that crashes on a broken file takes its process along, and nothing else.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from device.config import Settings
from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from device.recorded.labeller import LabelOutcome, LabelTask

_PROGRESS_EVERY_S = 0.25  # between two words about the share that is done
_EXIT_TIMEOUT_S = 10.0  # for the frame that is being read when all is to end


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A process has loaded its networks: what its rows will be made by, and what to say of it."""

    made_by: dict[str, Any]
    remark: str | None


@dataclass(frozen=True, slots=True)
class WorkerCrashed:
    """A process ended by itself; `why` is a sentence."""

    why: str


Message = WorkerReady | WorkerCrashed | float  # or a Labelled; a float is the share of its recording that is done


class Worker:
    """One such process. `task` is what it was given and has not finished."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.task: LabelTask | None = None
        self.share = 0.0
        self.process: SpawnProcess = context.Process(target=worker_main, args=(far, settings), daemon=True)
        with _sigint_blocked():
            self.process.start()
        far.close()  # else its end would not be heard of

    def give(self, task: LabelTask) -> None:
        """Has it label a recording."""
        self.task, self.share = task, 0.0
        with suppress(OSError):  # it has ended; `said` will tell
            self.connection.send(task)

    def said(self) -> Message | LabelOutcome:
        """The next thing it says. Raises the FerEdgeError that it met."""
        try:
            said: Message | LabelOutcome | FerEdgeError = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_EXIT_TIMEOUT_S)
            code = self.process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            return WorkerCrashed(f"the process ended by itself ({how})")
        if isinstance(said, FerEdgeError):
            raise said
        if isinstance(said, float):
            self.share = said
        return said


class Workers:
    """All such processes of a command. Leaving the block ends them, at the latest after some seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.all: list[Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.all:
            worker.connection.close()
        end_s = time.monotonic() + _EXIT_TIMEOUT_S
        for worker in self.all:
            worker.process.join(max(0.0, end_s - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def start(self) -> Worker:
        """One more process, which says that it is Ready as soon as it is."""
        self.all.append(worker := Worker(self._settings))
        return worker

    def leave(self, worker: Worker) -> None:
        """Forgets a process that crashed."""
        worker.connection.close()
        self.all.remove(worker)

    def speaking(self, timeout_s: float) -> list[Worker]:
        """Those that say something, or ended, within the time."""
        heard = wait([worker.connection for worker in self.all], timeout_s)
        return [worker for worker in self.all if worker.connection in heard]


class _ParentGone(Exception):
    """Whoever gave the work is gone."""


def worker_main(connection: Connection, settings: Settings) -> None:
    """Labels what comes over the connection until its other end is closed: the body of such a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from device.recorded.labeller import Labeller

    try:
        labeller = Labeller(settings)
        connection.send(WorkerReady(labeller.made_by, labeller.verified.remark))
        while True:
            connection.send(labeller.label(connection.recv(), _progress_sender(connection)))
    except FerEdgeError as error:
        with suppress(OSError):
            connection.send(error)
    except (_ParentGone, EOFError, OSError):
        pass


def _progress_sender(connection: Connection) -> Any:
    """What is told of each frame: it passes some on, and raises _Left once nobody listens."""
    told_s = time.monotonic()

    def tell(share: float) -> None:
        nonlocal told_s
        if connection.poll():  # while a task is done nothing comes but the end
            raise _ParentGone
        if (now_s := time.monotonic()) - told_s >= _PROGRESS_EVERY_S:
            told_s = now_s
            connection.send(share)

    return tell


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Has what is started within take no notice of Ctrl-C, from its first moment on: the one who starts it ends it."""
    resource_tracker.ensure_running()  # else it is started within, and lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
