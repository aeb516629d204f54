"""Addresses of recordings in object stores and on web servers: which are ones, and how they are shown without secrets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from fer_edge.errors import UsageError

SCHEMES = ("s3", "gs", "http", "https")
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]{1,5})?")
_PATH_SIGNS, _QUERY_SIGNS = re.compile(r"[/?#]"), re.compile(r"[?#]")


def is_remote(path: Path | str) -> bool:
    """Whether a path of the command line is an address in one of SCHEMES."""
    scheme, separator, _ = path.partition("://") if isinstance(path, str) else ("", "", "")
    return bool(separator) and scheme.lower() in SCHEMES


def is_web(url: str) -> bool:
    """Whether an address is one of a web server."""
    return url.lower().startswith(("http://", "https://"))


def shown_address(url: str) -> str:
    """The address without user and password, and of a web server without query, any of which may hold credentials.

    Of a web address in which a sign of a password may stand behind the host by mistake, only the scheme is shown.
    """
    scheme, _, rest = url.partition("://")
    if not is_web(url):  # ? and # are signs of a key like any other
        host, slash, key = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{key}"
    host = _PATH_SIGNS.split(rest, maxsplit=1)[0]
    path = rest[len(host) :]
    plain = host.rpartition("@")[2]
    if "@" in path and not _HOST_AND_PORT.fullmatch(plain):
        return f"{scheme}://…"
    return f"{scheme}://{plain}{_QUERY_SIGNS.split(path, maxsplit=1)[0]}"


def checked_address(url: str) -> str:
    """The address with its scheme in small letters. Raises UsageError, without the address, for a web address that is none."""
    scheme, _, rest = url.partition("://")
    url = f"{scheme.lower()}://{rest}"
    if is_web(url):
        try:
            parts = urlsplit(url)
            is_right = bool(parts.hostname) and (parts.port or 0) >= 0
        except ValueError:
            is_right = False
        if not is_right:
            raise UsageError(
                "a web address has no readable host and port; write the signs / ? # [ ] @ of a user or password as "
                "%2F %3F %23 %5B %5D %40"
            )
    return url
