"""What the handlers of our pages share, on Tornado: own host names and origins only, the token for a cookie, and plain files.

The page and its scripts hold no data and are served to anybody who reaches the port; everything else only with authorisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from device.address import Address
from device.output.allowed_hosts import is_allowed_host, is_readable_origin, is_same_origin
from device.output.live import token
from fer_edge.text_cleaning import clean

PAGE_FOLDER = Path(__file__).with_name("page")
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
_STATUS_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "10"}}


@dataclass(frozen=True, slots=True)
class PageContext:
    """What all handlers of a page share. `secret` is the token, None where none is required; `name` stands in messages."""

    name: str
    address: Address
    machine: str
    secret: str | None
    log: Callable[[str], None]


class PageHandler(RequestHandler):
    """A handler that accepts only our own host names; with `guarded`, only our own page and the token."""

    guarded = True
    context: PageContext

    def initialize(self, context: PageContext) -> None:
        self.context = context

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        headers = self.request.headers
        if not is_allowed_host(headers.get("Host", ""), self.context.address, self.context.machine):
            raise HTTPError(
                421, reason="this page is not served under that name; use the machine's address or its own name"
            )
        if not is_readable_origin(headers.get("Origin")):
            raise HTTPError(400, reason="the header Origin is no origin")
        if (
            not is_same_origin(headers.get("Sec-Fetch-Site"), headers.get("Origin"), headers.get("Host", ""))
            and self.guarded
        ):
            raise HTTPError(403, reason="a page of another site may not read this one")
        if self.guarded and not self._is_authorised():
            raise HTTPError(401, reason="this needs the token that was printed when the run started")

    def _is_authorised(self) -> bool:
        secret = self.context.secret
        if secret is None:
            return True
        cookie = self.get_cookie(self.cookie_name()) or ""
        return token.matches(cookie, token.cookie_value(secret)) or token.matches(self.bearer(), secret)

    def bearer(self) -> str:
        """The token in the header Authorization; empty where there is none."""
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        return given.strip() if scheme.lower() == "bearer" else ""

    def cookie_name(self) -> str:
        """The cookie's name, with the port and a digest of the machine's identity.

        Browsers store cookies by the host's name alone. A machine may have two cameras, and a tunnel or a proxy may give two
        machines one name.
        """
        return f"fer-edge-{self.context.address.port}-{_digest_of_machine(self.context.machine)}"

    def write_error(self, status_code: int, **_: Any) -> None:
        for name, value in _STATUS_HEADERS.get(status_code, {}).items():
            self.set_header(name, value)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._reason}.\n")

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:  # noqa: ARG002
        if not isinstance(error, HTTPError | StreamClosedError):
            self.context.log(f"{self.context.name} could not answer: {clean(repr(error))}")


@cache
def _digest_of_machine(name: str) -> str:
    try:
        ident = Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        ident = ""
    return hashlib.sha256(f"fer-edge: {name} {ident}".encode(errors="replace")).hexdigest()[:8]


class FileHandler(PageHandler):
    """A file of the page."""

    guarded = False

    def initialize(self, context: PageContext, data: bytes = b"", kind: str = "") -> None:
        self.context, self._data, self._kind = context, data, kind

    def get(self) -> None:
        self.set_header("Content-Type", self._kind)
        self.set_header("Cache-Control", "no-cache")  # revalidated each time, and sent again only when it changed
        self.finish(self._data)


class NotFoundHandler(PageHandler):
    """Any other path."""

    guarded = False

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404, reason="there is nothing here")


class SessionHandler(PageHandler):
    """Exchanges the token for a cookie that no script can read, so that it need not stay in the address."""

    guarded = False

    def post(self) -> None:
        secret = self.context.secret
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


def file_handlers(context: PageContext, folder: Path, files: Mapping[str, tuple[str, str]]) -> list[Any]:
    """The handlers of files in `folder`, by path: name and media type."""
    return [
        (path, FileHandler, {"context": context, "data": (folder / name).read_bytes(), "kind": kind})
        for path, (name, kind) in files.items()
    ]
