"""A running loop, traced by the kernel: it opens no network socket and writes to its two folders only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_default_run_opens_no_network_socket_and_writes_only_lines(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    assert strace, "no strace; on Debian: apt install strace"
    trace, log, runtime = tmp_path / "trace", tmp_path / "log", tmp_path / "run"
    command = [strace, "-f", "-qq", "-e", "trace=socket,connect,sendto,openat,creat,rename,write", "-s", "64"]
    command += ["-y", "-o", str(trace), sys.executable, "-m", "fer_edge", "run", "--camera", "synthetic"]
    command += ["--duration", "3", "--fps", "5", "--log", str(log)]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(runtime), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    calls = trace.read_text().splitlines()
    sockets = [call for call in calls if re.search(r"\bsocket\(", call)]
    assert not [call for call in sockets if "AF_INET" in call], "no network socket, of either kind"
    assert not [call for call in calls if re.search(r"\bconnect\(", call) and "AF_UNIX" not in call]
    opened = [re.search(r'openat\([^,]+, "([^"]+)", ([A-Z_|]+)', call) for call in calls]
    written = {
        m[1] for m in opened if m and re.search("O_WRONLY|O_RDWR", m[2]) and not m[1].startswith(("/dev/", "/proc/"))
    }
    strangers = {path for path in written if not path.startswith((str(log), str(runtime)))}
    assert not strangers, "files outside its own two folders"
    assert {Path(path).suffix for path in written} <= {".jsonl", ".new", ".lock", ""}
    for call in calls:
        if m := re.search(r'write\(\d+<([^>]*)>, "(.{0,12})', call):
            assert not re.search(r"\\377\\330|\\211PNG|JFIF", m[2]), f"the beginning of a picture went to {m[1]}"
