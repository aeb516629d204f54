"""`python -m fer_edge.record_logits MODEL --images X.npy --out Y.npz`: records a model's logits on this machine's runtime.

It needs only a device's base install, so that logits from any machine and environment can be compared with the float
model's on the host (`convert.parity --recorded`). Times are not recorded: on an emulated or busy machine they mean nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.argument_types import file_path
from fer_edge.atomic_file import atomic_file
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, UsageError, exit_code_of
from fer_edge.json_fields import parse_json
from fer_edge.runtime_name import runtime_name

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.classifier import Runtime


@dataclass(frozen=True, slots=True)
class RecordedLogits:
    """Logits float32 (N, K) of N images, with the runtime, its kernels, the machine, the model and the images."""

    logits: np.ndarray
    runtime: str  # litert, tflite-runtime, tensorflow
    version: str  # of the runtime
    kernels: str  # default, builtin, reference
    machine: str  # x86_64, aarch64
    python: str
    numpy: str
    model_sha256: str  # of the .tflite file
    images_sha256: str  # of the images' bytes, row by row

    @property
    def runtime_name(self) -> str:
        """The runtime's name in reports: “litert 2.3.0, default, aarch64”."""
        return runtime_name(self.runtime, self.version, self.kernels, self.machine)

    def save(self, path: Path) -> None:
        """Writes a .npz with `logits` and, as JSON in `origin`, the rest. 7,178 images take 70 kB."""
        import numpy as np

        origin = json.dumps({name: getattr(self, name) for name in _ORIGIN}, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, logits=self.logits, origin=np.array(origin))

    @staticmethod
    def load(path: Path) -> RecordedLogits:
        """The logits in a file that `save` wrote. Raises UsageError when it is missing, damaged or another file."""
        import numpy as np

        from fer_edge.array_file import read_arrays

        try:
            arrays = read_arrays(path.read_bytes())
            logits, origin = arrays["logits"], parse_json(str(arrays["origin"]))
            found = RecordedLogits(logits, *(origin[name] for name in _ORIGIN))
        except FileNotFoundError:
            raise UsageError(f"{path} does not exist; `python -m fer_edge.record_logits` writes it") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} holds no recorded logits ({error}); `python -m fer_edge.record_logits` writes it"
            ) from error
        if logits.ndim != 2 or logits.dtype != np.float32 or not all(isinstance(origin[name], str) for name in _ORIGIN):
            raise UsageError(f"{path} holds {logits.dtype} {logits.shape}, not float32 logits (N, K); make it again")
        return found


_ORIGIN = tuple(field.name for field in fields(RecordedLogits) if field.name != "logits")


def record_logits(
    model: Path, images: np.ndarray, runtime: Runtime | None = None, kernels: str = "default"
) -> RecordedLogits:
    """The logits of `model`, a bundle's folder or a .tflite file, for images uint8 (N, side, side), on one thread.

    `runtime` is the first one installed when None. Raises UsageError and BundleRefused as bundles and classifiers do.
    """
    import numpy as np

    from fer_edge.bundle import Bundle
    from fer_edge.classifier import Classifier, find_runtime

    runtime = runtime or find_runtime()
    if model.is_dir():
        bundle = Bundle.load(model)
        sha256, classifier = bundle.spec.files["model.tflite"].sha256, bundle.make_classifier(runtime, kernels)
    elif model.is_file():
        content = model.read_bytes()
        sha256, classifier = hashlib.sha256(content).hexdigest(), Classifier(content, runtime, kernels=kernels)
    else:
        raise UsageError(f"{model} does not exist; name a bundle's folder or a .tflite file")
    return RecordedLogits(
        logits=classifier.logits(images),
        runtime=classifier.runtime.name,
        version=classifier.runtime.version,
        kernels=kernels,
        machine=platform.machine(),
        python=platform.python_version(),
        numpy=np.__version__,
        model_sha256=sha256,
        images_sha256=images_sha256(images),
    )


def images_sha256(images: np.ndarray) -> str:
    """The SHA-256 of the bytes of images uint8 (N, side, side), in hexadecimal."""
    return hashlib.sha256(images.tobytes()).hexdigest()


def read_images(path: Path) -> np.ndarray:
    """The array in a .npy file. Raises UsageError when there is none; the classifier checks its shape."""
    import numpy as np

    from fer_edge.array_file import DAMAGED

    try:
        with path.open("rb") as opened:
            images = np.load(opened, allow_pickle=False)
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; `numpy.save` writes uint8 images (N, side, side) into one") from None
    except (ValueError, *DAMAGED):
        images = None
    if not isinstance(images, np.ndarray) or images.dtype.hasobject:
        raise UsageError(f"{path} is not a .npy file of one array; `numpy.save` writes uint8 images (N, side, side)")
    return images


def write_images(path: Path, images: np.ndarray) -> None:
    """Writes images uint8 (N, side, side) to `path`, whatever its suffix, for `read_images`. Raises OSError when that fails."""
    import numpy as np

    with atomic_file(path) as fresh, fresh.open("wb") as file:
        np.save(file, images)


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_edge.record_logits", description="Records a model's logits for images."
    )
    parser.add_argument("model", type=file_path, metavar="MODEL", help="folder of a bundle, or a .tflite file")
    parser.add_argument(
        "--images", type=file_path, required=True, metavar="X.npy", help="images, uint8 (N, side, side)"
    )
    parser.add_argument("--out", type=file_path, required=True, metavar="Y.npz", help="file of logits to write")
    parser.add_argument(
        "--runtime",
        choices=("litert", "tflite-runtime", "tensorflow"),
        help="interpreter; default: the first one installed",
    )
    parser.add_argument(
        "--kernels",
        choices=("default", "builtin", "reference"),
        default="default",
        help="kernel path of the interpreter; default: default",
    )
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from fer_edge.classifier import find_runtime

    images = read_images(args.images)
    recorded = record_logits(args.model, images, find_runtime(args.runtime), args.kernels)
    recorded.save(args.out)
    message(f"{recorded.runtime_name}: {len(images):,} images, {args.out}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
