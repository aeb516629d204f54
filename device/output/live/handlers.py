"""The answers of the live page, on Tornado: its files, a stream, the token for a cookie, and nothing else.

The page and its scripts hold no figure and are given to whoever reaches the port; what was seen only to who may see it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from device.address import Address
from device.output.live import token
from device.output.live.allowed_hosts import is_allowed_host, is_same_origin
from device.output.live.pixelated_picture import PixelatedPictures
from device.output.live.viewers import Viewers

_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in ("page", "faces", "chart", "words")},
}
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {
    "Server": "fer-edge",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_OF_STATUS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "10"}}
_SEND_BYTES = 65_536  # of a stream's buffer in the kernel: who takes nothing is noticed soon


@dataclass(frozen=True, slots=True)
class PageContext:
    """What all answers are made from. `secret` is the token, None where none is asked for."""

    address: Address
    machine: str
    secret: str | None
    viewers: Viewers
    pictures: PixelatedPictures | None
    say: Callable[[str], None]


class PageHandler(RequestHandler):
    """An answer to whoever asks by one of our names; with `guarded`, only to our own page and with the token."""

    guarded = True
    shared: PageContext

    def initialize(self, shared: PageContext) -> None:
        self.shared = shared

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        asked = self.request.headers
        if not is_allowed_host(asked.get("Host", ""), self.shared.address, self.shared.machine):
            raise HTTPError(
                421, reason="this page is not of that name; ask for it by the machine's address or its own name"
            )
        if not is_same_origin(asked.get("Sec-Fetch-Site"), asked.get("Origin"), asked.get("Host", "")) and self.guarded:
            raise HTTPError(403, reason="another site's page may not read this one")
        if self.guarded and not self._may_see():
            raise HTTPError(401, reason="this needs the token that was said when the run started")

    def _may_see(self) -> bool:
        secret = self.shared.secret
        if secret is None:
            return True
        kept = self.get_cookie(self.cookie_name()) or ""
        return token.matches(kept, token.cookie_value(secret)) or token.matches(self.bearer(), secret)

    def bearer(self) -> str:
        """The token that came in the header Authorization; empty where none did."""
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        return given.strip() if scheme.lower() == "bearer" else ""

    def cookie_name(self) -> str:
        """The cookie's name: browsers keep cookies by host, whatever the port, and a machine may have two cameras."""
        return f"fer-edge-{self.shared.address.port}"

    def write_error(self, status_code: int, **_: Any) -> None:
        for name, value in _OF_STATUS.get(status_code, {}).items():
            self.set_header(name, value)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._reason}.\n")

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:  # noqa: ARG002
        if not isinstance(error, HTTPError | StreamClosedError):
            self.shared.say(f"the live page could not answer: {error!r}")


class FileHandler(PageHandler):
    """A file of the page."""

    guarded = False

    def initialize(self, shared: PageContext, data: bytes = b"", kind: str = "") -> None:
        self.shared, self._data, self._kind = shared, data, kind

    def get(self) -> None:
        self.set_header("Content-Type", self._kind)
        self.set_header("Cache-Control", "no-cache")  # asked for again, and not sent again while it is the same
        self.finish(self._data)


class NotFoundHandler(PageHandler):
    """What is not here."""

    guarded = False

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404, reason="there is nothing here")


class SessionHandler(PageHandler):
    """The token in exchange for a cookie that no script can read, so that it need not stay in the address."""

    guarded = False

    def post(self) -> None:
        secret = self.shared.secret
        if secret is not None:
            if not token.matches(self.bearer(), secret):
                raise HTTPError(401, reason="that is not the token of this run")
            self.set_cookie(
                self.cookie_name(),
                token.cookie_value(secret),
                httponly=True,
                samesite="Strict",
                path="/",
                expires_days=None,
            )
        self.set_status(204)


class StateHandler(PageHandler):
    """Everything as it is now, once, as JSON."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(self.shared.viewers.whole())


class PictureHandler(PageHandler):
    """The last picture, while pictures are shown."""

    def get(self) -> None:
        jpeg = self.shared.pictures.jpeg() if self.shared.pictures is not None else None
        if jpeg is None:
            raise HTTPError(404, reason="no picture is shown; --show-pixels shows some for a while")
        self.set_header("Content-Type", "image/jpeg")
        self.finish(jpeg)


class EventStreamHandler(PageHandler):
    """The stream of server-sent events, until one of the two goes."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        connection: Any = self.request.connection
        connection.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        viewer = self._viewer = self.shared.viewers.join(self)
        if viewer is None:
            raise HTTPError(503, reason=f"{self.shared.viewers.most} others look at this page already; try again later")
        try:
            await viewer.gone.wait()
        finally:
            self.shared.viewers.leave(viewer)

    def on_connection_close(self) -> None:
        if self._viewer is not None:
            self.shared.viewers.leave(self._viewer)

    def send(self, data: bytes) -> asyncio.Future[None]:
        self.write(data)
        return self.flush()

    def cut(self) -> None:
        connection: Any = self.request.connection
        connection.stream.close()


def application(shared: PageContext) -> Application:
    """All answers by their paths; no request is logged."""
    own = {"shared": shared}
    files = [
        (path, FileHandler, {**own, "data": (_PAGE / name).read_bytes(), "kind": kind})
        for path, (name, kind) in _FILES.items()
    ]
    rest: list[Any] = [
        ("/session", SessionHandler, own),
        ("/state", StateHandler, own),
        ("/events", EventStreamHandler, own),
        ("/picture.jpg", PictureHandler, own),
        (".*", NotFoundHandler, own),
    ]
    return Application([*files, *rest], log_function=lambda _: None)
