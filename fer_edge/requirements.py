"""The Pythons and the C library for which there are wheels of every dependency, on a device and on a deploy target."""

from __future__ import annotations

PYTHON_VERSIONS = ((3, 11), (3, 12), (3, 13))
MIN_GLIBC = (2, 34)  # the name of LiteRT's wheel states an older one, but the wheel needs this


def python_versions_text() -> str:
    """“3.11, 3.12 or 3.13”."""
    *first, last = (".".join(map(str, version)) for version in PYTHON_VERSIONS)
    return f"{', '.join(first)} or {last}"
