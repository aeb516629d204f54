"""`fer-edge label` on a Ray cluster of two nodes, and over S3 and HTTP: the tables of one machine, whatever is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builders import write_video
from processes import ROOT, wait_until

from tests.engines.conftest import START_S, RayCluster, faces

LONG = 1200  # frames: seconds of work, of which another process may take most before all have begun
NAMES = ("a.mp4", "b.avi", "broken.mp4", "more/a.mp4", "more/c.mkv")


def environ(cluster: RayCluster | None = None) -> dict[str, str]:
    values = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    return values | ({"RAY_ADDRESS": cluster.address} if cluster else {})


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "fer_edge", "label", *map(str, words)]


def labelled(*words: str | Path, cluster: RayCluster | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command at its end, with that exit code."""
    ended = subprocess.run(
        command(*words), capture_output=True, text=True, cwd=ROOT, env=environ(cluster), check=False, timeout=400
    )
    assert ended.returncode == code and "Traceback" not in ended.stderr, ended.stderr
    return ended


def started(cluster: RayCluster, *words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ(cluster)
    )


def results(out: Path) -> dict[str, bytes]:
    """The tables and summaries below a folder, without its index; hidden files too."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("index.")
    }


def entries(out: Path, form: str = "parquet") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((out / f"index.{form}.json").read_text())["entries"]
    return found


def readers(video: Path) -> Iterator[int]:
    """The processes of the cluster that have the video open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::" not in (process / "cmdline").read_bytes():
                continue
            if any(file.readlink() == video for file in (process / "fd").iterdir()):
                yield int(process.name)
        except OSError:
            continue


def kill_readers(video: Path) -> bool:
    """Kills the workers that read the video; whether there were any."""
    found = list(readers(video))
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


def long_videos(folder: Path, number: int) -> Path:
    folder.mkdir()
    for count in range(number):
        write_video(folder / f"{count}.mp4", faces(LONG if count < 2 else 10, count * 5.0))
    return folder


def test_results_are_identical_on_one_core_four_jobs_and_a_ray_cluster(
    tmp_path: Path, archive: Path, cluster: RayCluster
) -> None:
    form = ("--format", "parquet")
    one = labelled(archive, "--out", tmp_path / "one", *form, code=2)
    four = labelled(archive, "--out", tmp_path / "four", *form, "--jobs", "4", code=2)
    ray = labelled(archive, "--out", tmp_path / "ray", "--engine", "ray", cluster=cluster, code=2)
    client = f"ray://127.0.0.2:{cluster.client_port}"
    remote = labelled(archive, "--out", tmp_path / "client", "--engine", client, "--jobs", "4", code=2)
    made = results(tmp_path / "one")
    assert len(made) == 8
    for other in ("four", "ray", "client"):
        assert results(tmp_path / other) == made
    tables = [line.rpartition("/one/")[2] for line in one.stdout.splitlines()]
    assert len(tables) == 4
    for ended, name in ((four, "four"), (ray, "ray"), (remote, "client")):
        assert [line.rpartition(f"/{name}/")[2] for line in ended.stdout.splitlines()] == tables
        (line,) = (line for line in ended.stderr.splitlines() if "broken.mp4 was skipped" in line)
        assert line in one.stderr
        assert set(ended.stderr.splitlines()) == set(one.stderr.splitlines()), "Ray writes nothing of its own"


def test_the_index_has_a_row_for_each_video(tmp_path: Path, archive: Path, cluster: RayCluster) -> None:
    out = tmp_path / "out"
    labelled(archive, "--out", out, "--engine", "ray", cluster=cluster, code=2)
    rows = pq.read_table(out / "index.parquet").to_pylist()
    assert [row["path"] for row in rows] == [str(archive / name) for name in NAMES]
    assert [row["status"] for row in rows] == ["labelled", "labelled", "failed", "labelled", "labelled"]
    assert rows[2]["error"].startswith("it cannot be read as a video") and rows[2]["table"] is None
    made_by = json.loads(pq.read_metadata(out / "index.parquet").metadata[b"fer-edge"])["made_by"]
    for row in rows[:2]:
        table = pq.read_metadata(out / row["table"])
        assert table.num_rows == row["rows"] > 0
        assert json.loads(table.metadata[b"fer-edge"])["made_by"]["bundle"] == made_by["bundle"]
    (out / "a.mp4.parquet").unlink()
    again = labelled(archive, "--out", out, "--engine", "ray", cluster=cluster, code=2)
    assert "3 of 5 were labelled already" in again.stderr and (out / "a.mp4.parquet").exists()


def test_a_lost_workers_video_is_done_again(tmp_path: Path, cluster: RayCluster) -> None:
    folder, out = long_videos(tmp_path / "in", 3), tmp_path / "out"
    with started(cluster, folder, "--out", out, "--engine", "ray") as process:
        wait_until(process, lambda: kill_readers(folder / "0.mp4"), START_S)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [entry["status"] for entry in entries(out)] == ["labelled"] * 3
    labelled(folder, "--out", tmp_path / "alone", "--format", "parquet")
    assert results(out) == results(tmp_path / "alone")


def test_a_video_that_ends_every_worker_is_one_row_of_the_report(tmp_path: Path, cluster: RayCluster) -> None:
    folder, out = long_videos(tmp_path / "in", 3), tmp_path / "out"
    killed = 0
    with started(cluster, folder, "--out", out, "--engine", "ray") as process:
        end_s = time.monotonic() + 2 * START_S
        while process.poll() is None and time.monotonic() < end_s:
            killed += kill_readers(folder / "1.mp4")
            time.sleep(0.05)
        _, errors = process.communicate(timeout=60)
    assert killed >= 4 and process.returncode == 2
    assert "1.mp4 was skipped: its worker was lost 4 times" in errors and "1 of 3 could not be read" in errors
    assert [entry["status"] for entry in entries(out)] == ["labelled", "failed", "labelled"]


def test_a_killed_driver_is_resumed(tmp_path: Path, cluster: RayCluster) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for count, frames in enumerate((10, LONG, LONG)):
        write_video(folder / f"{count}.mp4", faces(frames, count * 5.0))
    with started(cluster, folder, "--out", out, "--engine", "ray") as process:
        wait_until(process, (out / "0.mp4.parquet.json").exists, START_S)
        process.kill()
    assert set(results(out)) == {"0.mp4.parquet", "0.mp4.parquet.json"}
    before = (out / "0.mp4.parquet").stat()
    again = labelled(folder, "--out", out, "--engine", "ray", cluster=cluster)
    assert "1 of 3 were labelled already" in again.stderr
    assert (out / "0.mp4.parquet").stat().st_ino == before.st_ino
    labelled(folder, "--out", tmp_path / "alone", "--format", "parquet")
    assert results(out) == results(tmp_path / "alone")
    assert not list(out.glob(".label-*"))


def test_a_lost_nodes_videos_are_done_by_the_other(tmp_path: Path, fresh_cluster: RayCluster) -> None:
    folder, out = long_videos(tmp_path / "in", 3), tmp_path / "out"
    with started(fresh_cluster, folder, "--out", out, "--engine", "ray") as process:
        both = (folder / "0.mp4", folder / "1.mp4")
        wait_until(process, lambda: all(any(readers(video)) for video in both), START_S)
        fresh_cluster.remove_second_node()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [entry["status"] for entry in entries(out)] == ["labelled"] * 3


def test_a_cluster_that_is_not_there_is_an_error_with_advice(tmp_path: Path, archive: Path) -> None:
    ended = subprocess.run(
        command(archive, "--out", tmp_path / "out", "--engine", "ray://127.0.0.1:9"),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environ() | {"RAY_CLIENT_RECONNECT_GRACE_PERIOD": "1"},
        check=False,
        timeout=200,
    )
    assert ended.returncode == 75 and "did not start or answer" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "out" / "index.parquet.json").exists()


@pytest.mark.parametrize("on_ray", [False, True])
def test_a_bucket_gives_the_rows_of_its_files(
    tmp_path: Path, archive: Path, s3: str, on_ray: bool, request: pytest.FixtureRequest
) -> None:
    cluster = request.getfixturevalue("cluster") if on_ray else None
    out, engine = tmp_path / "out", ("--engine", "ray") if on_ray else ("--jobs", "2")
    ended = labelled(s3, "--out", out, "--format", "csv", *engine, cluster=cluster, code=2)
    labelled(archive, "--out", tmp_path / "alone", code=2)
    tables = {name: content for name, content in results(tmp_path / "alone").items() if name.endswith(".csv")}
    assert len(tables) == 4
    assert {name: content for name, content in results(out).items() if name.endswith(".csv")} == tables
    assert f"{s3}/broken.mp4 was skipped: it cannot be read as a video" in ended.stderr
    assert f"{s3}: 1 other file left out: notes.txt" in ended.stderr
    source = json.loads((out / "more/c.mkv.csv.json").read_text())["source"]
    assert (source["name"], source["bytes"]) == ("c.mkv", (archive / "more/c.mkv").stat().st_size)
    assert len(source["version"]) == 32  # the ETag: MD5 of the content
    again = labelled(s3, "--out", out, "--format", "csv", *engine, cluster=cluster, code=2)
    assert "4 of 5 were labelled already" in again.stderr
    assert all("secret" not in text for text in (ended.stdout, ended.stderr, again.stderr))


def test_a_changed_object_is_read_again(tmp_path: Path, archive: Path, s3: str) -> None:
    address = s3.replace("year", "changing") + "/clip.avi"
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{address.removeprefix('s3://')}"
    from tests.engines.conftest import put

    put(url, (archive / "b.avi").read_bytes())
    labelled(address, "--out", tmp_path / "out")
    first = (tmp_path / "out/clip.avi.csv").read_bytes()
    put(url, write_video(tmp_path / "other.avi", faces(14, 9.0), code="MJPG").read_bytes())
    again = labelled(address, "--out", tmp_path / "out")
    assert "already" not in again.stderr and (tmp_path / "out/clip.avi.csv").read_bytes() != first


def test_keys_with_signs_of_addresses_are_different_videos(tmp_path: Path, archive: Path, s3: str) -> None:
    from tests.engines.conftest import put

    content = (archive / "b.avi").read_bytes()
    base = f"{os.environ['AWS_ENDPOINT_URL']}/videos/signs"
    for key in ("Camera%20%231/00.avi", "Camera%20%231/01.avi", "take%3F1.avi", "take%3F2.avi"):
        put(f"{base}/{key}", content)
    labelled(s3.replace("year", "signs"), "--out", tmp_path / "out", "--format", "csv")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.avi.csv"))
    assert names == ["Camera #1/00.avi.csv", "Camera #1/01.avi.csv", "take?1.avi.csv", "take?2.avi.csv"]


class Links(BaseHTTPRequestHandler):
    """Pages of links: videos of one name in several folders, a dead link, folders that do not exist or are refused."""

    content = b""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = {
            "/v/": '<a href="jan/cam.avi"></a><a href="feb/cam.avi"></a><a href="gone.avi"></a>',
            "/same/": '<a href="get.avi?id=1"></a><a href="get.avi?id=2"></a>',
            "/cut/": '<a href="good.avi"></a><a href="cam2/"></a><a href="sub/?C=N;O=D"></a>',
            "/shut/": '<a href="good.avi"></a><a href="cam3/"></a>',
        }.get(path)
        body = page.encode() if page else self.content
        status = {"/v/gone.avi": 404, "/cut/cam2/": 404, "/shut/cam3/": 403, "/busy.avi": 503}.get(path, 200)
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if page else "video/x-msvideo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def links(archive: Path) -> Iterator[str]:
    Links.content = (archive / "b.avi").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Links) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_each_video_of_a_web_page_has_a_table_or_a_reason(tmp_path: Path, links: str) -> None:
    ended = labelled(f"{links}/v/", "--out", tmp_path / "v", "--format", "csv", code=2)
    tables = sorted(path.relative_to(tmp_path / "v").as_posix() for path in (tmp_path / "v").rglob("*.avi.csv"))
    assert tables == ["feb/cam.avi.csv", "jan/cam.avi.csv"]
    assert f"{links}/v/gone.avi was skipped: " in ended.stderr and "it does not exist" in ended.stderr
    ended = labelled(f"{links}/same/", "--out", tmp_path / "same", code=2)
    assert "have the name get.avi; their tables would too" in ended.stderr
    ended = labelled(f"{links}/cut/", "--out", tmp_path / "cut")
    assert "1 other file left out: cam2/: it does not exist" in ended.stderr and "1 labelled" in ended.stderr
    ended = labelled(f"{links}/shut/", "--out", tmp_path / "shut", code=2)
    assert f"{links}/shut/cam3/ cannot be read: the server answers 403" in ended.stderr
    ended = labelled(f"{links}/busy.avi", "--out", tmp_path / "busy", code=2)
    assert "the server answers 503" in ended.stderr


def test_a_password_with_signs_of_addresses_is_not_shown(tmp_path: Path) -> None:
    for wrong in (
        "http://user:se/cret@127.0.0.1:9/a.avi",
        "http://user:se#cret@h/a.avi",
        "http://user:se[cret@h/a.avi",
    ):
        ended = labelled(wrong, "--out", tmp_path, code=2)
        assert "se/cret" not in ended.stderr and "cret" not in ended.stderr.replace("secret", ""), ended.stderr


@pytest.mark.parametrize("on_ray", [False, True])
def test_a_web_server_gives_the_rows_of_its_files_and_no_secret_is_shown(
    tmp_path: Path, archive: Path, web: int, on_ray: bool, request: pytest.FixtureRequest
) -> None:
    cluster = request.getfixturevalue("cluster") if on_ray else None
    engine = ("--engine", "ray") if on_ray else ()
    out = tmp_path / "out"
    folder = f"http://user:hidden-password@127.0.0.1:{web}/"
    file = f"http://user:hidden-password@127.0.0.1:{web}/more/a.mp4?signature=hidden-signature"
    listed = labelled(folder, "--out", out, "--format", "csv", *engine, cluster=cluster, code=2)
    one = labelled(file, "--out", tmp_path / "one", "--shard", "1/1")
    labelled(archive, "--out", tmp_path / "alone", code=2)
    tables = {name: content for name, content in results(tmp_path / "alone").items() if name.endswith(".csv")}
    assert {name: content for name, content in results(out).items() if name.endswith(".csv")} == tables
    assert (tmp_path / "one/a.mp4.csv").read_bytes() == tables["more/a.mp4.csv"]
    missing = labelled(f"{folder}gone.mp4?token=hidden-token", "--out", tmp_path / "gone", code=2)
    assert f"http://127.0.0.1:{web}/gone.mp4 cannot be read: it does not exist" in missing.stderr
    texts = [text for ended in (listed, one, missing) for text in (ended.stdout, ended.stderr)]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert [text for text in texts if "hidden-" in text] == []
    index = json.loads((tmp_path / "one/index-1-of-1.csv.json").read_text())
    assert index["entries"][0]["path"] == f"http://127.0.0.1:{web}/more/a.mp4"


def test_a_bucket_that_is_not_there_is_an_error_with_advice(tmp_path: Path, s3: str) -> None:
    ended = labelled("s3://nowhere/videos/", "--out", tmp_path / "out", code=2)
    assert "s3://nowhere/videos/ cannot be read: it does not exist; check the address" in ended.stderr
