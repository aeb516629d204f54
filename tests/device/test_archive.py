"""Parts of an archive and their merge: the tables of one run; what a store's names, addresses and indexes may not do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import write_video
from processes import ROOT

from device.config import Settings
from device.label import label
from device.recorded.files import LabelOptions, Recording, find_recordings
from device.recorded.index import Index
from device.recorded.merge import merge
from device.recorded.remote import is_name_below
from device.recorded.remote_address import is_remote, shown_address
from device.recorded.shards import Shard
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_frame

NAMES = ("a.mp4", "b.mp4", "broken.mp4", "deep/a.mp4", "deep/=c.mp4")
PARTS = 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "deep").mkdir()
    for number, name in enumerate(NAMES):
        write_video(folder / name, (face_frame(number * 3 + n / 10) for n in range(5)))
    (folder / "broken.mp4").write_text("no video")
    return folder


def ran(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}
    line = [sys.executable, "-m", "fer_edge", "label", *map(str, words)]
    ended = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)
    assert ended.returncode == code and "Traceback" not in ended.stderr, ended.stderr
    return ended


@pytest.fixture(scope="module")
def parts(archive: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of each part in a folder of its own, and with those of one run."""
    folder = tmp_path_factory.mktemp("parts")
    settings = Settings(bundle=bundle_path)
    label([archive], folder / "whole", settings, jobs=2)
    for index in range(1, PARTS + 1):
        label([archive], folder / str(index), settings, shard=Shard(index, PARTS))
    return folder


def results(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("index")
    }


def rewritten(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def copies(parts: Path, out: Path) -> list[Path]:
    """The folders of all parts, copied, for a test that changes them."""
    return [Path(shutil.copytree(parts / str(index), out / str(index))) for index in range(1, PARTS + 1)]


def test_every_video_is_in_one_part_that_others_do_not_change() -> None:
    recordings = [Recording(Path(f"{n}.mp4"), f"day{n % 7}/{n}.mp4", 1, 1) for n in range(1000)]
    shards = [Shard(index, 8) for index in range(1, 9)]
    chosen = [[recording.name for recording in recordings if shard.has(recording)] for shard in shards]
    assert sorted(name for names in chosen for name in names) == sorted(recording.name for recording in recordings)
    assert all(90 <= len(names) <= 160 for names in chosen)
    odd = Recording(Path("x"), os.fsdecode(b"bad\xff.mp4"), 1, 1)
    assert sum(shard.has(odd) for shard in shards) == 1
    digest = 0x84EDA37DEC3B5379  # printf day1/1.mp4 | sha256sum | head -c 16
    assert [shard.has(recordings[1]) for shard in shards] == [digest % 8 == index for index in range(8)]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/", "1/0", "a/b", "-1/2", "1/2/3", "1/9999999", " 1/2"])
def test_a_wrong_part_is_an_error_with_advice(text: str) -> None:
    with pytest.raises(UsageError, match=r"must be i/n .* for example 2/8"):
        Shard.parse(text)


def test_the_merged_parts_are_the_tables_of_one_run(tmp_path: Path, archive: Path, parts: Path) -> None:
    made = results(parts / "whole")
    assert len(made) == 8
    folders = [parts / str(index) for index in range(1, PARTS + 1)]
    assert all(results(folder) for folder in folders), "every part has a video"
    ended = ran("merge", *folders, "--out", tmp_path / "all", code=2)
    assert results(tmp_path / "all") == made
    assert "1 of 5 could not be read to the end" in ended.stderr and "broken.mp4" in ended.stderr
    assert [line.rpartition("/all/")[2] for line in ended.stdout.splitlines()] == [
        f"{name}.csv" for name in sorted(NAMES) if name != "broken.mp4"
    ]
    index = Index.read(tmp_path / "all/index.csv.json")
    assert [entry.path for entry in index.entries] == [str(archive / name) for name in sorted(NAMES)]
    assert index.shard is None and index.videos == 5
    (failed,) = (entry for entry in index.entries if entry.status == "failed")
    assert failed.error and failed.error.startswith("it cannot be read as a video")
    lines = (tmp_path / "all/index.csv").read_text().splitlines()
    assert lines[0] == "path,table,rows,frames,seconds,status,error,sha256" and len(lines) == 6
    assert lines[1].startswith(f"{archive}/a.mp4,a.mp4.csv,5,5,0.5,labelled,,")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "all").rglob("*.csv*")} == {0o600}


def test_parts_in_one_folder_are_joined_there_and_again(tmp_path: Path, archive: Path, parts: Path) -> None:
    out = tmp_path / "out"
    for index in range(1, PARTS + 1):
        words = (archive, "--out", out, "--shard", f"{index}/{PARTS}")
        found = Index.read(parts / str(index) / f"index-{index}-of-{PARTS}.csv.json")
        ran(*words, code=2 if any(entry.error for entry in found.entries) else 0)
    for _ in range(2):
        ran("merge", out, "--out", out, code=2)
        assert results(out) == results(parts / "whole") and (out / "index.csv").exists()


def test_a_merge_that_fails_leaves_no_index_of_tables_that_it_replaced(tmp_path: Path, parts: Path) -> None:
    folders, out = copies(parts, tmp_path), tmp_path / "out"
    ran("merge", *folders, "--out", out, code=2)
    before = results(out)
    table = next(folders[-1].rglob("*.mp4.csv"))
    table.with_name(f"{table.name}.json").unlink()
    assert "is missing; label that part again" in ran("merge", *folders, "--out", out, code=2).stderr
    assert results(out) == before and (out / "index.csv").exists(), "nothing was replaced yet"


def test_an_annotated_video_of_another_recording_does_not_stay_beside_a_merged_table(
    tmp_path: Path, parts: Path
) -> None:
    folders, out = copies(parts, tmp_path), tmp_path / "out"
    ran("merge", *folders, "--out", out, code=2)
    stale = out / "a.mp4.labelled.mp4"
    stale.write_bytes(b"faces of before")
    ran("merge", *folders, "--out", out, code=2)
    assert not stale.exists()


def test_a_file_has_its_own_name_where_a_link_names_it_too(tmp_path: Path, archive: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(archive / "a.mp4", folder / "hour07.mp4")
    (folder / "current.mp4").symlink_to("hour07.mp4")
    assert [recording.name for recording in find_recordings([folder])] == ["hour07.mp4"]


def test_folders_of_processes_that_begin_at_once_stay(tmp_path: Path) -> None:
    """One removed the other's new folder, before it was locked."""
    script = """
import sys
from pathlib import Path
from device.recorded.files import scratch_folder
for _ in range(300):
    with scratch_folder(Path(sys.argv[1])) as scratch:
        assert scratch.is_dir()
        (scratch / "a").write_text("")
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=100)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors


def test_a_part_without_videos_has_an_empty_index(tmp_path: Path, archive: Path) -> None:
    name = "a.mp4"
    recording = Recording.at(archive / name, name)
    (empty,) = (Shard(index, 2) for index in (1, 2) if not Shard(index, 2).has(recording))
    ended = ran(archive / name, "--out", tmp_path, "--shard", str(empty))
    assert ended.stdout == "" and "0 labelled" in ended.stderr
    assert Index.read(tmp_path / f"index-{empty.index}-of-2.csv.json").entries == ()


def bundle(fields: dict[str, object]) -> None:
    fields["made_by"]["bundle"]["sha256"] = "0" * 64  # type: ignore[index]


def setting(fields: dict[str, object]) -> None:
    fields["made_by"]["settings"]["max_faces"] = 1  # type: ignore[index]


def total(fields: dict[str, object]) -> None:
    fields["videos"] = 6


def division(fields: dict[str, object]) -> None:
    fields["shard"] = "2/4"


def others(fields: dict[str, object]) -> None:
    fields["names_sha256"] = "0" * 64


def repeated(fields: dict[str, object]) -> None:
    fields["shard"] = "1/3"


def outside(fields: dict[str, object]) -> None:
    fields["entries"] = [{**fields["entries"][0], "table": "../../etc/x.csv"}]  # type: ignore[index]


def without_entries(fields: dict[str, object]) -> None:
    del fields["entries"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bundle, "differ in bundle: edge-mixed"),
        (setting, "differ in settings: max_faces 4 and 1"),
        (total, "different numbers of videos"),
        (division, "different divisions"),
        (others, "are of other videos; run all parts again"),
        (repeated, "1 parts are missing: 2/3"),
        (outside, "is not an index of `fer-edge label`: a table is outside of its folder"),
        (without_entries, "is not an index of `fer-edge label`"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    tmp_path: Path, parts: Path, change: Callable[[dict[str, object]], None], message: str
) -> None:
    folders = copies(parts, tmp_path)
    rewritten(folders[1] / "index-2-of-3.csv.json", change)
    with pytest.raises(UsageError, match=message):
        merge(folders, tmp_path / "all")
    assert not (tmp_path / "all" / "index.csv").exists()


def test_a_missing_a_repeated_and_a_damaged_part_are_refused(tmp_path: Path, parts: Path) -> None:
    folders = copies(parts, tmp_path)
    with pytest.raises(UsageError, match="1 parts are missing: 3/3"):
        merge(folders[:2], tmp_path / "all")
    shutil.copytree(folders[0], tmp_path / "again")
    with pytest.raises(UsageError, match="name each part once"):
        merge([*folders, tmp_path / "again"], tmp_path / "all")
    with pytest.raises(UsageError, match="has no index"):
        merge([*folders, parts / "whole"], tmp_path / "all")
    table = next(path for path in folders[1].rglob("*.mp4.csv"))
    table.write_bytes(table.read_bytes().replace(b"0.5", b"0.6", 1) + b"\n")
    with pytest.raises(UsageError, match="its hash differs"):
        merge(folders, tmp_path / "all")
    assert not (tmp_path / "all" / "index.csv").exists()


def test_a_parquet_index_has_the_bundle_and_every_video(tmp_path: Path, archive: Path, bundle_path: Path) -> None:
    import pyarrow.parquet as pq

    label([archive], tmp_path, Settings(bundle=bundle_path), LabelOptions("parquet"), shard=Shard(1, 1))
    table = pq.read_table(tmp_path / "index-1-of-1.parquet")
    facts = json.loads(table.schema.metadata[b"fer-edge"])
    beside = json.loads((tmp_path / "a.mp4.parquet.json").read_text())
    assert facts["made_by"] == beside["made_by"] and facts["shard"] == "1/1" and facts["videos"] == 5
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == [str(archive / name) for name in sorted(NAMES)]
    assert {row["status"] for row in rows} == {"labelled", "failed"} and rows[0]["rows"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}", "--out", "{}/out", "--shard", "3/2"], "--shard must be i/n"),
        (["{}", "--out", "{}/out", "--engine", "spark"], "--engine must be ray or ray://HOST:PORT"),
        (["merge", "--out", "{}/out"], "needs the output folders of the parts"),
        (["merge", "{}", "--out", "{}/out"], "has no index"),
        (["{}/index", "--out", "{}/out", "--shard", "1/1"], "would have the name of the index"),
        (["ftp://host/clip.mp4", "--out", "{}/out"], "cannot be read: No such file"),
    ],
)
def test_a_wrong_argument_is_an_error_with_advice(tmp_path: Path, words: list[str], message: str) -> None:
    write_video(tmp_path / "clip.mp4", (np.zeros((48, 64), np.uint8) for _ in range(2))).rename(tmp_path / "index")
    ended = ran(*(word.format(tmp_path) for word in words), code=2)
    assert message in ended.stderr and ended.stdout == "" and not (tmp_path / "out/index.csv").exists()


def test_what_is_not_installed_is_named(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "fsspec"):
        monkeypatch.setitem(sys.modules, name, None)  # what Python takes for not installed
    with pytest.raises(UsageError, match=r"pip install 'fer-edge\[ray\]'"):
        label([archive], tmp_path / "out", Settings(), engine="ray")
    with pytest.raises(UsageError, match=r"s3://bucket/videos needs .* pip install 'fer-edge\[remote\]'"):
        label(["s3://bucket/videos"], tmp_path / "out", Settings())


def test_the_privacy_text_names_what_is_sent(tmp_path: Path) -> None:
    text = " ".join(ran("s3://bucket/year", "--out", tmp_path, "--engine", "ray", "--explain-privacy").stdout.split())
    assert "to the machines of the cluster: settings and names of recordings" in text and ", as parquet:" in text
    assert "to the servers of the addresses" in text and "a copy of each recording with an address" in text
    sent = text.partition(" Sent ")[2].partition(" Never stored")[0]
    assert sent.endswith(
        "from them: the rows - to the servers of the addresses: requests to list and read - nothing else"
    )
    assert sent.count("nothing") == 1, "it does not also say that nothing is sent"


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    shown = "https://store.example:8443/a%20b/clip.mp4"
    assert shown_address("https://me:secret@store.example:8443/a%20b/clip.mp4?X-Signature=secret#x") == shown
    assert shown_address("s3://key:secret@bucket/clip.mp4") == "s3://bucket/clip.mp4"
    assert shown_address("s3://bucket/Camera #1/a?1@b.mp4") == "s3://bucket/Camera #1/a?1@b.mp4", "signs of a key"
    for address in ("http://nas:8080/v/mail@x.mp4", "http://[::1]:80/a@b.mp4", "http://nas/@a/b.mp4"):
        assert shown_address(address) == address
    for wrong in ("http://user:se/cret@host/a.mp4", "http://user:se#cret@host/a.mp4", "http://user:se?cret@host:1/a"):
        assert shown_address(wrong) == "http://…"
    assert shown_address("http://user:pa[ss@host/v.mp4") == "http://host/v.mp4"
    assert shown_address("http://host/a.mp4?token=me@home") == "http://host/a.mp4"
    assert [is_remote(text) for text in ("s3://b", "GS://b", "https://h/", "ftp://h/", "a:b", "s3:/b")] == [
        *(True, True, True),
        *(False, False, False),
    ]


@pytest.mark.parametrize(
    "name", ["", "/etc/x.mp4", "../x.mp4", "a/../../x.mp4", "a//b.mp4", "./a.mp4", "a\0.mp4", "a/"]
)
def test_a_name_of_a_store_cannot_leave_the_folder_of_results(name: str) -> None:
    assert not is_name_below(name)
    assert is_name_below("a/b..mp4") and is_name_below("..a")
