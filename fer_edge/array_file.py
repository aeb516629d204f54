"""The arrays of a .npz file, each bounded before memory is allocated for it."""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from fer_edge.limits import ARRAY_FILE_ARRAYS, ARRAY_FILE_BYTES
from fer_edge.text_cleaning import clean
from fer_edge.zip_errors import ZIP_ERRORS

if TYPE_CHECKING:
    import numpy as np

# what numpy and zipfile raise, beside ValueError, for a file that is not whole
DAMAGED = (*ZIP_ERRORS, KeyError, OverflowError, MemoryError, RecursionError, RuntimeError, SyntaxError, TypeError)


def read_arrays(
    source: bytes | BinaryIO, largest_bytes: int = ARRAY_FILE_BYTES, most: int = ARRAY_FILE_ARRAYS
) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, by name: of its bytes, or of the file opened for reading.

    Raises ValueError when it is no such file, or when its arrays are more than `most`, or larger than `largest_bytes` in all.
    """
    try:
        return _read_arrays(source, largest_bytes, most)
    except DAMAGED as error:
        raise ValueError(f"it is not a whole .npz file: {type(error).__name__}: {clean(str(error))}") from error


def _read_arrays(source: bytes | BinaryIO, largest_bytes: int, most: int) -> dict[str, np.ndarray]:
    import numpy as np

    arrays = {}
    with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
        members = archive.infolist()
        if len(members) > most:
            raise ValueError(f"it holds {len(members)} arrays; at most {most} are read")
        total = sum(member.file_size for member in members)
        if total > largest_bytes:
            raise ValueError(f"its arrays have {total:,} bytes; at most {largest_bytes:,} are read")
        for member in members:
            raw = archive.read(member)  # no more than its file_size
            _check_size(raw, member.filename)
            arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    return arrays


def _check_size(raw: bytes, name: str) -> None:
    """Raises ValueError when the header names more elements than there are: numpy allocates what it names."""
    from numpy.lib import format as npy

    stream = io.BytesIO(raw)
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"{name} has version {version} of the .npy format; 1.0 and 2.0 are read")
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"{name} has a header of {dtype} {shape}, which its {len(raw):,} bytes are not")
