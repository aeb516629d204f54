"""The address of a network camera: what may be shown of it, its password from a file, and where it redirects to."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from device.default_folders import expand_user
from device.password_file import read_password
from fer_edge.errors import UsageError
from fer_edge.text_cleaning import may_hold_password

_REDIRECTS = (301, 302, 303, 307, 308)
_HTTP_SCHEMES = ("http", "https")
_LONGEST_LOCATION = 2000  # characters


def redact_url(address: str) -> str:
    """The address as it may be shown and stored: its scheme and host alone, for a path too may be a secret.

    Not even the host of an address with an @ behind a slash: that may be the end of a password. Nothing of one without ://.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return "…"
    before, at, after = rest.rpartition("@")
    if at and any(sign in before for sign in "/\\"):
        return f"{scheme}://…"
    host = after if at else rest
    host, rest = _cut(host)
    try:
        parts = urlsplit(f"//{host}")
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return f"{scheme}://…"
    name = parts.hostname or ""
    return f"{scheme}://{f'[{name}]' if ':' in name else name}{port}{'/…' if rest.strip('/') else ''}"


def shown_camera(camera: str) -> str:
    """The camera's name as it may be shown: of an address, well written or not, what `redact_url` leaves."""
    is_file = os.path.exists(expand_user(Path(camera)))  # noqa: PTH110 - it raises nothing, not even for a long name
    return redact_url(camera) if "://" in camera or (may_hold_password(camera) and not is_file) else camera


def _cut(text: str) -> tuple[str, str]:
    """The text before the first of / ? # and \\, and the rest."""
    end = min((place for sign in "/?#\\" if (place := text.find(sign)) >= 0), default=len(text))
    return text[:end], text[end:]


def with_password(address: str, password_file: Path | None) -> str:
    """The address with the password in that file behind its user. Raises UsageError where there is no user, or no password."""
    if password_file is None:
        return address
    require_user(address, password_file)
    parts = urlsplit(address)
    password = quote(read_password(password_file, "the camera's", "camera_password_file"), safe="")
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}:{password}@{host}").geturl()


def require_user(address: str, password_file: Path | None) -> None:
    """Raises UsageError where there is a password file and the address has no user, or a password of its own."""
    parts = urlsplit(address)
    if password_file is not None and (not parts.username or parts.password is not None):
        raise UsageError(
            "camera_password_file needs a camera whose address has a user and no password: "
            f"{parts.scheme}://USER@{parts.hostname or 'HOST'}"
        )


def redirected_to(address: str, limit_s: float) -> str:
    """The http or https address to which an HTTP camera redirects.

    Empty where it does not redirect, redirects to anything else, or does not answer within `limit_s`.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # slow to import, and seldom needed

    parts = urlsplit(address)
    if parts.scheme not in _HTTP_SCHEMES:
        return ""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(kind(parts.hostname or "", parts.port, timeout=limit_s)) as connection:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = connection.getresponse()
            location = answer.headers.get("Location", "") if answer.status in _REDIRECTS else ""
        target = urlsplit(urljoin(address, location))
    except (OSError, HTTPException, ValueError):
        return ""
    is_followed = 0 < len(location) <= _LONGEST_LOCATION and target.scheme in _HTTP_SCHEMES
    return target.geturl() if is_followed else ""


def is_same_host(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme and host; another port of it is the same host."""

    def origin(parts: SplitResult) -> tuple[str, str | None]:
        return parts.scheme.lower(), parts.hostname

    try:
        return origin(urlsplit(one)) == origin(urlsplit(other))
    except ValueError:
        return False
