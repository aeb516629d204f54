"""The live page as a run has it: a sink and a watcher that opens the server, feeds its onlooker, and never stops the loop."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.address import Address
from device.clock import Clock
from device.config import Settings
from device.output.live import token
from device.output.live.allowed_hosts import is_loopback, page_url
from device.output.live.handlers import PageContext
from device.output.live.pixelated_picture import PixelatedPictures
from device.output.live.server import Server, bind_address
from device.output.live.view_state import ViewState
from device.output.live.viewers import Viewers
from fer_edge.errors import UsageError
from fer_edge.events import Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.system.status import Status
    from device.vision.readings import FrameResult

Say = Callable[[str], None]


class LivePage:
    """The page at `address` while it is open. `token_of` gives the token at the opening, None for a page without one."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        say: Say,
        patience_s: float = 2.0,
        token_of: Callable[[], str | None] = lambda: None,
        pixels_s: float | None = None,
        tell_token: bool = False,
    ) -> None:
        self.address = address
        self._clock, self._say, self._token_of, self._tell_token = clock, say, token_of, tell_token
        self.pictures = None if pixels_s is None else PixelatedPictures(clock, pixels_s)
        self.onlooker = ViewState(clock, patience_s, self.pictures)
        self._server: Server | None = None
        self._failed = False

    @classmethod
    def of(cls, settings: Settings, clock: Clock, say: Say, environ: Mapping[str, str] = os.environ) -> LivePage:
        """The page that the settings ask for. Raises UsageError where it would be open to a network without a secret."""
        assert settings.live is not None
        address, file = Address.parse(settings.live), settings.live_token_file
        patience_s = max(2.0, 3 / settings.fps)
        if file is not None:
            return cls(
                address, clock, say, patience_s, lambda: token.read_or_create_token(file), settings.show_pixels_s
            )
        if is_loopback(address.host):
            return cls(address, clock, say, patience_s, pixels_s=settings.show_pixels_s)
        if token.is_in_system_log(sys.stderr, environ.get("JOURNAL_STREAM", "")):
            raise UsageError(
                "what a service says is kept in the system's log, and the live page's token must not be; name a file for it "
                "with live_token_file"
            )
        return cls(address, clock, say, patience_s, token.new_token, settings.show_pixels_s, tell_token=True)

    def __enter__(self) -> Self:
        secret = self._token_of()
        sockets = bind_address(self.address)
        self.address = replace(self.address, port=sockets[0].getsockname()[1])
        viewers = Viewers(self.onlooker, self.pictures, self._clock)
        shared = PageContext(self.address, socket.gethostname(), secret, viewers, self.pictures, self._say)
        self._server = Server(sockets, shared, self._say)
        self._server.start()
        where = page_url(self.address, shared.machine)
        if self._tell_token:  # behind a #, which no browser sends and so no log between here and there can hold
            self._say(f"the live page is {where}#token={secret} for this run; who has this address sees what it sees")
        else:
            self._say(f"the live page is {where}{'' if secret is None else ', with the token of the file'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()

    def append(self, event: Event) -> None:
        """Takes the event."""
        self._try(lambda: self.onlooker.event(event))

    def tick(self) -> None:
        """Nothing is put off."""

    def frame(self, frame: Frame, seen: FrameResult, laps_s: Mapping[str, float], age_s: float | None) -> None:
        """A frame was processed."""
        self._try(lambda: self.onlooker.frame(frame, seen, laps_s, age_s))

    def turn(self, status: Status) -> None:
        """A turn of the loop."""
        self._try(lambda: self.onlooker.turn(status))

    def _try(self, tell: Callable[[], None]) -> None:
        """A page is worth less than the run: what fails in here is said once, and the page stands still."""
        if self._failed:
            return
        try:
            tell()
        except Exception as error:
            self._failed = True
            self._say(f"the live page stands still: {error!r}")
