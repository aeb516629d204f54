"""The errors that zipfile raises for a damaged file, beside OSError and ValueError."""

from __future__ import annotations

import zipfile
import zlib

try:
    from lzma import LZMAError
except ImportError:  # a Python without liblzma reads no file that is compressed so
    LZMAError = EOFError  # type: ignore[misc, assignment]

ZIP_ERRORS = (EOFError, LZMAError, NotImplementedError, zipfile.BadZipFile, zlib.error)
