"""Recordings in object stores and on web servers: s3://, gs://, http:// and https://, through fsspec.

Credentials come from the environment of the machine that reads (AWS_…, GOOGLE_…), or stand in the address; of an address, only
scheme, host and path are shown and stored.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from device.recorded.remote_address import checked_address, is_web, shown_address
from fer_edge.errors import CameraNotOpened, FerEdgeError, UsageError
from fer_edge.folder_files import is_hidden, is_system_file
from fer_edge.limits import ARCHIVE_MEMBERS, REMOTE_VIDEO_BYTES
from fer_edge.media_files import is_video

_PIECE_BYTES = 8 << 20  # that a video is fetched in
_CONNECT_S, _READ_S = 30.0, 60.0  # the longest that a web server may take to connect, and between two pieces
_MOST_FOLDERS_DEEP = 64
_GONE = "it does not exist"
_VERSION_FIELDS = ("ETag", "etag", "Content-MD5")
_TIME_FIELDS = ("LastModified", "mtime", "updated", "Last-Modified")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One state of a remote file. `url` may hold credentials. `name`: below the address that was listed.

    `bytes` is 0 where the server does not state it, `mtime_ns` likewise; `version` is the store's mark of the content (ETag).
    """

    url: str = field(repr=False)
    name: str
    bytes: int
    mtime_ns: int
    version: str | None


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """The videos at an address, and the names that are left out, each with the reason where it is not plain."""

    videos: tuple[RemoteFile, ...]
    left_out: tuple[str, ...]


def is_name_below(name: str) -> bool:
    """Whether a name that others wrote stays below the folder that it is joined to."""
    return bool(name) and "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))


def find_remote(url: str) -> RemoteFiles:
    """The file at an address, or all videos below it; of a web server, an address that ends with / is a folder.

    Below a folder a file is a video by the end of its name, for its first bytes would cost a request each. Raises UsageError
    when the address cannot be listed.
    """
    url = checked_address(url)
    with _explained(url, UsageError):
        fs, root = _file_system(url)
        is_folder = urlsplit(url).path.endswith("/") if is_web(url) else fs.info(root)["type"] == "directory"
        if is_folder and is_web(url) and urlsplit(url).query:
            raise UsageError(
                f"{shown_address(url)} is a folder and its address has a query, with which no file of it is found; name files"
            )
        if is_folder:
            return _videos_below(fs, url, root)
        name = PurePosixPath(unquote(urlsplit(url).path) if is_web(url) else root).name
        if not is_name_below(name):
            raise UsageError(f"{shown_address(url)} names no file")
        return RemoteFiles((_remote_file(url, name, fs.info(root)),), ())


def fetch(remote: RemoteFile, folder: Path, on_progress: Callable[[], None]) -> Path:
    """The path of a private copy of the file in `folder`, fetched in pieces; `on_progress` is called before each.

    Raises CameraNotOpened when it cannot be read, is larger than REMOTE_VIDEO_BYTES or the free space, or is not the file
    that was listed; OSError when the copy cannot be written.
    """
    if max(remote.bytes, 1) > (most := min(REMOTE_VIDEO_BYTES, shutil.disk_usage(folder).free)):
        raise CameraNotOpened(f"it has {remote.bytes:,} bytes, and at most {most:,} are fetched to {folder}")
    path = folder / PurePosixPath(remote.name).name
    fetched = 0
    with path.open("xb") as copy:
        path.chmod(0o600)
        for piece in _pieces(remote.url):
            on_progress()
            if (fetched := fetched + len(piece)) > (remote.bytes or most):
                break
            copy.write(piece)
    with _explained(remote.url, CameraNotOpened):
        fs, root = _file_system(remote.url)
        fs.invalidate_cache()
        now = _remote_file(remote.url, remote.name, fs.info(root))
    if now != remote or (remote.bytes and fetched != remote.bytes):
        raise CameraNotOpened("it changed while it was read; run again when it is complete")
    if fetched > most:
        raise CameraNotOpened(f"it has more than {most:,} bytes, the most that are fetched to {folder}")
    return path


def _pieces(url: str) -> Iterator[bytes]:
    """The content of a remote file in pieces of _PIECE_BYTES at most."""
    with _explained(url, CameraNotOpened):
        fs, root = _file_system(url)
        # of a web server one stream, for not every one gives ranges; of a store a range for each piece
        how = {"block_size": 0} if is_web(url) else {"block_size": _PIECE_BYTES, "cache_type": "none"}
        file = fs.open(root, "rb", **how)
    with file:
        while True:
            with _explained(url, CameraNotOpened):
                piece = file.read(_PIECE_BYTES)
            if not piece:
                return
            yield piece


def _videos_below(fs: Any, url: str, root: str) -> RemoteFiles:
    videos: dict[str, RemoteFile] = {}
    left_out: set[str] = set()
    base = root.rstrip("/") + "/"
    for info in _files_below(fs, url, root, left_out):
        address = info["name"]
        name = address[len(base) :]
        if is_web(url):
            name = unquote(name.partition("?")[0])
            if name.endswith("/"):
                continue  # the same folder in another order
        if not name or is_system_file(PurePosixPath(name).name):
            continue
        whole = _whole(fs, url, address)
        if not is_name_below(name):
            left_out.add(f"{name}: not a name of a file")
        elif is_hidden(name) or not is_video(name):
            left_out.add(name)
        elif name in videos and videos[name].url != whole:
            raise UsageError(f"several videos below {shown_address(url)} have the name {name}; their tables would too")
        else:
            videos[name] = _remote_file(whole, name, _info(fs, address) if info.get("size") is None else info)
        if len(videos) + len(left_out) > ARCHIVE_MEMBERS:
            raise UsageError(f"{shown_address(url)} holds more than {ARCHIVE_MEMBERS:,} files; name a part of it")
    return RemoteFiles(tuple(videos[name] for name in sorted(videos)), tuple(sorted(left_out)))


def _files_below(fs: Any, url: str, root: str, left_out: set[str]) -> Iterator[dict[str, Any]]:
    """What the store says of each file below a folder, whose address has it; links of a web page to elsewhere are left out.

    fsspec's own walk passes over a folder that cannot be listed. One that does not exist is added to `left_out`; for another
    reason UsageError is raised, which names the folder.
    """
    base = root.rstrip("/") + "/"
    seen, waiting = {base}, [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        with _explained(_whole(fs, url, folder), UsageError):
            try:
                listed = fs.ls(folder, detail=True)
            except Exception as error:
                if folder == root or _reason(error) != _GONE:
                    raise
                left_out.add(f"{unquote(folder[len(base) :])}: {_GONE}")
                continue
        for info in listed:
            address = info["name"]
            inner = address.rstrip("/") + "/"
            if not address.startswith(base) or inner in seen:
                continue
            if info["type"] != "directory":
                yield info
            elif depth < _MOST_FOLDERS_DEEP:
                seen.add(inner)
                waiting.append((address, depth + 1))


def _whole(fs: Any, url: str, address: str) -> str:
    """The address of something in a file system, with its scheme."""
    return address if is_web(url) else str(fs.unstrip_protocol(address))


def _info(fs: Any, address: str) -> dict[str, Any]:
    """What the server says of a file; nothing where it fails: fetching the file then fails too, and gives the reason."""
    try:
        return dict(fs.info(address))
    except Exception:
        return {}


def _remote_file(url: str, name: str, info: dict[str, Any]) -> RemoteFile:
    version = next((str(info[name]).strip('"') for name in _VERSION_FIELDS if info.get(name)), None)
    times = [_time_ns(info[name]) for name in _TIME_FIELDS if info.get(name)]
    return RemoteFile(url, name, int(info.get("size") or 0), max(times, default=0), version)


def _time_ns(stated: object) -> int:
    """A time of a store in whole seconds, in ns; 0 where it cannot be read."""
    try:
        if isinstance(stated, str):
            stated = parsedate_to_datetime(stated) if "," in stated else datetime.fromisoformat(stated)
        return int(stated.timestamp()) * 10**9 if isinstance(stated, datetime) else 0
    except (ValueError, OverflowError):
        return 0


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the address in it."""
    import fsspec

    options: dict[str, Any] = {}
    if is_web(url):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
        options = {"client_kwargs": {"timeout": timeout}}
    return fsspec.core.url_to_fs(url, **options)


@contextmanager
def _explained(url: str, kind: type[FerEdgeError]) -> Iterator[None]:
    """Raises `kind` for whatever a store's library raises, without its text, in which addresses and keys may stand."""
    try:
        yield
    except FerEdgeError:
        raise
    except ImportError:
        message = f"{shown_address(url)} needs the extra `remote`: pip install 'fer-edge[remote]'"
        raise UsageError(message) from None
    except Exception as error:
        raise kind(
            f"{shown_address(url)} cannot be read: {_reason(error)}; check the address and the access to it"
        ) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):  # also what fsspec makes of any error of a web server
        cause = error.__cause__
        is_of_web = isinstance(getattr(cause, "status", None), int) or isinstance(cause, OSError)
        return _reason(cause) if cause is not None and is_of_web else _GONE
    status = getattr(error, "status", None)  # of a web server
    if isinstance(status, int):
        return _GONE if status in (404, 410) else f"the server answers {status}"
    if isinstance(error, PermissionError):
        return "access is refused"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno > 0 else "its host is not known"  # an error of looking up a name
    return type(error).__name__
