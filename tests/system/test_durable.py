"""The switch to a bundle, traced by the kernel: files are synced to the disk before a name points to them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fer_edge.bundle import REQUIRED_FILES
from fer_edge.shipped_bundles import shipped_path

ROOT = Path(__file__).parents[2]


def calls(tmp_path: Path, *arguments: str) -> list[tuple[str, str]]:
    """Each write, fsync and rename below the bundles' folder that a command made, in order: the call and its path."""
    strace = shutil.which("strace")
    assert strace, "no strace; on Debian: apt install strace"
    trace = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-y", "-e", "trace=write,sendfile,copy_file_range,fsync,rename,renameat2"]
    command += ["-s", "4", "-o", str(trace), sys.executable, "-m", "fer_edge", *arguments]
    environ = {**os.environ, "FER_EDGE_BUNDLES": str(tmp_path / "b"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = []
    for line in trace.read_text().splitlines():
        if "= -1" in line or str(tmp_path / "b") not in line:
            continue
        name = re.search(r"\b(write|sendfile|copy_file_range|fsync|rename\w*)\(", line)
        assert name, line
        paths = re.findall(re.escape(str(tmp_path / "b")) + r'([^">]*)[">]', line)
        # Bytes go to the first path of sendfile and write, to the last of copy_file_range; a rename's second is what it makes.
        kind = "rename" if name[1].startswith("rename") else "fsync" if name[1] == "fsync" else "write"
        found.append((kind, paths[-1] if kind == "rename" else paths[0]))
    return found


def test_a_bundle_is_synced_before_it_is_renamed_and_before_it_is_in_use(tmp_path: Path) -> None:
    made = calls(tmp_path, "bundle", "install", str(shipped_path("nano")))
    (named,) = [at for at, (kind, _) in enumerate(made) if kind == "rename"]
    before, after = made[:named], made[named + 1 :]
    assert ("fsync", "/releases") in after
    fresh = {Path(path).parent for kind, path in before if kind == "write"}
    assert len(fresh) == 1
    (folder,) = fresh
    for name in (*REQUIRED_FILES, "bundle.json"):
        path = str(folder / name)
        assert last(before, "write", path) < last(before, "fsync", path), f"{name} was forced after its last byte"
    assert max(last(before, "fsync", str(folder / name)) for name in REQUIRED_FILES) < last(
        before, "fsync", str(folder)
    )

    release = made[named][1]
    made = calls(tmp_path, "bundle", "use", Path(release).name)
    (named,) = [at for at, (kind, _) in enumerate(made) if kind == "rename"]
    before, after = made[:named], made[named + 1 :]
    assert made[named] == ("rename", "/in-use")
    (beside,) = {path for kind, path in before if kind == "write"}
    assert last(before, "write", beside) < last(before, "fsync", beside)
    for path in (f"{release}/model.tflite", release, "/releases"):
        last(before, "fsync", path)
    assert ("fsync", "") in after, "the folder, with the new name in it"


def last(made: list[tuple[str, str]], kind: str, path: str) -> int:
    """Where in the list that call stands last."""
    return max(at for at, call in enumerate(made) if call == (kind, path))
