"""Face crops to logits and probabilities: the only code around the interpreter, on host and device."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import BundleRefused, UsageError
from fer_edge.quiet import quiet_stderr

if TYPE_CHECKING:
    import numpy as np

# Order of preference. TensorFlow's own is for the host and is never chosen unless named.
_RUNTIMES = {
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow.lite.python.interpreter", "tensorflow"),
}
_DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel")}

# Kernel paths of one runtime; the same int8 file answers differently on each (by a step or two of its output).
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
    wanted = f"The runtime “{name}” is" if name else "No TFLite runtime is"
    raise UsageError(f"{wanted} not installed; `pip install '{_RUNTIMES[names[0]][1]}'` installs one")


def make_interpreter(
    model: Path | bytes, runtime: Runtime | None = None, threads: int = 1, kernels: str = "default"
) -> Any:
    """An interpreter with its tensors allocated, over a file or the bytes of one.

    Raises UsageError with what to do when the installed packages do not fit each other (tflite-runtime 2.14 beside numpy
    2 imports and then fails here), BundleRefused when the file is no TFLite model.
    """
    runtime = runtime or find_runtime()
    source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    options = {}
    if (resolver := KERNELS[kernels]) is not None:
        options["experimental_op_resolver_type"] = getattr(runtime.module.OpResolverType, resolver)
    try:
        with quiet_stderr():  # “Created TensorFlow Lite XNNPACK delegate”, at each start
            interpreter = runtime.module.Interpreter(**source, num_threads=threads, **options)
            interpreter.allocate_tensors()
    except (SystemError, AttributeError) as error:
        import numpy as np

        raise UsageError(
            f"{runtime.id} cannot run beside numpy {np.__version__}; `pip install 'numpy<2'` mends it ({error})"
        ) from error
    except (ValueError, RuntimeError) as error:
        name = "the model" if isinstance(model, bytes) else str(model)
        raise BundleRefused(f"{name} is no TFLite model that {runtime.id} can load: {error}") from error
    return interpreter


class Classifier:
    """A model on a runtime. `logits` and `probabilities` take uint8 faces (N, side, side) and give float32 (N, K)."""

    def __init__(
        self,
        model: Path | bytes,
        runtime: Runtime | None = None,
        threads: int = 1,
        kernels: str = "default",
    ) -> None:
        self.runtime = runtime or find_runtime()
        self.kernels = kernels
        self.interpreter = make_interpreter(model, self.runtime, threads, kernels)
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleRefused(f"the model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        (self._input,), (self._output,) = inputs, outputs
        shape = tuple(int(n) for n in self._input["shape"])
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 1:
            raise BundleRefused(f"the model takes {shape}, not one square gray image (1, side, side, 1)")
        self.side = shape[1]
        self.classes = int(self._output["shape"][-1])
        self._encode, self._decode = _encoder(self._input), _decoder(self._output)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """What the network says of each face, before softmax: float32 (N, K). `faces` is uint8 (N, side, side)."""
        import numpy as np

        if faces.ndim != 3 or faces.shape[1:] != (self.side, self.side) or faces.dtype != np.uint8:
            raise UsageError(
                f"the classifier takes uint8 faces (N, {self.side}, {self.side}), not {faces.dtype} {faces.shape}"
            )
        out = np.empty((len(faces), self.classes), np.float32)
        for i, face in enumerate(faces):
            self.interpreter.set_tensor(self._input["index"], self._encode(face)[None, :, :, None])
            self.interpreter.invoke()
            out[i] = self._decode(self.interpreter.get_tensor(self._output["index"])[0])
        return out

    def probabilities(self, faces: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """The softmax of the logits over `temperature`: float32 (N, K), each row summing to one."""
        return softmax(self.logits(faces) / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float32."""
    import numpy as np

    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return (shifted / shifted.sum(-1, keepdims=True)).astype(np.float32)


def _encoder(details: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8 pixels to the input tensor's type, by the scale and zero point the tensor itself states."""
    import numpy as np

    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return lambda face: face.astype(np.float32)
    limits = np.iinfo(details["dtype"])
    steps = np.rint(np.arange(256) / scale) + zero
    table = np.clip(steps, limits.min, limits.max).astype(details["dtype"])
    return lambda face: table[face]


def _decoder(details: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import numpy as np

    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return lambda out: out
    return lambda out: (out.astype(np.float32) - np.float32(zero)) * np.float32(scale)
