"""`review` serves the page on which the owner of collected faces labels them, on this machine only, until it is stopped."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from device.address import LOOPBACK, Address
from device.clock import SystemClock
from device.output.allowed_hosts import page_url
from device.output.collected.crop_ages import correct_ages
from device.output.collected.face_folder import FaceFolder
from device.output.live import require_tornado
from device.output.minute_log import MinuteLog
from device.signals import handle_signals
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, UsageError

_PAGE = "the review page"
_POLL_S = 0.2


def review(path: Path, classes: Sequence[str], port: int) -> int:
    """The exit code, once SIGINT or SIGTERM stopped the page. Raises UsageError where it cannot be served."""
    from device.output.live.token import is_in_system_log

    require_tornado(_PAGE)
    if is_in_system_log(sys.stderr, os.environ.get("JOURNAL_STREAM", "")):
        raise UsageError("the messages of a service are stored in the system's log, and this page's token must not be")
    folder = FaceFolder.open(path)
    correct_ages(folder, SystemClock())
    if expired := folder.prune(folder.expire_days()):
        message(f"{expired:,} faces without a label were older than {folder.expire_days():g} days, and are deleted")
    with handle_signals() as requests, served(folder, classes, port, message) as url:
        message(f"the review page is {url} for this run; whoever has this address can see the faces; Ctrl-C ends it")
        pause = threading.Event()
        while not requests.stop:
            pause.wait(_POLL_S)
    counts = {label: count for label, count in folder.counts().items() if count}
    labelled = ", ".join(f"{label} {count:,}" for label, count in counts.items()) or "none"
    message(f"labelled in {folder.labelled}: {labelled}; {len(folder.waiting()):,} wait")
    return EXIT_DONE


@contextmanager
def served(folder: FaceFolder, classes: Sequence[str], port: int, log: Callable[[str], None]) -> Iterator[str]:
    """The page's address with its token, while the page is served on loopback. Port 0 is any free one."""
    from device.output.live.server import Server, bind_address
    from device.output.live.token import new_token
    from device.output.review.handlers import ReviewContext, application
    from device.output.review.labelling import Labelling

    labelling, secret = Labelling(folder, classes), new_token()
    sockets = bind_address(Address(LOOPBACK, port), _PAGE, "--port N")
    address = Address(LOOPBACK, sockets[0].getsockname()[1])
    context = ReviewContext(_PAGE, address, socket.gethostname(), secret, MinuteLog(SystemClock(), log), labelling)
    server = Server(sockets, application(context), log)
    server.start()
    try:
        yield f"{page_url(address, context.machine)}#token={secret}"
    finally:
        server.stop()
