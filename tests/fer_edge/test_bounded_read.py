"""A bounded read: all of a small file, one byte more than allowed of a larger one, and memory in proportion to the file."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.bounded_read import read_bounded
from fer_edge.limits import MODEL_BYTES


@pytest.mark.parametrize(
    ("size", "largest", "read"), [(0, 5, 0), (5, 5, 5), (6, 5, 6), (9, 5, 6), (3 << 20, 2 << 20, (2 << 20) + 1)]
)
def test_one_byte_more_than_allowed_is_read(size: int, largest: int, read: int) -> None:
    assert len(read_bounded(io.BytesIO(bytes(size)), largest)) == read


def test_a_file_that_returns_short_pieces_is_read_whole() -> None:
    class Short(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 3))

    assert read_bounded(Short(b"0123456789"), 20) == b"0123456789"


def test_a_small_file_is_read_where_memory_is_limited_below_the_largest_size(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3" * 1000)
    script = (
        "import resource, sys; from pathlib import Path; from fer_edge.bundle_files import read_content\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({MODEL_BYTES // 2}, {resource.RLIM_INFINITY}))\n"
        f"print(len(read_content(Path(sys.argv[1]), {MODEL_BYTES})))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model.tflite")], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("4000\n", "")
