"""Which files are pictures and which are videos: by suffix, and by their first bytes where the suffix says nothing."""

from __future__ import annotations

from pathlib import Path

PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".dib", ".webp", ".pgm", ".ppm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".jp2", ".avif", ".gif"),
)
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".ts", ".webm", ".wmv"),
)
HEAD_BYTES = 16
_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"GIF8", b"\0\0\0\x0cjP  ")
_VIDEO_HEADS = (b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"\x30\x26\xb2\x75")
_PICTURE_BRANDS = (b"avif", b"avis")  # of a file in ISO's container, in which videos stand too
_OTHER_BRANDS = (b"heic", b"heix", b"mif1", b"M4A ", b"M4B ", b"crx ")  # HEIF and sound: neither is read here


def is_picture(name: str, head: bytes = b"") -> bool:
    """Whether a file is a picture: by its name, else by its first HEAD_BYTES."""
    if name.lower().endswith(PICTURE_SUFFIXES):
        return True
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_bitmap = head[:2] == b"BM" and head[6:10] == bytes(4)
    is_netpbm = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n" and len(head) > 3
    return head.startswith(_PICTURE_HEADS) or is_webp or is_bitmap or is_netpbm or _brand(head) in _PICTURE_BRANDS


def is_video(name: str, head: bytes = b"") -> bool:
    """Whether a file is a video: by its name, else by its first HEAD_BYTES."""
    if name.lower().endswith(VIDEO_SUFFIXES):
        return True
    brand = _brand(head)
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return head.startswith(_VIDEO_HEADS) or is_avi or (bool(brand) and brand not in _PICTURE_BRANDS + _OTHER_BRANDS)


def is_picture_file(path: Path) -> bool:
    """Whether a file is a picture: by its name, else by its first bytes, which are read only then."""
    return is_picture(path.name) or is_picture(path.name, head_of(path))


def is_video_file(path: Path) -> bool:
    """Whether a file is a video: by its name, else by its first bytes, which are read only then."""
    return is_video(path.name) or is_video(path.name, head_of(path))


def head_of(path: Path) -> bytes:
    """The first HEAD_BYTES of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _brand(head: bytes) -> bytes:
    return head[8:12] if head[4:8] == b"ftyp" else b""
