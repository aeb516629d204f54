"""Face crops to logits and probabilities: the only code around the interpreter, on host and device."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fer_edge.bundle_spec import OUTPUT_KINDS
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.stderr_capture import suppressed_stderr

if TYPE_CHECKING:
    import numpy as np

# Order of preference. TensorFlow's own is for the host and is never chosen unless named.
_RUNTIMES = {
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow.lite.python.interpreter", "tensorflow"),
}
_DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel")}

RAW_RANGE = (0.0, 255.0)  # a pixel as it is
SMALLEST_FLOAT32 = 1e-7  # a smaller probability of a float32 output counts as this one

# Kernel paths of one runtime; the same int8 file gives other logits on each (by a step or two of its output).
KERNELS = {
    "default": None,  # XNNPACK where the runtime has it
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """An interpreter that can be imported here. `name` is litert, tflite-runtime or tensorflow."""

    name: str
    version: str
    module: Any

    @property
    def id(self) -> str:
        """Name and version, as reports and logs give them."""
        return f"{self.name} {self.version}"


def find_runtime(name: str | None = None) -> Runtime:
    """The runtime called `name`, or the first that is installed: litert, then tflite-runtime.

    Raises UsageError with the install command when there is none.
    """
    names = [name] if name else ["litert", "tflite-runtime"]
    for candidate in names:
        if candidate not in _RUNTIMES:
            raise UsageError(f"there is no runtime “{candidate}”; choose one of {', '.join(_RUNTIMES)}")
        module, distribution = _RUNTIMES[candidate]
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        for dist in _DISTRIBUTIONS.get(candidate, (distribution,)):
            try:
                return Runtime(candidate, importlib.metadata.version(dist), found)
            except importlib.metadata.PackageNotFoundError:
                continue
        return Runtime(candidate, "unknown", found)
    wanted = f"The runtime “{name}” is not" if name else "No TFLite runtime is"
    raise UsageError(f"{wanted} installed; `pip install '{_RUNTIMES[names[0]][1]}'` installs one")


def make_interpreter(
    model: Path | bytes, runtime: Runtime | None = None, threads: int = 1, kernels: str = "default"
) -> Any:
    """An interpreter with its tensors allocated, over a file or the bytes of one.

    Raises UsageError with what to do when the installed packages do not fit each other (tflite-runtime 2.14 beside numpy
    2 imports and then fails here), BundleRefused when the file is not a TFLite model.
    """
    runtime = runtime or find_runtime()
    if isinstance(model, bytes):
        content, name = model, "the model"
    else:  # read, not mapped: a file that is copied over while a run uses it would end that run, or change its labels
        content, name = _content(model), str(model)
    options = {}
    if (resolver := KERNELS[kernels]) is not None:
        options["experimental_op_resolver_type"] = getattr(runtime.module.OpResolverType, resolver)
    try:
        with suppressed_stderr():  # “Created TensorFlow Lite XNNPACK delegate”, at each start
            interpreter = runtime.module.Interpreter(model_content=content, num_threads=threads, **options)
            interpreter.allocate_tensors()
    except (SystemError, AttributeError) as error:
        import numpy as np

        raise UsageError(
            f"{runtime.id} cannot run beside numpy {np.__version__}; `pip install 'numpy<2'` fixes it ({error})"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise BundleRefused(f"{name} is not a TFLite model that {runtime.id} can load: {error}") from error
    return interpreter


def _content(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise BundleRefused(f"{model} cannot be read ({error.strerror})") from error


class Classifier:
    """A model on a runtime. `logits` and `probabilities` take uint8 faces (N, side, side) and give float32 (N, K).

    `input_range` is what the pixel values 0 and 255 are to the input tensor; a tensor of three channels gets the gray value
    three times. `output_kind` is what the model gives: "logits", or "probabilities", of which `logits` are then the
    logarithms, none below that of `smallest_probability`. Raises BundleRefused when the model does not classify one square
    image.
    """

    def __init__(
        self,
        model: Path | bytes,
        runtime: Runtime | None = None,
        threads: int = 1,
        kernels: str = "default",
        input_range: tuple[float, float] = RAW_RANGE,
        output_kind: str = "logits",
        smallest_probability: float | None = None,
    ) -> None:
        self.runtime = runtime or find_runtime()
        self.kernels = kernels
        self.interpreter = make_interpreter(model, self.runtime, threads, kernels)
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleRefused(f"the model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        (self._input,), (self._output,) = inputs, outputs
        shape = tuple(int(n) for n in self._input["shape"])
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] not in (1, 3):
            raise BundleRefused(
                f"the model takes {shape}, not one square gray image (1, side, side, 1), nor one of 3 channels"
            )
        output_shape = tuple(int(n) for n in self._output["shape"])
        if not output_shape or math.prod(output_shape) != output_shape[-1]:
            raise BundleRefused(f"the model gives {output_shape}, not one number for each class (1, classes)")
        if output_kind not in OUTPUT_KINDS:
            raise BundleRefused(f"the output kind is “{output_kind}”; a classifier gives {' or '.join(OUTPUT_KINDS)}")
        self.side, self.channels, self.classes = shape[1], shape[3], output_shape[-1]
        self.input_range, self.output_kind = input_range, output_kind
        least = smallest_probability
        self.smallest_probability = _smallest(self._output) if least is None else least
        self._table, self._decode = _table(self._input, input_range), _decoder(self._output)
        self._one_at_a_time = Lock()  # an interpreter is for one thread; readers of one bundle share it

    @property
    def input_values(self) -> np.ndarray:
        """The values of the input tensor that the pixels 0 to 255 become, in the tensor's type: (256,)."""
        return self._table

    @property
    def output_range(self) -> tuple[float, float] | None:
        """The lowest and the highest value that the output tensor can hold; None where it is in floating point."""
        import numpy as np

        if not np.issubdtype(self._output["dtype"], np.integer):
            return None
        limits = np.iinfo(self._output["dtype"])
        low, high = self._decode(np.array([limits.min, limits.max], self._output["dtype"]))
        return float(low), float(high)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """The logits of each face, before softmax: float32 (N, K). `faces` is uint8 (N, side, side).

        Raises UsageError for faces of another shape or type.
        """
        import numpy as np

        outputs = self.outputs(faces)
        if self.output_kind == "logits":
            return outputs
        return np.log(np.maximum(outputs, np.float32(self.smallest_probability)))

    def outputs(self, faces: np.ndarray) -> np.ndarray:
        """The output tensor's values, logits or probabilities, for faces uint8 (N, side, side): float32 (N, K).

        An integer output is dequantized. Raises UsageError for faces of another shape or type.
        """
        import numpy as np

        if faces.ndim != 3 or faces.shape[1:] != (self.side, self.side) or faces.dtype != np.uint8:
            raise UsageError(
                f"the classifier takes uint8 faces (N, {self.side}, {self.side}), not {faces.dtype} {faces.shape}"
            )
        out = np.empty((len(faces), self.classes), np.float32)
        for i, face in enumerate(faces):
            pixels = self._table[face][None, :, :, None]
            if self.channels > 1:
                pixels = np.repeat(pixels, self.channels, axis=3)
            with self._one_at_a_time:
                self.interpreter.set_tensor(self._input["index"], pixels)
                self.interpreter.invoke()
                out[i] = self._decode(self.interpreter.get_tensor(self._output["index"])).reshape(-1)
        return out

    def probabilities(self, faces: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """The softmax of the logits divided by `temperature` (> 0): float32 (N, K), each row summing to one.

        `faces` is uint8 (N, side, side). Temperature scaling: Guo et al. 2017, arXiv 1706.04599. Raises as `logits`.
        """
        return softmax(self.logits(faces) / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float32."""
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= logits.max(-1, keepdims=True)
    np.exp(shifted, out=shifted)
    return np.divide(
        shifted, shifted.sum(-1, keepdims=True), out=np.empty(logits.shape, np.float32), casting="same_kind"
    )


def _table(details: dict[str, Any], input_range: tuple[float, float]) -> np.ndarray:
    """What each pixel 0 to 255 is in the input tensor's type, by the scale and zero point the tensor states: (256,)."""
    import numpy as np

    low, high = input_range
    values = low + np.arange(256) * ((high - low) / 255)
    if details["dtype"] == np.float32:
        return values.astype(np.float32)
    if not np.issubdtype(details["dtype"], np.integer):
        raise BundleRefused(
            f"the model takes {np.dtype(details['dtype']).name}; float32 and whole numbers can be given"
        )
    scale, zero = _scale(details)
    limits = np.iinfo(details["dtype"])
    table: np.ndarray = np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])
    return table


def _decoder(details: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import numpy as np

    if details["dtype"] == np.float32:
        return lambda out: out
    scale, zero = _scale(details)
    return lambda out: (out.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def _smallest(details: dict[str, Any]) -> float:
    """The smallest probability that differs from 0: half a step of an integer output; SMALLEST_FLOAT32."""
    import numpy as np

    if not np.issubdtype(details["dtype"], np.integer):
        return SMALLEST_FLOAT32
    return _scale(details)[0] / 2


def _scale(details: dict[str, Any]) -> tuple[float, int]:
    """A tensor's scale and zero point; 1 and 0 for whole numbers that stand for themselves."""
    scale, zero = details["quantization"]
    return (float(scale), int(zero)) if scale else (1.0, 0)
