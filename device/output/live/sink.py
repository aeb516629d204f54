"""The live page of a run: a sink and a frame observer that starts the server and never stops the loop."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.address import Address
from device.clock import Clock
from device.config import Settings
from device.output.allowed_hosts import is_loopback, page_url
from device.output.arrivals import PATIENCE_S, patience_s
from device.output.live import token
from device.output.live.handlers import LiveContext, application
from device.output.live.pixelated_picture import PixelatedPictures
from device.output.live.server import Server, bind_address
from device.output.live.view_state import ViewState
from device.output.live.viewers import Viewers
from device.output.minute_log import MinuteLog
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.system.status_record import Status
    from device.vision.readings import FrameResult

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How the page is served. `token_of` returns the token when the page opens, None for a page without one.

    `patience_s` is that of the tallies; `pixels_s` for how long pictures are shown, None for never; `log_token` whether the
    page's address is logged with the token in it; `storing` is a sentence about pictures that the run stores, or empty.
    """

    address: Address
    patience_s: float = PATIENCE_S
    token_of: Callable[[], str | None] = lambda: None
    pixels_s: float | None = None
    log_token: bool = False
    storing: str = ""


def page_options(settings: Settings, environ: Mapping[str, str] = os.environ) -> PageOptions:
    """The options by the settings. Raises UsageError where a token would be needed and could only be logged."""
    assert settings.live is not None
    file = settings.live_token_file
    options = PageOptions(Address.parse(settings.live), patience_s(settings.fps), pixels_s=settings.show_pixels_s)
    if file is not None:
        return replace(options, token_of=lambda: token.read_or_create_token(file))
    if is_loopback(options.address.host):
        return options
    if token.is_in_system_log(sys.stderr, environ.get("JOURNAL_STREAM", "")):
        raise UsageError(
            "the messages of a service are stored in the system's log, and the live page's token must not be; name a file "
            "for it with live_token_file"
        )
    return replace(options, token_of=token.new_token, log_token=True)


class LivePage:
    """The page at `address` while it is open."""

    def __init__(self, options: PageOptions, clock: Clock, log: Log) -> None:
        self.address = options.address
        self._options, self._clock, self._log = options, clock, log
        self.pictures = None if options.pixels_s is None else PixelatedPictures(clock, options.pixels_s)
        self.view_state = ViewState(clock, options.patience_s, self.pictures, options.storing)
        self._server: Server | None = None
        self._update_trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the page is no longer updated or served; None while it is."""
        return self._update_trouble or (self._server.trouble if self._server is not None else None)

    def __enter__(self) -> Self:
        secret = self._options.token_of()
        sockets = bind_address(self.address)
        self.address = replace(self.address, port=sockets[0].getsockname()[1])
        viewers = Viewers(self.view_state, self.pictures, self._clock)
        log = MinuteLog(self._clock, self._log)
        context = LiveContext("the live page", self.address, socket.gethostname(), secret, log, viewers, self.pictures)
        self._server = Server(sockets, application(context), self._log, viewers)
        self._server.start()
        url = page_url(self.address, context.machine)
        if self._options.log_token:  # behind a #, which no browser sends, so that no log on the way can hold it
            self._log(f"the live page is {url}#token={secret} for this run; whoever has this address can see the page")
        else:
            self._log(f"the live page is {url}{'' if secret is None else ', with the token of the file'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()

    def append(self, event: Event) -> None:
        """Passes the event to the view state."""
        self._try(lambda: self.view_state.on_event(event))

    def tick(self) -> None:
        """Does nothing: no work is postponed."""

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        """Passes the frame to the view state."""
        self._try(lambda: self.view_state.on_frame(frame, result, stages_s, age_s))

    def on_turn(self, status: Status) -> None:
        """Passes the status to the view state."""
        self._try(lambda: self.view_state.on_turn(status))

    def on_settings(self, settings: Settings) -> None:
        """Does nothing: no setting of the page changes during a run."""

    def _try(self, update: Callable[[], None]) -> None:
        """Runs an update; the first failure is logged and ends all updates, because the run must continue."""
        if self._update_trouble:
            return
        try:
            update()
        except Exception as error:
            self._update_trouble = f"the live page is no longer updated: {clean(repr(error))}"
            self._log(self._update_trouble)
