"""Worker processes that label recordings, each with its own networks.

They are spawned, not forked: an interpreter does not survive a fork. A worker whose parent has ended stops at the next frame.
If a decoder crashes on a broken file, only its worker ends.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING

from device.config import Settings
from device.recorded.summary import Provenance
from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from device.recorded.labeller import LabelOutcome, LabelTask

_PROGRESS_EVERY_S = 0.25  # time between two progress messages
_EXIT_TIMEOUT_S = 10.0  # for the frame that is being read when the command ends


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has loaded its networks: the provenance of its rows, and a remark of its verification."""

    made_by: Provenance
    remark: str | None


@dataclass(frozen=True, slots=True)
class WorkerCrashed:
    """A worker ended unexpectedly; `why` is a sentence."""

    why: str


Message = WorkerReady | WorkerCrashed | float  # or a LabelOutcome; a float is the finished share of its recording


class Worker:
    """One worker process. `task` is its unfinished task, None when it is idle."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.task: LabelTask | None = None
        self.share = 0.0
        self.process: SpawnProcess = context.Process(target=worker_main, args=(far, settings), daemon=True)
        with _sigint_blocked():
            self.process.start()
        far.close()  # otherwise the end of the process would not close the connection

    def assign(self, task: LabelTask) -> None:
        """Sends a recording to label."""
        self.task, self.share = task, 0.0
        with suppress(OSError):  # it has ended; `receive` returns WorkerCrashed
            self.connection.send(task)

    def receive(self) -> Message | LabelOutcome:
        """The next message. Raises the FerEdgeError that the worker raised."""
        try:
            message: Message | LabelOutcome | FerEdgeError = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_EXIT_TIMEOUT_S)
            code = self.process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            return WorkerCrashed(f"the process ended unexpectedly ({how})")
        if isinstance(message, FerEdgeError):
            raise message
        if isinstance(message, float):
            self.share = message
        return message


class Workers:
    """All workers of a command. Leaving the block ends them within some seconds."""

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
        """Starts a worker, which sends WorkerReady once its networks are loaded."""
        self.all.append(worker := Worker(self._settings))
        return worker

    def remove(self, worker: Worker) -> None:
        """Removes a worker that crashed."""
        worker.connection.close()
        self.all.remove(worker)

    def with_messages(self, timeout_s: float) -> list[Worker]:
        """The workers that sent a message or ended within the time."""
        ready = wait([worker.connection for worker in self.all], timeout_s)
        return [worker for worker in self.all if worker.connection in ready]


class _ParentGone(Exception):
    """The parent process has ended."""


def worker_main(connection: Connection, settings: Settings) -> None:
    """The body of a worker: labels the tasks from the connection until its other end is closed."""
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


def _progress_sender(connection: Connection) -> Callable[[float], None]:
    """A callback for each frame: sends the share at intervals, and raises _ParentGone once the connection is closed."""
    sent_s = time.monotonic()

    def send_progress(share: float) -> None:
        nonlocal sent_s
        if connection.poll():  # during a task nothing arrives except the end of the connection
            raise _ParentGone
        if (now_s := time.monotonic()) - sent_s >= _PROGRESS_EVERY_S:
            sent_s = now_s
            connection.send(share)

    return send_progress


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Blocks SIGINT for processes started within, from their first moment on: the parent ends them."""
    resource_tracker.ensure_running()  # otherwise it would be started within, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
