"""A Ray cluster, a server of S3 and a web server, each a process of its own on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from builders import write_video
from loopback import free_port
from processes import ROOT, wait_until

from fer_edge.synthetic_face import face_frame

TRIES = 3
START_S = 180.0  # that a server may take to start on a busy machine


def faces(number: int, from_s: float = 0.0) -> Iterator[np.ndarray]:
    return (face_frame(from_s + n / 10) for n in range(number))


@dataclass(frozen=True)
class RayCluster:
    """A running cluster: its address, its port for clients, and the process that holds its two nodes."""

    address: str
    client_port: int
    process: subprocess.Popen[str]

    def remove_second_node(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "removed\n"


@contextmanager
def running_cluster() -> Iterator[RayCluster]:
    """A cluster of two nodes. Ray gives a node 30 s to start, which a busy machine exceeds: it is tried again."""
    folder = tempfile.mkdtemp(prefix="fer", dir="/tmp")
    # Ray writes the address of its newest cluster to a folder that it does not make
    (Path(folder) / "ray").mkdir()
    environ = {**os.environ, "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    with (Path(folder) / "errors").open("w") as errors, ExitStack() as stack:
        for _ in range(TRIES):
            port = free_port()
            command = [sys.executable, "-m", "tests.engines.ray_cluster", f"{folder}/{port}", str(port)]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=environ
            )
            stack.callback(end, process)
            assert process.stdout
            if address := process.stdout.readline().strip():
                break
        assert address, (Path(folder) / "errors").read_text()
        yield RayCluster(address, port, process)
    shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin and process.stdout
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five videos on two levels, one of them broken."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "more").mkdir()
    write_video(folder / "a.mp4", faces(20))
    write_video(folder / "b.avi", faces(14, 3.0), code="MJPG")
    write_video(folder / "more" / "a.mp4", faces(12, 5.0))
    write_video(folder / "more" / "c.mkv", faces(15, 7.0), code="MJPG")
    (folder / "broken.mp4").write_text("this is no video\n" * 100)
    return folder


@pytest.fixture(scope="session")
def s3(archive: Path) -> Iterator[str]:
    """The address of a folder of a bucket that has the archive; the environment leads there."""
    port = free_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(environ)
    server = shutil.which("moto_server", path=str(Path(sys.executable).parent))
    assert server, "no moto_server: run `make test-engines`"
    with subprocess.Popen(
        [server, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            wait_until(process, lambda: answers(port), START_S)
            put(f"http://127.0.0.1:{port}/videos", b"")
            for file in sorted(path for path in archive.rglob("*") if path.is_file()):
                put(f"http://127.0.0.1:{port}/videos/year/{file.relative_to(archive).as_posix()}", file.read_bytes())
            put(f"http://127.0.0.1:{port}/videos/year/notes.txt", b"not a video")
            yield "s3://videos/year"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def web(archive: Path) -> Iterator[int]:
    """The port of a web server that lists the archive."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            wait_until(process, lambda: answers(port), START_S)
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def cluster(s3: str) -> Iterator[RayCluster]:
    """A cluster whose nodes reach the bucket, too."""
    with running_cluster() as running:
        yield running


@pytest.fixture
def fresh_cluster() -> Iterator[RayCluster]:
    """A cluster for a test that takes a node from it."""
    with running_cluster() as running:
        yield running


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def put(url: str, content: bytes) -> None:
    """Stores an object; moto does not check the signature."""
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=an-access-key/20260101/us-east-1/s3/aws4_request",
        "Content-Type": "application/octet-stream",
    }
    urllib.request.urlopen(urllib.request.Request(url, content, headers, method="PUT"), timeout=30).close()
