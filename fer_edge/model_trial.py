"""The trial of a model that neither came with the package nor was installed here: it runs in a child process first.

A .tflite file is read by native code. Of several thousand damaged ones a few end the interpreter by a signal, and some never
return; in a child process that is a refusal with a sentence.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.errors import BundleRefused
from fer_edge.limits import TRIAL_MEMORY_BYTES, TRIAL_S
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from fer_edge.classifier import Runtime

_REFUSED = 5


def try_model(content: bytes, name: Path | str, runtime: Runtime, kernels: str = "default") -> None:
    """Runs the model in `content` three times in a child process.

    `name` is for messages. Raises BundleRefused when the child process crashes, takes longer than TRIAL_S, needs more than
    TRIAL_MEMORY_BYTES, or cannot run the model.
    """
    # The same import path as in this process, so that the child imports the same packages.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", "fer_edge.model_trial", runtime.name, kernels]
    try:
        ran = subprocess.run(
            command,
            input=content,
            capture_output=True,
            check=False,
            timeout=TRIAL_S,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(
            f"{name} did not end its first run within {TRIAL_S:g} s, in a child process; use another model"
        ) from error
    if ran.returncode == 0:
        return
    printed = ran.stderr.decode(errors="replace").strip().splitlines()
    if ran.returncode == _REFUSED and printed:
        raise BundleRefused(printed[-1].replace("the model", str(name), 1))
    end = signal.Signals(-ran.returncode).name if ran.returncode < 0 else f"exit code {ran.returncode}"
    last = f", after “{clean(printed[-1])}”" if printed else ""
    raise BundleRefused(
        f"{name} crashed {runtime.id} in a child process ({end}{last}); copy it again, or use another model"
    )


def main(runtime_name: str, kernels: str) -> int:
    """Reads a model from stdin, runs it for a black, a white and a patterned face, and returns the exit code."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (TRIAL_MEMORY_BYTES, TRIAL_MEMORY_BYTES))
    import numpy as np

    from fer_edge.classifier import find_runtime, make_interpreter
    from fer_edge.errors import FerEdgeError

    try:
        interpreter = make_interpreter(sys.stdin.buffer.read(), find_runtime(runtime_name), kernels=kernels)
        for fill in (0, 255, 85):
            for details in interpreter.get_input_details():
                value = np.full(details["shape"], fill).astype(details["dtype"])
                interpreter.set_tensor(details["index"], value)
            interpreter.invoke()
            for details in interpreter.get_output_details():
                interpreter.get_tensor(details["index"])
    except FerEdgeError as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201
        return _REFUSED
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        print(f"the model cannot be run: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)  # noqa: T201
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
